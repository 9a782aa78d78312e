import { antenna } from "#antenna.v1";
import type { ContextFacts } from "../../context/workload-context.js";
import type { Version } from "../../policy/model.js";
import { readFacts, writeFacts } from "./context-message.js";
import { FieldReader } from "./field-reader.js";
import { protocolLimits } from "./protocol-limits.js";
import { readStatus, type StatusMessage, writeStatus } from "./status-message.js";
import { readTime, writeTime } from "./timestamp.js";
import { decodeWire, encodeWire } from "./wire-message.js";
import { shorten } from "./words-for-people.js";

const { SessionRequest } = antenna.v1;

/** What an agent says in a session. `unknown`: of a newer revision, to be passed over. */
export type SessionRequestMessage =
  | HelloMessage
  | {
      readonly kind: "context";
      /** Counts the updates of this session from 1. */
      readonly sequence: number;
      /** True: what is not among the facts is unknown; false: it is as it was. */
      readonly full: boolean;
      /** Host name, system and virtualisation come together: see `contextParts`. */
      readonly facts: ContextFacts;
    }
  | { readonly kind: "status"; readonly status: StatusMessage }
  | { readonly kind: "snapshot-request"; readonly reason: string }
  | { readonly kind: "pong"; readonly nonce: Uint8Array }
  | {
      readonly kind: "preview";
      /** Of the request. */
      readonly id: number;
      /** The JSON document of a preview; null when it could not be made: then `problem` says why. */
      readonly document: string | null;
      readonly problem: string | null;
    }
  | { readonly kind: "event"; readonly type: string; readonly time: Date; readonly message: string }
  | {
      readonly kind: "credit";
      /** How many more parts of a policy the server may send. */
      readonly chunks: number;
    }
  | { readonly kind: "unknown" };

/** Opens a session. */
export interface HelloMessage {
  readonly kind: "hello";
  readonly revision: number;
  /** Of the program, for people. */
  readonly agentVersion: string;
  readonly capabilities: readonly string[];
  /** Of the last Welcome; empty: none. */
  readonly token: Uint8Array;
  readonly status: StatusMessage;
  /** The highest version ever accepted. */
  readonly floor: Version | null;
  /** How many parts of a policy the server may send before it waits for credit. */
  readonly credit: number;
}

/** Texts that people read are cut at the limits. */
export function encodeSessionRequest(message: SessionRequestMessage): Uint8Array {
  return encodeWire(SessionRequest, write(message), "encode a session request");
}

/** @throws AntennaError `input-refused` */
export function decodeSessionRequest(bytes: Uint8Array): SessionRequestMessage {
  const operation = "read a session request";
  const wire = decodeWire(SessionRequest, "SessionRequest", bytes, operation);
  const reader = new FieldReader(operation);
  return reader.finish(read(reader, wire));
}

function write(message: SessionRequestMessage): antenna.v1.SessionRequest.$Properties {
  switch (message.kind) {
    case "hello":
      return { hello: writeHello(message) };
    case "context":
      return {
        context: { sequence: message.sequence, full: message.full, ...writeFacts(message.facts) },
      };
    case "status":
      return { status: writeStatus(message.status) };
    case "snapshot-request":
      return { snapshotRequest: { reason: shorten(message.reason, protocolLimits.words) } };
    case "pong":
      return { pong: { nonce: message.nonce } };
    case "preview":
      return { preview: writePreview(message.id, message.document, message.problem) };
    case "event":
      return {
        event: {
          type: message.type,
          time: writeTime(message.time),
          message: shorten(message.message, protocolLimits.words),
        },
      };
    case "credit":
      return { credit: { chunks: message.chunks } };
    case "unknown":
      return {};
  }
}

function read(reader: FieldReader, wire: antenna.v1.SessionRequest): SessionRequestMessage {
  switch (wire.message) {
    case "hello":
      return readHello(reader, wire.hello ?? {});
    case "context":
      return {
        kind: "context",
        sequence: reader.count("context.sequence", wire.context?.sequence, 1),
        full: wire.context?.full === true,
        facts: readFacts(reader, "context", wire.context ?? {}),
      };
    case "status":
      return { kind: "status", status: readStatus(reader, "status", wire.status) };
    case "snapshotRequest":
      return {
        kind: "snapshot-request",
        reason: reader.words("snapshotRequest.reason", wire.snapshotRequest?.reason, protocolLimits.words),
      };
    case "pong":
      return { kind: "pong", nonce: reader.bytes("pong.nonce", wire.pong?.nonce, 0, protocolLimits.nonce) };
    case "preview":
      return readPreview(reader, wire.preview ?? {});
    case "event":
      return readEvent(reader, wire.event ?? {});
    case "credit":
      return { kind: "credit", chunks: reader.count("credit.chunks", wire.credit?.chunks, 1, mostCredit) };
    default:
      return { kind: "unknown" };
  }
}

function writeHello(hello: HelloMessage): antenna.v1.Hello.$Properties {
  return {
    revision: hello.revision,
    agentVersion: shorten(hello.agentVersion, protocolLimits.name),
    capabilities: [...hello.capabilities],
    token: hello.token,
    status: writeStatus(hello.status),
    ...(hello.floor === null ? {} : { floor: hello.floor }),
    credit: hello.credit,
  };
}

function readHello(reader: FieldReader, hello: antenna.v1.Hello.$Properties): HelloMessage {
  return {
    kind: "hello",
    revision: reader.count("hello.revision", hello.revision, 1),
    agentVersion: reader.words("hello.agentVersion", hello.agentVersion, protocolLimits.name),
    capabilities: reader.list(
      "hello.capabilities",
      hello.capabilities,
      protocolLimits.capabilities,
      (each, at) => reader.words(at, each, protocolLimits.name),
    ),
    token: reader.bytes("hello.token", hello.token, 0, protocolLimits.token),
    status: readStatus(reader, "hello.status", hello.status),
    floor:
      hello.floor === null || hello.floor === undefined ? null : reader.version("hello.floor", hello.floor),
    credit: reader.count("hello.credit", hello.credit, 1, mostCredit),
  };
}

function writePreview(
  id: number,
  document: string | null,
  problem: string | null,
): antenna.v1.PreviewReport.$Properties {
  if (document === null || Buffer.byteLength(document, "utf8") <= protocolLimits.preview) {
    return { id, document: document ?? "", problem: shorten(problem ?? "", protocolLimits.reason) };
  }
  return { id, problem: `the preview is larger than ${protocolLimits.preview} bytes` };
}

function readPreview(
  reader: FieldReader,
  preview: antenna.v1.PreviewReport.$Properties,
): SessionRequestMessage {
  const document = reader.text("preview.document", preview.document, protocolLimits.preview);
  const problem = reader.optionalWords("preview.problem", preview.problem, protocolLimits.reason);
  if ((document === "") === (problem === null)) {
    reader.refuse("preview", "has neither a document nor a problem, or both");
  }
  return {
    kind: "preview",
    id: reader.count("preview.id", preview.id, 0),
    document: document === "" ? null : document,
    problem,
  };
}

function readEvent(reader: FieldReader, event: antenna.v1.AgentEvent.$Properties): SessionRequestMessage {
  const type = reader.text("event.type", event.type, protocolLimits.name);
  if (!/^[a-z][a-z0-9-]*$/.test(type)) reader.refuse("event.type", "is not a word of a-z, 0-9 and -");
  return {
    kind: "event",
    type,
    time: readTime(reader, "event.time", event.time),
    message: reader.words("event.message", event.message, protocolLimits.words),
  };
}

const mostCredit = 65_536;
