import { AntennaError } from "../../error.js";
import { protocolLimits } from "./protocol-limits.js";
import { countObjects, wireShapes } from "./wire-shape.js";

/** The two functions of generated code that every message type has. */
export interface WireType<Properties, Decoded> {
  encode(message: Properties): { finish(): Uint8Array };
  decode(bytes: Uint8Array): Decoded;
}

/** The message that the bytes hold; its bounds are judged before anything is made of it. @throws AntennaError `input-refused` */
export function decodeWire<Decoded>(
  type: WireType<never, Decoded>,
  name: keyof typeof wireShapes,
  bytes: Uint8Array,
  operation: string,
): Decoded {
  const most = protocolLimits.objects[name];
  if (bytes.length > protocolLimits.message) {
    throw refusal(operation, `is ${bytes.length} bytes long; ${protocolLimits.message} is the most`);
  }
  let isTooMany = false;
  try {
    isTooMany = countObjects(bytes, wireShapes[name], most) > most;
    if (!isTooMany) return type.decode(bytes);
  } catch (reason) {
    throw refusal(
      operation,
      `is not such a message (${reason instanceof Error ? reason.message : String(reason)})`,
      reason,
    );
  }
  throw refusal(operation, `holds more than ${most} messages and entries`);
}

/** @throws AntennaError `input-refused` when it is larger than the other side takes. */
export function encodeWire<Properties>(
  type: WireType<Properties, unknown>,
  message: Properties,
  operation: string,
): Uint8Array {
  const bytes = type.encode(message).finish();
  if (bytes.length <= protocolLimits.message) return bytes;
  throw refusal(operation, `is ${bytes.length} bytes long; ${protocolLimits.message} is the most`);
}

function refusal(operation: string, problem: string, cause?: unknown): AntennaError {
  return new AntennaError({
    code: "input-refused",
    operation,
    message: `the message ${problem}`,
    problems: [{ path: "", problem }],
    ...(cause === undefined ? {} : { cause }),
  });
}
