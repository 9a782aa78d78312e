import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  constants,
} from "node:http2";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { controllerName } from "@antenna/sdk/protocol";

/** PEM. */
export interface ShownIdentity {
  readonly certificate: string;
  readonly privateKey: string;
}

export interface ConnectionOptions {
  readonly port: number;
  /** PEM; nothing else is trusted. */
  readonly roots: readonly string[];
  /** null: a stranger, who pairs. */
  readonly identity: ShownIdentity | null;
}

/** How a call came to its end: the gRPC status, or -1 and what broke. */
export interface CallEnd {
  readonly code: number;
  readonly words: string;
}

export interface GrpcCall {
  readonly send: (message: Uint8Array) => void;
  /** Half-closes. */
  readonly finish: () => void;
}

export interface CallListener {
  readonly onMessage: (message: Uint8Array) => void;
  /** Once. */
  readonly onEnd: (end: CallEnd) => void;
}

const framePrefix = 5;
const connectTimeoutMs = 10_000;

/**
 * One TLS connection to a controller on loopback, and gRPC calls on it by node:http2 alone: a thousand of them fit into few
 * processes, so that what is measured is the controller.
 */
export class AgentConnection {
  readonly #session: ClientHttp2Session;
  readonly #socket: TLSSocket;

  private constructor(session: ClientHttp2Session, socket: TLSSocket) {
    this.#session = session;
    this.#socket = socket;
  }

  /** Resolves with the server's first SETTINGS, after a handshake in which it proved to be the controller. */
  static open({ port, roots, identity }: ConnectionOptions): Promise<AgentConnection> {
    return new Promise((resolve, reject) => {
      const socket = connectTls({
        host: "127.0.0.1",
        port,
        ca: [...roots],
        servername: controllerName,
        ALPNProtocols: ["h2"],
        minVersion: "TLSv1.3",
        ...(identity === null ? {} : { cert: identity.certificate, key: identity.privateKey }),
      });
      const session = connectHttp2(`https://${controllerName}`, { createConnection: () => socket });
      const timer = setTimeout(() => fail(new Error("no answer in time")), connectTimeoutMs);
      const fail = (reason: Error): void => {
        clearTimeout(timer);
        session.destroy();
        socket.destroy();
        reject(reason);
      };
      socket.on("error", fail);
      session.on("error", fail);
      session.once("close", () => fail(new Error("the connection was closed")));
      session.once("remoteSettings", () => {
        clearTimeout(timer);
        resolve(new AgentConnection(session, socket));
      });
    });
  }

  call(path: string, { onMessage, onEnd }: CallListener): GrpcCall {
    const stream = this.#session.request({
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: path,
      [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc+proto",
      [constants.HTTP2_HEADER_TE]: "trailers",
    });
    let status: CallEnd | null = null;
    let broken = "the connection was closed";
    const readStatus = (headers: Readonly<Record<string, unknown>>): void => {
      if (headers["grpc-status"] === undefined) return;
      const words = decodeURIComponent(String(headers["grpc-message"] ?? ""));
      status = { code: Number(headers["grpc-status"]), words };
    };
    stream.on("response", readStatus);
    stream.on("trailers", readStatus);
    stream.on("error", (reason: Error) => {
      broken = reason.message;
    });
    // The server has said its last word; what was still on its way to it is not waited for.
    stream.on("end", () => stream.close());
    stream.on("close", () => onEnd(status ?? { code: -1, words: broken }));
    readFrames(stream, onMessage);
    return {
      send: (message) => {
        if (!stream.destroyed && !stream.writableEnded) stream.write(frame(message));
      },
      finish: () => stream.end(),
    };
  }

  /** One request, one answer. */
  async request(path: string, message: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      let answer: Uint8Array | null = null;
      const call = this.call(path, {
        onMessage: (bytes) => {
          answer = Uint8Array.from(bytes);
        },
        onEnd: ({ code, words }) => {
          if (code === 0 && answer !== null) resolve(answer);
          else reject(new Error(`${path}: ${code}: ${words}`));
        },
      });
      call.send(message);
      call.finish();
    });
  }

  close(): void {
    this.#session.destroy();
    this.#socket.destroy();
  }
}

function frame(message: Uint8Array): Buffer {
  const bytes = Buffer.allocUnsafe(framePrefix + message.length);
  bytes.writeUInt8(0, 0);
  bytes.writeUInt32BE(message.length, 1);
  bytes.set(message, framePrefix);
  return bytes;
}

/** Length-prefixed messages (gRPC over HTTP/2, "Length-Prefixed-Message"), uncompressed. */
function readFrames(stream: ClientHttp2Stream, onMessage: (message: Uint8Array) => void): void {
  let waiting: Buffer = Buffer.alloc(0);
  stream.on("data", (chunk: Buffer) => {
    waiting = waiting.length === 0 ? chunk : Buffer.concat([waiting, chunk]);
    while (waiting.length >= framePrefix) {
      const end = framePrefix + waiting.readUInt32BE(1);
      if (waiting.length < end) return;
      const message = waiting.subarray(framePrefix, end);
      waiting = waiting.subarray(end);
      onMessage(message);
    }
  });
}
