import type { Socket } from "node:net";
import { createServer, type TLSSocket, type Server as TlsServer } from "node:tls";
import { AntennaError, type Clock, type Logger } from "@antenna/sdk";
import type { ServerIdentity } from "../identity/authority.js";

/** Who is at the other end, as far as TLS can tell; each call looks closer. */
export type Peer = "certified" | "stranger";

export interface AgentPortOptions {
  readonly host: string;
  readonly port: number;
  readonly identity: ServerIdentity;
  /** Roots (PEM) that certificates of agents lead to. */
  readonly roots: readonly string[];
  readonly clock: Clock;
  readonly logger: Logger;
  /** A connection whose handshake is done. */
  readonly onConnection: (socket: TLSSocket, peer: Peer) => void;
}

/** Strangers have a pairing key or an expired certificate to show, and are gone; the rest is noise. */
const strangerLimits = { total: 1024, perAddress: 512, lifetimeMs: 30_000 };
/** Certified peers: more than any fleet of this controller, and few of one certificate. */
const certifiedLimits = { total: 8192, perCertificate: 16 };
const handshakeTimeoutMs = 10_000;
/** Handshakes under way included: each costs memory before anyone is known. One address never takes all. */
const mostSockets = strangerLimits.total + certifiedLimits.total;
const mostPerAddress = mostSockets / 2;

/**
 * The one port of the controller: TLS 1.3 that asks for a client certificate and does not insist, with bounds on how many
 * strangers and how many connections of one certificate there are.
 */
export class AgentPort {
  readonly #options: AgentPortOptions;
  readonly #server: TlsServer;
  readonly #strangers = new Map<TLSSocket, string>();
  readonly #certified = new Map<TLSSocket, string>();
  /** Before their handshake too. */
  readonly #sockets = new Set<Socket>();
  /** How many of them each address has. */
  readonly #addresses = new Map<string, number>();

  private constructor(options: AgentPortOptions) {
    this.#options = options;
    this.#server = createServer(
      {
        ...contextOf(options.identity, options.roots),
        ALPNProtocols: ["h2"],
        requestCert: true,
        rejectUnauthorized: false,
        handshakeTimeout: handshakeTimeoutMs,
        minVersion: "TLSv1.3",
      },
      (socket) => this.#accept(socket),
    );
    this.#server.maxConnections = mostSockets;
    this.#server.prependListener("connection", (socket: Socket) => this.#meet(socket));
    this.#server.on("tlsClientError", (error, socket) => {
      options.logger.debug({ peer: socket.remoteAddress, error: error.message }, "TLS handshake failed");
      socket.destroy();
    });
  }

  /** @throws AntennaError `busy`, `not-permitted` or `input-refused` when the address can't be listened at. */
  static async listen(options: AgentPortOptions): Promise<AgentPort> {
    const port = new AgentPort(options);
    const { host } = options;
    await new Promise<void>((resolve, reject) => {
      port.#server.once("error", (error: NodeJS.ErrnoException) => reject(cannotListen(error, options)));
      port.#server.listen({ host, port: options.port, backlog: 1024 }, () => {
        port.#server.removeAllListeners("error");
        port.#server.on("error", (error) =>
          options.logger.error({ error: error.message }, "the port failed"),
        );
        resolve();
      });
    });
    return port;
  }

  /** The port in use: the one asked for, or one that was free. */
  get port(): number {
    const address = this.#server.address();
    return typeof address === "object" && address !== null ? address.port : 0;
  }

  /** For handshakes from now on. */
  renew(identity: ServerIdentity, roots: readonly string[]): void {
    this.#server.setSecureContext(contextOf(identity, roots));
  }

  /** Stops listening and ends every connection. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #meet(socket: Socket): void {
    const address = socket.remoteAddress ?? "";
    const count = (this.#addresses.get(address) ?? 0) + 1;
    if (count > mostPerAddress) return void socket.destroy();
    this.#addresses.set(address, count);
    this.#sockets.add(socket);
    socket.once("close", () => {
      this.#sockets.delete(socket);
      const left = (this.#addresses.get(address) ?? 1) - 1;
      if (left > 0) this.#addresses.set(address, left);
      else this.#addresses.delete(address);
    });
  }

  #accept(socket: TLSSocket): void {
    socket.on("error", () => socket.destroy());
    if (socket.alpnProtocol !== "h2") return void socket.destroy();
    const peer: Peer = socket.authorized ? "certified" : "stranger";
    if (!this.#admit(socket, peer)) {
      this.#options.logger.debug({ peer: socket.remoteAddress, kind: peer }, "turned away: no room");
      return void socket.destroy();
    }
    this.#options.onConnection(socket, peer);
  }

  #admit(socket: TLSSocket, peer: Peer): boolean {
    const own = peer === "certified" ? this.#certified : this.#strangers;
    const key = peer === "certified" ? fingerprintOf(socket) : (socket.remoteAddress ?? "");
    const { total, same } =
      peer === "certified"
        ? { total: certifiedLimits.total, same: certifiedLimits.perCertificate }
        : { total: strangerLimits.total, same: strangerLimits.perAddress };
    if (own.size >= total || countOf(own, key) >= same) return false;
    own.set(socket, key);
    const timer =
      peer === "stranger"
        ? this.#options.clock.after(strangerLimits.lifetimeMs, () => socket.destroy())
        : null;
    socket.once("close", () => {
      own.delete(socket);
      timer?.[Symbol.dispose]();
    });
    return true;
  }
}

function contextOf(identity: ServerIdentity, roots: readonly string[]) {
  return { cert: identity.chain, key: identity.privateKey, ca: [...roots] };
}

function fingerprintOf(socket: TLSSocket): string {
  // Empty when the session was resumed without it; then all such share one bound.
  return socket.getPeerX509Certificate()?.fingerprint256 ?? "";
}

function countOf(sockets: ReadonlyMap<TLSSocket, string>, key: string): number {
  let count = 0;
  for (const each of sockets.values()) if (each === key) count++;
  return count;
}

function cannotListen(error: NodeJS.ErrnoException, { host, port }: AgentPortOptions): AntennaError {
  const operation = `listen at ${host}:${port}`;
  const detail = error.message;
  switch (error.code) {
    case "EADDRINUSE":
      return new AntennaError({
        code: "busy",
        operation,
        message: "somebody else listens there; stop it or choose another port with --listen",
        detail,
        cause: error,
      });
    case "EACCES":
      return new AntennaError({
        code: "not-permitted",
        operation,
        message: "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher one with --listen",
        detail,
        cause: error,
      });
    default:
      return new AntennaError({
        code: "input-refused",
        operation,
        message: `this host can't listen there (${detail}); check --listen`,
        detail,
        cause: error,
      });
  }
}
