import type { Clock } from "@antenna/sdk";
import { systemClock } from "@antenna/sdk";
import {
  agentService,
  decodePairRequest,
  decodeRenewRequest,
  decodeSessionRequest,
  encodePairResponse,
  encodeRenewResponse,
  encodeSessionResponse,
  type HelloMessage,
  type PairRequestMessage,
  type PairResponseMessage,
  type RenewRequestMessage,
  type RenewResponseMessage,
  type SessionRequestMessage,
  type SessionResponseMessage,
} from "@antenna/sdk/protocol";
import {
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from "@grpc/grpc-js";
import { type TestAuthority, testWorkload } from "./link-authority.js";

type SessionCall = ServerDuplexStream<Buffer, Buffer>;

export class Refusal extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

/** A stream as its controller sees it. */
export class FakeSession {
  readonly #call: SessionCall;
  readonly #waiting: ((message: SessionRequestMessage | null) => void)[] = [];
  readonly #inbox: SessionRequestMessage[] = [];
  isOver = false;

  constructor(call: SessionCall) {
    this.#call = call;
    call.on("data", (bytes: Buffer) => this.#put(decodeSessionRequest(bytes)));
    call.on("error", () => {});
    for (const event of ["cancelled", "close", "end"]) call.on(event, () => this.#over());
  }

  send(message: SessionResponseMessage): boolean {
    return this.sendBytes(encodeSessionResponse(message));
  }

  sendBytes(bytes: Uint8Array): boolean {
    return !this.isOver && this.#call.write(Buffer.from(bytes));
  }

  welcome(
    authority: TestAuthority,
    options: Partial<Extract<SessionResponseMessage, { kind: "welcome" }>> = {},
  ): void {
    this.send({
      kind: "welcome",
      revision: 1,
      workload: testWorkload,
      token: Buffer.from("token-1"),
      time: new Date(),
      trust: authority.trust,
      heartbeatMs: 60_000,
      ...options,
    });
  }

  refuse(code: number, message: string): void {
    this.#call.emit("error", Object.assign(new Error(message), { code, details: message }));
  }

  halfClose(): void {
    this.#call.end();
  }

  /** The next message, whatever it is; null: the session is over. */
  message(): Promise<SessionRequestMessage | null> {
    return this.#take();
  }

  /** The next message of a kind; others before it are passed over. */
  async next<Kind extends SessionRequestMessage["kind"]>(
    kind: Kind,
  ): Promise<Extract<SessionRequestMessage, { kind: Kind }>> {
    for (;;) {
      const message = await this.#take();
      if (message === null) throw new Error(`the session ended before ${kind}`);
      if (message.kind === kind) return message as Extract<SessionRequestMessage, { kind: Kind }>;
    }
  }

  async ended(): Promise<void> {
    while ((await this.#take()) !== null);
  }

  #take(): Promise<SessionRequestMessage | null> {
    const message = this.#inbox.shift();
    if (message !== undefined) return Promise.resolve(message);
    if (this.isOver) return Promise.resolve(null);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  #put(message: SessionRequestMessage): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#inbox.push(message);
    else waiting(message);
  }

  #over(): void {
    this.isOver = true;
    for (const waiting of this.#waiting.splice(0)) waiting(null);
  }
}

export interface FakeControllerOptions {
  readonly authority: TestAuthority;
  /** PEM; default: of the authority. */
  readonly server?: { readonly chain: string; readonly key: string };
  /** Default: 127.0.0.1, a free port. */
  readonly address?: string;
  readonly port?: number;
  readonly onPair?: (request: PairRequestMessage) => PairResponseMessage;
  /** Answers `start`, then `proof`. */
  readonly onRenew?: (request: RenewRequestMessage) => RenewResponseMessage;
  /** Called with each stream before hello; default: it is put into a queue once hello came. */
  readonly onSession?: (session: FakeSession) => void;
}

/** A controller that does what a test tells it to, in this process, over real gRPC and TLS on the loopback interface. */
export class FakeController implements AsyncDisposable {
  readonly #server: Server;
  readonly port: number;
  readonly #sessions: { readonly session: FakeSession; readonly hello: HelloMessage }[] = [];
  readonly #waiting: ((entry: { readonly session: FakeSession; readonly hello: HelloMessage }) => void)[] =
    [];

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  static async start(options: FakeControllerOptions): Promise<FakeController> {
    const server = new Server();
    let controller: FakeController | null = null;
    const { key, chain } = options.server ?? options.authority.server();
    const bytes = (buffer: Buffer): Buffer => buffer;
    const raw = (method: {
      readonly path: string;
      readonly requestStream: boolean;
      readonly responseStream: boolean;
    }) => ({
      ...{ path: method.path, requestStream: method.requestStream, responseStream: method.responseStream },
      ...{
        requestSerialize: bytes,
        requestDeserialize: bytes,
        responseSerialize: bytes,
        responseDeserialize: bytes,
      },
    });
    server.addService(
      { pair: raw(agentService.pair), renew: raw(agentService.renew), session: raw(agentService.session) },
      {
        pair: (call: ServerUnaryCall<Buffer, Buffer>, callback: sendUnaryData<Buffer>) => {
          try {
            if (options.onPair === undefined) throw new Refusal(status.UNAUTHENTICATED, "unknown key");
            callback(null, Buffer.from(encodePairResponse(options.onPair(decodePairRequest(call.request)))));
          } catch (reason) {
            callback(asStatus(reason), null);
          }
        },
        renew: (call: SessionCall) => {
          call.on("error", () => {});
          call.on("data", (message: Buffer) => {
            try {
              if (options.onRenew === undefined) throw new Refusal(status.UNAUTHENTICATED, "not renewed");
              call.write(Buffer.from(encodeRenewResponse(options.onRenew(decodeRenewRequest(message)))));
            } catch (reason) {
              call.emit("error", asStatus(reason));
            }
          });
          call.on("end", () => call.end());
        },
        session: (call: SessionCall) => {
          const session = new FakeSession(call);
          if (options.onSession !== undefined) return options.onSession(session);
          void session.next("hello").then(
            (hello) => controller?.arrive(session, hello),
            () => {},
          );
        },
      },
    );
    const credentials = ServerCredentials.createSsl(
      null,
      [{ private_key: Buffer.from(key), cert_chain: Buffer.from(chain) }],
      false,
    );
    const port = await new Promise<number>((resolve, reject) =>
      server.bindAsync(
        `${options.address ?? "127.0.0.1"}:${options.port ?? 0}`,
        credentials,
        (error, bound) => (error === null ? resolve(bound) : reject(error)),
      ),
    );
    controller = new FakeController(server, port);
    return controller;
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** The next session that has said hello. */
  session(): Promise<{ readonly session: FakeSession; readonly hello: HelloMessage }> {
    const entry = this.#sessions.shift();
    if (entry !== undefined) return Promise.resolve(entry);
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  arrive(session: FakeSession, hello: HelloMessage): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#sessions.push({ session, hello });
    else waiting({ session, hello });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.forceShutdown();
  }
}

/** The machine's clock, so many times faster, and with another idea of the date. */
export function fastClock(factor: number, shiftMs = 0): Clock {
  return {
    now: () => systemClock.now() * factor,
    date: () => new Date(Date.now() + shiftMs),
    after: (delayMs, call) => systemClock.after(delayMs / factor, call),
  };
}

function asStatus(reason: unknown): Error & { code: number; details: string } {
  const code = reason instanceof Refusal ? reason.code : status.INTERNAL;
  const details = reason instanceof Error ? reason.message : String(reason);
  return Object.assign(new Error(details), { code, details });
}
