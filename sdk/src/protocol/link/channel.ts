import type { X509Certificate } from "node:crypto";
import { isIP } from "node:net";
import type { Client, ClientDuplexStream, experimental, ServiceError } from "@grpc/grpc-js";
import { AntennaError } from "../../error.js";
import type { Clock } from "../../ports.js";
import { protocolLimits } from "../codec/protocol-limits.js";
import { controllerName } from "../identity/certificate-chain.js";
import { aborted } from "./controller-address.js";
import { type PinnedSocket, peerContext, pinTls, type TlsPeer } from "./pinned-tls.js";

type Grpc = typeof import("@grpc/grpc-js");

export interface ChannelOptions {
  /** An address, never a name: what is dialled is what was let through. */
  readonly address: string;
  readonly port: number;
  readonly peer: TlsPeer;
  readonly clock: Clock;
  /** For TCP, TLS and the server's first HTTP/2 frame together. */
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
}

/** Bytes both ways; what they mean is the codec's. */
export type ByteStream = ClientDuplexStream<Uint8Array, Uint8Array>;

/** How long an orderly end of a connection may take before it is torn down. */
const closeTimeoutMs = 1_000;

/**
 * One connection to the controller and what is called on it. It does not reconnect by itself, retries nothing, uses no proxy,
 * and its server is judged before the first byte.
 */
export class Channel implements AsyncDisposable {
  readonly #grpc: Grpc;
  readonly #client: Client;
  readonly #connector: Connector;
  readonly #options: ChannelOptions;

  private constructor(grpc: Grpc, client: Client, connector: Connector, options: ChannelOptions) {
    this.#grpc = grpc;
    this.#client = client;
    this.#connector = connector;
    this.#options = options;
  }

  /**
   * Resolves when the server has answered in HTTP/2: its first SETTINGS frame, after a TLS handshake in which it proved
   * to be the controller.
   *
   * @throws AntennaError `unreachable`, `untrusted`, `aborted`
   */
  static async open(options: ChannelOptions): Promise<Channel> {
    const grpc = await import("@grpc/grpc-js");
    const { address, port, peer } = options;
    const connector = new Connector(grpc, peer);
    const target = isIP(address) === 6 ? `ipv6:[${address}]:${port}` : `ipv4:${address}:${port}`;
    const client = new grpc.Client(target, credentialsOf(grpc, connector), {
      "grpc.default_authority": controllerName,
      "grpc.enable_http_proxy": 0,
      "grpc.enable_retries": 0,
      "grpc.enable_channelz": 0,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.service_config_disable_resolution": 1,
      // Connecting again is the link's: longer than an attempt may take, so that the library does not try behind its back, and
      // no longer than that, since its timer keeps what was closed.
      "grpc.initial_reconnect_backoff_ms": 15_000,
      "grpc.max_reconnect_backoff_ms": 15_000,
      "grpc.max_receive_message_length": protocolLimits.message,
      "grpc.max_send_message_length": protocolLimits.message,
    });
    const channel = new Channel(grpc, client, connector, options);
    try {
      await channel.#ready();
      return channel;
    } catch (reason) {
      await channel.close();
      throw reason;
    }
  }

  /** The dates of the server's certificate do not agree with this host's clock. */
  get skew(): PinnedSocket["skew"] {
    return this.#connector.pinned?.skew ?? null;
  }

  /** The own end of it; null: not connected. */
  get localAddress(): string | null {
    return this.#connector.pinned?.socket.localAddress ?? null;
  }

  /** Ends it without a word: nothing that is sent would arrive. */
  abandon(): void {
    this.#connector.abandon();
  }

  /** What the server showed, its own certificate first. */
  get sent(): readonly X509Certificate[] {
    return this.#connector.pinned?.sent ?? [];
  }

  /** One request, one answer. Rejects with the ServiceError of grpc-js, or AntennaError `aborted`. */
  async request(path: string, message: Uint8Array, signal: AbortSignal): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(aborted(path, signal));
      const stop = (): void => call.cancel();
      signal.addEventListener("abort", stop, { once: true });
      const call = this.#client.makeUnaryRequest<Uint8Array, Uint8Array>(
        path,
        asBuffer,
        asBytes,
        message,
        (error, answer) => {
          signal.removeEventListener("abort", stop);
          if (error === null && answer !== undefined) return resolve(answer);
          reject(signal.aborted ? aborted(path, signal) : error);
        },
      );
    });
  }

  stream(path: string): ByteStream {
    return this.#client.makeBidiStreamRequest<Uint8Array, Uint8Array>(path, asBuffer, asBytes);
  }

  /** Resolves when the connection is gone. Idempotent. */
  async close(): Promise<void> {
    this.#client.close();
    await this.#connector.close(this.#options.clock);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #ready(): Promise<void> {
    const { clock, signal, timeoutMs, peer } = this.#options;
    const operation = `connect to ${peer.label}`;
    const { connectivityState: states } = this.#grpc;
    const channel = this.#client.getChannel();
    return new Promise((resolve, reject) => {
      let isOver = false;
      const end = (settle: () => void): void => {
        isOver = true;
        timer[Symbol.dispose]();
        signal?.removeEventListener("abort", stop);
        settle();
      };
      const stop = (): void => end(() => reject(aborted(operation, signal as AbortSignal)));
      const timer = clock.after(timeoutMs, () => {
        const message =
          "no answer; check that the controller runs and that nothing on the way drops TCP to its port";
        const detail = `waited ${timeoutMs / 1000} s`;
        end(() => reject(new AntennaError({ code: "unreachable", operation, message, detail })));
      });
      const look = (): void => {
        // Closing the channel is a change of its state too.
        if (isOver) return;
        const state = channel.getConnectivityState(true);
        if (state === states.READY) end(resolve);
        else if (state === states.TRANSIENT_FAILURE || state === states.SHUTDOWN)
          void this.#failure(operation).then((error) => end(() => reject(error)));
        else channel.watchConnectivityState(state, Number.POSITIVE_INFINITY, look);
      };
      if (signal?.aborted === true) return stop();
      signal?.addEventListener("abort", stop, { once: true });
      look();
    });
  }

  /** What went wrong, in the words of TLS or, of a call that cannot be made, of the operating system. */
  #failure(operation: string): Promise<AntennaError> {
    if (this.#connector.failure !== null) return Promise.resolve(this.#connector.failure);
    const { promise, resolve } = deferred<AntennaError>();
    const tell = (cause: ServiceError | null): void => {
      const detail = /Last error: (?:Error: )?(.*?)(?:\. Resolution note:.*)?$/s.exec(
        cause?.details ?? "",
      )?.[1];
      const message = "nobody answers there; check the address, and that the controller runs";
      resolve(
        new AntennaError({
          code: "unreachable",
          operation,
          message,
          ...(detail === undefined ? {} : { detail }),
          cause,
        }),
      );
    };
    // It goes nowhere: there is no connection.
    this.#client.makeUnaryRequest("/grpc.health.v1.Health/Check", asBuffer, asBytes, Buffer.alloc(0), tell);
    return promise;
  }
}

/** Hands grpc-js connections whose server has been judged. */
class Connector implements experimental.SecureConnector {
  readonly #grpc: Grpc;
  readonly #peer: TlsPeer;
  readonly #context: ReturnType<typeof peerContext>;
  #closed = false;
  /** Whose handshake is under way. */
  #shaking: { destroy(): void } | null = null;
  pinned: PinnedSocket | null = null;
  failure: AntennaError | null = null;

  constructor(grpc: Grpc, peer: TlsPeer) {
    this.#grpc = grpc;
    this.#peer = peer;
    this.#context = peerContext(peer);
  }

  async connect(
    socket: Parameters<experimental.SecureConnector["connect"]>[0],
  ): Promise<experimental.SecureConnectResult> {
    if (this.#closed) {
      // A SYN that was on its way when everybody had given up.
      socket.destroy();
      throw new Error("closed");
    }
    this.#shaking = socket;
    try {
      this.pinned = await pinTls(socket, this.#context, this.#peer);
    } catch (reason) {
      this.failure = AntennaError.from(reason, `connect to ${this.#peer.label}`);
      throw reason;
    } finally {
      this.#shaking = null;
    }
    if (this.#closed) this.pinned.socket.destroy();
    return { socket: this.pinned.socket, secure: true };
  }

  waitForReady(): Promise<void> {
    return Promise.resolve();
  }

  getCallCredentials(): ReturnType<experimental.SecureConnector["getCallCredentials"]> {
    return this.#grpc.credentials.createEmpty();
  }

  /** grpc-js is done with it; the socket's end is awaited in `close`. */
  destroy(): void {}

  abandon(): void {
    this.#closed = true;
    this.#shaking?.destroy();
    this.pinned?.socket.destroy();
  }

  async close(clock: Clock): Promise<void> {
    this.#closed = true;
    this.#shaking?.destroy();
    const socket = this.pinned?.socket;
    if (socket === undefined || socket.closed) return;
    const { promise, resolve } = deferred<void>();
    socket.once("close", () => resolve());
    using _timer = clock.after(closeTimeoutMs, () => socket.destroy());
    await promise;
  }
}

type Credentials = InstanceType<Grpc["ChannelCredentials"]>;
type PinnedCredentials = new (connector: Connector) => Credentials;

/** Made once: a class for each connection would cost memory that no collection gives back. */
let pinnedCredentials: PinnedCredentials | null = null;

/** The seam by which grpc-js lets others make connections secure (ChannelCredentials of 1.14; the version is pinned). */
function credentialsOf(grpc: Grpc, connector: Connector): Credentials {
  pinnedCredentials ??= class extends grpc.ChannelCredentials {
    readonly #connector: Connector;

    constructor(pinned: Connector) {
      super();
      this.#connector = pinned;
    }

    override _isSecure(): boolean {
      return true;
    }

    override _equals(other: unknown): boolean {
      return other === this;
    }

    override _createSecureConnector(): experimental.SecureConnector {
      return this.#connector;
    }
  };
  return new pinnedCredentials(connector);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function asBytes(buffer: Buffer): Uint8Array {
  return buffer;
}

function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((fulfil) => {
    resolve = fulfil;
  });
  return { promise, resolve };
}
