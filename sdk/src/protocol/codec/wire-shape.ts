import protobuf from "protobufjs/minimal.js";

/**
 * Which fields of a message become objects when it is decoded, by number: messages with their own fields, `entry` for repeated
 * texts and bytes and for the pairs of a map.
 */
export interface WireShape {
  readonly [field: number]: WireShape | "entry";
}

const version: WireShape = {};
const policyKey: WireShape = {};
const pair: WireShape = {};
const identity: WireShape = { 2: "entry", 3: "entry", 4: policyKey };
const renewed: WireShape = { 1: "entry", 2: "entry", 3: policyKey };
const trust: WireShape = { 1: "entry", 2: policyKey };
const status: WireShape = { 3: version, 5: pair, 6: { 1: version } };
const hello: WireShape = { 3: "entry", 5: status, 6: version };
const context: WireShape = { 3: {}, 4: { 1: {} }, 5: { 1: {} }, 6: { 5: "entry" } };
const service: WireShape = { 2: {} };
const rule: WireShape = { 4: "entry", 5: service };
const rest: WireShape = { 4: rule, 5: service, 6: "entry" };
const header: WireShape = { 1: version, 6: rest, 7: "entry" };
const policy: WireShape = { 1: header, 2: {} };

/** By the name of the message; a test holds them against antenna.proto. */
export const wireShapes = {
  PairRequest: {},
  PairResponse: identity,
  RenewRequest: { 1: {}, 2: {} },
  RenewResponse: { 1: {}, 2: renewed },
  SessionRequest: { 1: hello, 2: context, 3: status, 4: {}, 5: {}, 6: {}, 7: { 2: {} }, 8: {} },
  SessionResponse: { 1: { 4: {}, 5: trust }, 2: policy, 3: {}, 4: { 2: policy }, 5: trust },
} as const satisfies Readonly<Record<string, WireShape>>;

/**
 * How many objects decoding `bytes` would make, or `most` + 1 if more. It makes none itself: a message of two bytes costs a
 * hundred times as much once it is decoded.
 *
 * @throws Error when the bytes are no message.
 */
export function countObjects(bytes: Uint8Array, shape: WireShape, most: number): number {
  const reader = protobuf.Reader.create(bytes);
  return count(reader, shape, bytes.length, most);
}

function count(reader: protobuf.Reader, shape: WireShape, end: number, most: number): number {
  let objects = 0;
  while (reader.pos < end && objects <= most) {
    const tag = reader.uint32();
    const inside = (tag & 7) === 2 ? shape[tag >>> 3] : undefined;
    if (inside === undefined) {
      reader.skipType(tag & 7);
      continue;
    }
    const length = reader.uint32();
    if (length > end - reader.pos) throw new RangeError("a field is longer than its message");
    objects++;
    if (inside === "entry") reader.skip(length);
    else objects += count(reader, inside, reader.pos + length, most - objects);
  }
  return objects;
}
