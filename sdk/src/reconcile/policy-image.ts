import { AntennaError } from "../error.js";
import type { AddressSet } from "../policy/address-set.js";
import { policyDocumentWithoutSets } from "../policy/format.js";
import type { Policy, Version } from "../policy/model.js";
import { readPolicyValue } from "../policy/parse.js";
import { type AcceptedPolicy, formatVersion, parseVersion } from "../policy/version.js";
import { type BlockCounts, blockBytes, blockCounts, readBlocks, writeBlocks } from "./block-bytes.js";

/** What an enforcement point remembers across restarts. */
export interface StoredState {
  /** The last that was in force, with its version; null before any. */
  readonly policy: Policy | null;
  /** `sha256:…` of `policy`. */
  readonly digest: string | null;
  /** Who vouches for `policy`, as it came with it; absent: nobody was asked to. */
  readonly proof?: Uint8Array;
  /** The highest version ever accepted. */
  readonly floor: AcceptedPolicy | null;
  readonly suspended: boolean;
  /** Rules of ours stand, or are about to, on a host whose connections tracking does not all know yet. */
  readonly unsettled: boolean;
}

/** What a newer policy adds to and takes from the sets of the one before, by name. Nothing else differs but the version. */
export type MemberChanges = ReadonlyMap<string, { readonly added: AddressSet; readonly removed: AddressSet }>;

/** What is small, as JSON; the members follow it as they lie in memory. */
interface ImageHead {
  readonly suspended: boolean;
  /** Absent: false. */
  readonly unsettled?: boolean;
  readonly floor: { readonly version: string; readonly digest: string } | null;
  readonly policy: {
    readonly version: string;
    readonly digest: string;
    /** Base64. */
    readonly proof?: string;
    readonly document: unknown;
    readonly sets: readonly (readonly [name: string, v4: number, v6: number])[];
  } | null;
}

type FlagsHead = Pick<ImageHead, "suspended" | "unsettled" | "floor">;

interface MembersHead {
  readonly version: string;
  readonly digest: string;
  /** Base64. */
  readonly proof?: string;
  readonly floor: { readonly version: string; readonly digest: string } | null;
  readonly sets: readonly (readonly [name: string, added: BlockCounts, removed: BlockCounts])[];
}

/** The whole state. Sets are given as views of what they hold: nothing is copied, nothing becomes a string. */
export function writeImage(state: StoredState): readonly Uint8Array[] {
  const { policy, digest } = state;
  const head: ImageHead = {
    ...flagsOf(state),
    policy:
      policy === null || policy.version === null || digest === null
        ? null
        : {
            version: formatVersion(policy.version),
            digest,
            ...proofText(state),
            document: policyDocumentWithoutSets(policy),
            sets: [...policy.sets].map(([name, set]) => [name, ...blockCounts(set)]),
          },
  };
  return [
    ...writeHead(head),
    ...(head.policy === null ? [] : [...(policy?.sets.values() ?? [])].flatMap(writeBlocks)),
  ];
}

/** null: not an image that `writeImage` makes. */
export function readImage(payload: Uint8Array): StoredState | null {
  return guarded(() => {
    const { head, members } = readHead<ImageHead>(payload);
    const { policy } = head;
    const flags = readFlagsOf(head);
    if (policy === null) return members.rest === 0 ? { policy: null, digest: null, ...flags } : null;
    const sets = new Map(policy.sets.map(([name, v4, v6]) => [String(name), members.take([v4, v6])]));
    if (members.rest > 0 || typeof policy.digest !== "string") return null;
    const read = readPolicyValue(policy.document, sets, "read the stored policy");
    return {
      policy: { ...read, version: readVersion(policy.version) },
      digest: policy.digest,
      ...readProof(policy.proof),
      ...flags,
    };
  });
}

/** What changed from one policy to the next. */
export function writeMembers(state: StoredState, changes: MemberChanges): readonly Uint8Array[] {
  const { policy, digest } = state;
  if (policy === null || policy.version === null || digest === null) {
    throw new AntennaError({
      code: "internal",
      operation: "store a delta",
      message: "there is no policy it leads to",
    });
  }
  const head: MembersHead = {
    version: formatVersion(policy.version),
    digest,
    ...proofText(state),
    floor: floorText(state.floor),
    sets: [...changes].map(([name, { added, removed }]) => [name, blockCounts(added), blockCounts(removed)]),
  };
  const members = [...changes.values()].flatMap(({ added, removed }) => [
    ...writeBlocks(added),
    ...writeBlocks(removed),
  ]);
  return [...writeHead(head), ...members];
}

/** The state after the change; null: not a record that follows `state`. */
export function readMembers(state: StoredState, payload: Uint8Array): StoredState | null {
  return guarded(() => {
    const { head, members } = readHead<MembersHead>(payload);
    const { policy } = state;
    if (policy === null || typeof head.digest !== "string") return null;
    const sets = new Map(policy.sets);
    for (const [name, added, removed] of head.sets) {
      const set = sets.get(name);
      if (set === undefined) return null;
      sets.set(name, set.with(...([members.take(added), members.take(removed)] as const)));
    }
    if (members.rest > 0) return null;
    const { proof: _, ...rest } = state;
    return {
      ...rest,
      policy: { ...policy, version: readVersion(head.version), sets },
      digest: head.digest,
      ...readProof(head.proof),
      floor: readFloor(head.floor),
    };
  });
}

/** What is not the policy. */
export function writeFlags(state: StoredState): readonly Uint8Array[] {
  return writeHead(flagsOf(state));
}

export function readFlags(state: StoredState, payload: Uint8Array): StoredState | null {
  return guarded(() => {
    const { head, members } = readHead<FlagsHead>(payload);
    return members.rest > 0 ? null : { ...state, ...readFlagsOf(head) };
  });
}

function flagsOf({ suspended, unsettled, floor }: StoredState): FlagsHead {
  return { suspended, ...(unsettled && { unsettled }), floor: floorText(floor) };
}

function readFlagsOf(head: FlagsHead): Pick<StoredState, "suspended" | "unsettled" | "floor"> {
  const { suspended, unsettled = false } = head;
  if (typeof suspended !== "boolean" || typeof unsettled !== "boolean") throw new TypeError("not a flag");
  return { suspended, unsettled, floor: readFloor(head.floor) };
}

function writeHead(head: object): readonly Uint8Array[] {
  const json = Buffer.from(JSON.stringify(head), "utf8");
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  return [length, json];
}

/** Its fields are believed to be of their types until they are used: whoever uses them runs `guarded`. */
function readHead<Head>(payload: Uint8Array): { readonly head: Head; readonly members: MemberReader } {
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const length = bytes.readUInt32LE(0);
  if (length > bytes.length - 4) throw new RangeError("the head is cut short");
  const head: unknown = JSON.parse(bytes.toString("utf8", 4, 4 + length));
  if (typeof head !== "object" || head === null) throw new TypeError("the head is no object");
  return { head: head as Head, members: new MemberReader(bytes, 4 + length) };
}

/** Hands out sets from bytes that are checked before they are read. */
class MemberReader {
  readonly #bytes: Uint8Array;
  #at: number;

  constructor(bytes: Uint8Array, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  get rest(): number {
    return this.#bytes.length - this.#at;
  }

  take([v4, v6]: BlockCounts): AddressSet {
    const counts: BlockCounts = [count(v4), count(v6)];
    const length = blockBytes(counts);
    if (length > this.rest) throw new RangeError("members are cut short");
    const set = readBlocks(this.#bytes, this.#at, counts);
    if (set === null) throw new RangeError("members are not in order");
    this.#at += length;
    return set;
  }
}

function count(value: unknown): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0)
    throw new RangeError("not a count");
  return value;
}

/** Bytes that pass their checksum were written by us; if they still do not read, by another version of us. */
function guarded(read: () => StoredState | null): StoredState | null {
  try {
    return read();
  } catch {
    return null;
  }
}

function proofText({ proof }: StoredState): { readonly proof?: string } {
  return proof === undefined ? {} : { proof: Buffer.from(proof).toString("base64") };
}

function readProof(proof: unknown): Pick<StoredState, "proof"> {
  if (proof === undefined) return {};
  if (typeof proof !== "string") throw new TypeError("a proof is a text");
  return { proof: new Uint8Array(Buffer.from(proof, "base64")) };
}

function floorText(floor: AcceptedPolicy | null): ImageHead["floor"] {
  return floor === null ? null : { version: formatVersion(floor.version), digest: floor.digest };
}

function readFloor(floor: ImageHead["floor"]): AcceptedPolicy | null {
  if (floor === null) return null;
  if (typeof floor.digest !== "string") throw new TypeError("the floor has no digest");
  return { version: readVersion(floor.version), digest: floor.digest };
}

function readVersion(text: unknown): Version {
  if (typeof text !== "string") throw new TypeError("a version is a text");
  return parseVersion(text);
}
