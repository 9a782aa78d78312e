import { antenna } from "#antenna.v1";
import { FieldReader } from "./field-reader.js";
import { readWorkload } from "./pair-message.js";
import { type PolicyPart, readPolicyPart, writePolicyPart } from "./policy-part.js";
import { protocolLimits } from "./protocol-limits.js";
import { readTime, writeTime } from "./timestamp.js";
import { readTrust, type Trust, writeTrust } from "./trust-message.js";
import { decodeWire, encodeWire } from "./wire-message.js";

const { SessionResponse } = antenna.v1;

/** What a controller says in a session. `unknown`: of a newer revision, to be passed over. */
export type SessionResponseMessage =
  | WelcomeMessage
  | {
      readonly kind: "policy";
      /** For a PolicyAssembler. */
      readonly part: PolicyPart;
    }
  | { readonly kind: "ping"; readonly nonce: Uint8Array }
  | {
      readonly kind: "preview";
      readonly id: number;
      /** The policy or delta as one part: see `policyPart` and `assemblePart`. */
      readonly part: PolicyPart;
      /** How many flows to name. */
      readonly examples: number;
    }
  | { readonly kind: "trust"; readonly trust: Trust }
  | { readonly kind: "unknown" };

/** Answers Hello. */
export interface WelcomeMessage {
  readonly kind: "welcome";
  readonly revision: number;
  readonly workload: string;
  /** To be stored, and shown in the next Hello or renewal. */
  readonly token: Uint8Array;
  /** The controller's clock. */
  readonly time: Date;
  readonly trust: Trust;
  /** The server pings at least this often. */
  readonly heartbeatMs: number;
}

/** @throws AntennaError `input-refused` when it is larger than an agent takes. */
export function encodeSessionResponse(message: SessionResponseMessage): Uint8Array {
  return encodeWire(SessionResponse, write(message), "encode a session response");
}

/**
 * The parts of a policy are views of `bytes`: they are good as long as these are.
 *
 * @throws AntennaError `input-refused`
 */
export function decodeSessionResponse(bytes: Uint8Array): SessionResponseMessage {
  const operation = "read a session response";
  const wire = decodeWire(SessionResponse, "SessionResponse", bytes, operation);
  const reader = new FieldReader(operation);
  return reader.finish(read(reader, wire));
}

function write(message: SessionResponseMessage): antenna.v1.SessionResponse.$Properties {
  switch (message.kind) {
    case "welcome": {
      const { revision, workload, token, time, trust, heartbeatMs } = message;
      return {
        welcome: { revision, workload, token, time: writeTime(time), trust: writeTrust(trust), heartbeatMs },
      };
    }
    case "policy":
      return { policy: writePolicyPart(message.part) };
    case "ping":
      return { ping: { nonce: message.nonce } };
    case "preview":
      return {
        preview: { id: message.id, policy: writePolicyPart(message.part), examples: message.examples },
      };
    case "trust":
      return { trust: writeTrust(message.trust) };
    case "unknown":
      return {};
  }
}

function read(reader: FieldReader, wire: antenna.v1.SessionResponse): SessionResponseMessage {
  switch (wire.message) {
    case "welcome":
      return readWelcome(reader, wire.welcome ?? {});
    case "policy":
      return { kind: "policy", part: readPolicyPart(reader, "policy", wire.policy) };
    case "ping":
      return { kind: "ping", nonce: reader.bytes("ping.nonce", wire.ping?.nonce, 0, protocolLimits.nonce) };
    case "preview":
      return {
        kind: "preview",
        id: reader.count("preview.id", wire.preview?.id, 0),
        part: readPolicyPart(reader, "preview.policy", wire.preview?.policy),
        examples: reader.count("preview.examples", wire.preview?.examples, 0, mostExamples),
      };
    case "trust":
      return { kind: "trust", trust: readTrust(reader, "trust.", wire.trust) };
    default:
      return { kind: "unknown" };
  }
}

function readWelcome(reader: FieldReader, welcome: antenna.v1.Welcome.$Properties): WelcomeMessage {
  return {
    kind: "welcome",
    revision: reader.count("welcome.revision", welcome.revision, 1),
    workload: readWorkload(reader, "welcome.workload", welcome.workload),
    token: reader.bytes("welcome.token", welcome.token, 0, protocolLimits.token),
    time: readTime(reader, "welcome.time", welcome.time),
    trust: readTrust(reader, "welcome.trust.", welcome.trust),
    heartbeatMs: reader.count("welcome.heartbeatMs", welcome.heartbeatMs, 100, 3_600_000),
  };
}

const mostExamples = 10_000;
