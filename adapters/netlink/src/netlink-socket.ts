import { littleEndian } from "./codec/byte-order.js";
import { AF_NETLINK, NETLINK_CAP_ACK, NETLINK_EXT_ACK, SOCK_RAW, SOL_NETLINK } from "./constants.js";
import { KernelSocket } from "./kernel-socket.js";
import { NetlinkError } from "./netlink-error.js";
import { RequestChannel } from "./request-channel.js";
import { Subscription } from "./subscription.js";
import type {
  Listener,
  Message,
  NetlinkTransport,
  QueryOptions,
  Request,
  TransactOptions,
} from "./transport.js";

export interface NetlinkSocketOptions {
  /** NETLINK_ROUTE, NETLINK_NETFILTER… */
  readonly protocol: number;
  /** Path of the network namespace; null, the default: the caller's own. */
  readonly namespace?: string | null;
  /** Kernel buffer of each `listen`, in bytes as asked of SO_RCVBUFFORCE; default 4 MiB. A queued event costs about 1.3 kB. */
  readonly receiveBufferBytes?: number;
  /** How long events may gather before they are read together, in milliseconds; default 20, 0: at once. */
  readonly coalesceMs?: number;
  /** The longest datagram that `listen` can hear; a longer one counts as overflow. Default 16 KiB, at most 640 KiB. */
  readonly messageBytes?: number;
  /** Whether an open `listen` keeps the process alive; default true. */
  readonly keepAlive?: boolean;
}

/** Requests to one kernel socket go one after the other, so each query that runs at the same time has its own. */
const mostQueries = 8;
/** Sockets for queries that are kept for the next one. */
const mostIdle = 2;

/**
 * Netlink in one network namespace. Requests of `transact` are executed in the order of the calls; queries run beside
 * them, so that a query's callbacks may transact. Every kernel socket behind it is made in the same namespace, also
 * when the path by which it was opened leads elsewhere by then.
 */
export class NetlinkSocket implements NetlinkTransport {
  readonly #options: Required<NetlinkSocketOptions>;
  readonly #main: RequestChannel;
  readonly #idle: RequestChannel[] = [];
  readonly #busy = new Set<RequestChannel>();
  readonly #waiting: (() => void)[] = [];
  readonly #subscriptions = new Set<Subscription>();
  #previous: Promise<unknown> = Promise.resolve();
  #closed = false;

  private constructor(options: Required<NetlinkSocketOptions>) {
    this.#options = options;
    this.#main = new RequestChannel(openSocket(options.protocol, options.namespace));
  }

  /** Throws NetlinkError: `unavailable` without the addon, `refused` when namespace or protocol are not to be had. */
  static open(options: NetlinkSocketOptions): NetlinkSocket {
    const resolved = {
      namespace: null,
      receiveBufferBytes: 4 * 1024 * 1024,
      coalesceMs: 20,
      messageBytes: 16 * 1024,
      keepAlive: true,
      ...options,
    };
    if (!(resolved.messageBytes >= 4096 && resolved.messageBytes <= 640 * 1024)) {
      throw new TypeError(`messageBytes: ${resolved.messageBytes} is not from 4096 to 655360`);
    }
    return new NetlinkSocket(resolved);
  }

  get closed(): boolean {
    return this.#closed;
  }

  async transact(
    requests: Iterable<Request>,
    options: TransactOptions = {},
  ): Promise<readonly (NetlinkError | null)[]> {
    this.#checkOpen();
    const mine = this.#previous.then(async () => {
      this.#checkOpen();
      return await this.#main.transact(requests, options);
    });
    this.#previous = mine.catch(() => undefined);
    return await mine;
  }

  async query(
    request: Request,
    onMessage: (message: Message) => void,
    options: QueryOptions = {},
  ): Promise<void> {
    this.#checkOpen();
    const channel = await this.#takeChannel();
    try {
      await channel.query(request, onMessage, options);
    } finally {
      this.#giveBack(channel);
    }
  }

  listen(groups: readonly number[], listener: Listener): Subscription {
    this.#checkOpen();
    const { protocol, receiveBufferBytes, coalesceMs, messageBytes, keepAlive } = this.#options;
    const socket = openSocket(protocol, this.#place);
    try {
      socket.setReceiveBuffer(receiveBufferBytes);
      const subscription = new Subscription(socket, { groups, listener, coalesceMs, messageBytes });
      subscription.reference(keepAlive);
      for (const other of this.#subscriptions) if (other.closed) this.#subscriptions.delete(other);
      this.#subscriptions.add(subscription);
      return subscription;
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const subscription of this.#subscriptions) subscription.close();
    for (const channel of [this.#main, ...this.#idle, ...this.#busy]) channel.close();
    for (const wake of this.#waiting.splice(0)) wake();
    this.#idle.length = 0;
    this.#busy.clear();
    this.#subscriptions.clear();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** Where further sockets are made: without a namespace asked for, none has to be entered. */
  get #place(): KernelSocket | null {
    return this.#options.namespace === null ? null : this.#main.socket;
  }

  #checkOpen(): void {
    if (!this.#closed) return;
    throw new NetlinkError({ code: "closed", operation: "netlink", message: "the socket was closed" });
  }

  async #takeChannel(): Promise<RequestChannel> {
    while (this.#busy.size >= mostQueries) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
      this.#checkOpen();
    }
    const channel = this.#idle.pop() ?? new RequestChannel(openSocket(this.#options.protocol, this.#place));
    this.#busy.add(channel);
    return channel;
  }

  #giveBack(channel: RequestChannel): void {
    this.#busy.delete(channel);
    if (channel.settled && !this.#closed && this.#idle.length < mostIdle) this.#idle.push(channel);
    else channel.close();
    this.#waiting.shift()?.();
  }
}

function openSocket(protocol: number, namespace: string | KernelSocket | null): KernelSocket {
  const socket = KernelSocket.open({ family: AF_NETLINK, type: SOCK_RAW, protocol, namespace });
  try {
    // An address of our own now: a socket without one hears no multicast.
    const address = new Uint8Array(12);
    new DataView(address.buffer).setUint16(0, AF_NETLINK, littleEndian);
    socket.bind(address);
    // Acknowledgements then carry the kernel's words, and only the header of the request.
    socket.setOption(SOL_NETLINK, NETLINK_CAP_ACK, 1);
    socket.setOption(SOL_NETLINK, NETLINK_EXT_ACK, 1);
    return socket;
  } catch (error) {
    socket.close();
    throw error;
  }
}
