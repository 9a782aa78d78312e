import { randomBytes } from "node:crypto";
import type { TLSSocket } from "node:tls";
import type { Clock, Logger } from "@antenna/sdk";
import {
  agentService,
  decodePairRequest,
  decodeRenewRequest,
  encodePairResponse,
  encodeRenewResponse,
} from "@antenna/sdk/protocol";
import {
  type ConnectionInjector,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
} from "@grpc/grpc-js";
import type { ServerIdentity } from "../identity/authority.js";
import { CallRefusal } from "../session/call-refusal.js";
import { RateLimit } from "../session/rate-limit.js";
import { AgentPort, type Peer } from "./agent-port.js";
import type { AgentServiceHandler, RenewStart } from "./service.js";
import { addressOf, endWith, SessionCall } from "./session-call.js";
import { statusOf } from "./status-code.js";

export interface AgentServerOptions {
  readonly host: string;
  /** 0: one that is free. */
  readonly port: number;
  readonly identity: ServerIdentity;
  /** PEM. */
  readonly roots: readonly string[];
  readonly handler: AgentServiceHandler;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Streams of one connection: a session, a renewal, and a little room. */
const mostStreams = 4;
/** The longest that an agent says is a preview's document (1 MiB) or its context. */
const longestMessage = 2 * 1024 * 1024;
/** A pairing or a renewal: certificates and requests. */
const longestStrangerMessage = 64 * 1024;
/** A connection that does not answer is gone after twice as long. */
const keepaliveMs = 20_000;
/** One without a stream is closed. */
const idleMs = 60_000;
/** A renewal is three messages. */
const renewalTimeoutMs = 10_000;
/** Calls that cost a signature, per address; and refused ones, which is what guessing looks like. */
const callLimit = { burst: 2000, perSecond: 200 };
const failureLimit = { burst: 20, perSecond: 1 };

/**
 * `antenna.v1.AgentService` on one port. Two gRPC servers stand behind it: strangers, whom TLS did not verify, reach one
 * that takes small messages and opens no session at all; the other looks at the certificate of every call.
 */
export class AgentServer {
  readonly #options: AgentServerOptions;
  readonly #servers: Readonly<Record<Peer, Server>>;
  readonly #entrances: Readonly<Record<Peer, ConnectionInjector>>;
  /** By address and port. */
  readonly #sockets = new Map<string, TLSSocket>();
  readonly #calls: RateLimit;
  readonly #failures: RateLimit;
  #port: AgentPort | null = null;

  private constructor(options: AgentServerOptions) {
    this.#options = options;
    this.#calls = new RateLimit(callLimit, options.clock);
    this.#failures = new RateLimit(failureLimit, options.clock);
    this.#servers = {
      certified: this.#makeServer(longestMessage, (call) => this.#session(call)),
      stranger: this.#makeServer(longestStrangerMessage, (call) => endWith(call, noCertificate())),
    };
    const entrance = (server: Server) => server.createConnectionInjector(ServerCredentials.createInsecure());
    this.#entrances = {
      certified: entrance(this.#servers.certified),
      stranger: entrance(this.#servers.stranger),
    };
  }

  /** @throws AntennaError `busy`, `not-permitted` or `input-refused` when the address can't be listened at. */
  static async listen(options: AgentServerOptions): Promise<AgentServer> {
    const server = new AgentServer(options);
    server.#port = await AgentPort.listen({
      ...options,
      onConnection: (socket, peer) => server.#connect(socket, peer),
    });
    return server;
  }

  get port(): number {
    return this.#port?.port ?? 0;
  }

  /** Another leaf, or other roots, for handshakes from now on. */
  renew(identity: ServerIdentity, roots: readonly string[]): void {
    this.#port?.renew(identity, roots);
  }

  async close(): Promise<void> {
    await this.#port?.close();
    for (const entrance of Object.values(this.#entrances)) entrance.destroy();
    for (const server of Object.values(this.#servers)) server.forceShutdown();
  }

  #connect(socket: TLSSocket, peer: Peer): void {
    const name = `${socket.remoteAddress}:${socket.remotePort}`;
    this.#sockets.set(name, socket);
    socket.once("close", () => {
      if (this.#sockets.get(name) === socket) this.#sockets.delete(name);
    });
    this.#entrances[peer].injectConnection(socket);
  }

  #makeServer(longest: number, session: (call: ServerDuplexStream<Buffer, Buffer>) => void): Server {
    const server = new Server({
      "grpc.max_receive_message_length": longest,
      "grpc.max_send_message_length": -1,
      "grpc.max_concurrent_streams": mostStreams,
      "grpc.enable_channelz": 0,
      // A host that lost its power, or moved, closes nothing: its connections would count against it.
      "grpc.keepalive_time_ms": keepaliveMs,
      "grpc.keepalive_timeout_ms": keepaliveMs,
      "grpc.max_connection_idle_ms": idleMs,
    });
    server.addService(serviceDefinition, {
      pair: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) =>
        this.#pair(call, answer),
      renew: (call: ServerDuplexStream<Buffer, Buffer>) => this.#renew(call),
      session,
    });
    return server;
  }

  #pair(call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>): void {
    const address = addressOf(call.getPeer());
    this.#limited(address, () => this.#options.handler.pair(decodePairRequest(call.request), address)).then(
      (response) => answer(null, Buffer.from(encodePairResponse(response))),
      (reason: unknown) => {
        answer(statusOf(this.#refusal(reason, "pair", call.getPeer())));
      },
    );
  }

  #renew(call: ServerDuplexStream<Buffer, Buffer>): void {
    const peer = call.getPeer();
    const { clock } = this.#options;
    const nonce = randomBytes(32);
    let start: RenewStart | null = null;
    let isOver = false;
    const finish = (refusal: CallRefusal | null) => {
      if (isOver) return;
      isOver = true;
      timer[Symbol.dispose]();
      if (refusal === null) call.end();
      else endWith(call, refusal);
    };
    const fail = (reason: unknown) => finish(this.#refusal(reason, "renew", peer));
    const timer = clock.after(renewalTimeoutMs, () =>
      fail(new CallRefusal("bad-request", `the renewal took longer than ${renewalTimeoutMs / 1000} s`)),
    );
    const take = async (bytes: Buffer) => {
      const message = decodeRenewRequest(bytes);
      if (message.kind === "start" && start === null) {
        start = message;
        await this.#limited(addressOf(peer), async () =>
          this.#options.handler.openRenewal(message, addressOf(peer)),
        );
        if (!isOver) call.write(Buffer.from(encodeRenewResponse({ kind: "challenge", nonce })));
      } else if (message.kind === "proof" && start !== null) {
        const { signature } = message;
        const opened = start;
        const issued = await this.#limited(addressOf(peer), () =>
          this.#options.handler.renew(opened, nonce, signature, addressOf(peer)),
        );
        if (!isOver) call.write(Buffer.from(encodeRenewResponse({ kind: "renewed", ...issued })));
        finish(null);
      } else if (message.kind !== "unknown") {
        throw new CallRefusal("bad-request", `a renewal has no ${message.kind} here`);
      }
    };
    // One after the other: a proof that comes with its start waits for the start to be judged.
    let turn = Promise.resolve();
    let count = 0;
    call.on("data", (bytes: Buffer) => {
      if (++count > 8) return fail(new CallRefusal("too-fast", "a renewal has two messages"));
      turn = turn.then(() => (isOver ? undefined : take(bytes))).catch(fail);
    });
    call.on("end", () => {
      turn = turn.then(() => finish(null));
    });
    call.on("cancelled", () => finish(null));
    call.on("error", () => finish(null));
  }

  #session(call: ServerDuplexStream<Buffer, Buffer>): void {
    const peer = call.getPeer();
    const { handler, clock } = this.#options;
    try {
      // Of the connection as it is now: it may be an old TLS session that was resumed.
      const certificate = this.#sockets.get(peer)?.getPeerX509Certificate();
      if (certificate === undefined) throw noCertificate();
      const identity = handler.authenticate(certificate.raw);
      const stream = new SessionCall(call, { clock, drop: () => this.#sockets.get(peer)?.destroy() });
      stream.listen(handler.open(stream, identity));
    } catch (reason) {
      endWith(call, this.#refusal(reason, "session", peer));
    }
  }

  /** Counts what was refused against its address: who guesses waits. */
  async #limited<Result>(address: string, call: () => Promise<Result>): Promise<Result> {
    if (!this.#failures.has(address) || !this.#calls.take(address)) {
      throw new CallRefusal("too-fast", "too many calls from this address; wait a minute");
    }
    try {
      return await call();
    } catch (reason) {
      this.#failures.take(address);
      throw reason;
    }
  }

  #refusal(reason: unknown, method: string, peer: string): CallRefusal {
    const refusal = CallRefusal.from(reason);
    const { logger } = this.#options;
    const facts = { method, peer, kind: refusal.kind };
    if (refusal.kind === "unavailable") logger.error({ ...facts, error: String(reason) }, "a call failed");
    else logger.info(facts, `a call was refused: ${refusal.message}`);
    return refusal;
  }
}

function noCertificate(): CallRefusal {
  return new CallRefusal(
    "unauthenticated",
    "this needs a certificate that the controller gave, unexpired; pair or renew first",
  );
}

/** Bytes as they come: what can't be read is answered in words by who reads it. */
const raw = (bytes: Buffer): Buffer => bytes;
const serviceDefinition = Object.fromEntries(
  Object.entries(agentService).map(([name, { path, requestStream, responseStream }]) => [
    name,
    {
      path,
      requestStream,
      responseStream,
      requestSerialize: raw,
      requestDeserialize: raw,
      responseSerialize: raw,
      responseDeserialize: raw,
    },
  ]),
);
