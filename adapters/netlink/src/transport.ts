import type { NetlinkError } from "./netlink-error.js";

/**
 * One message inside the receive buffer. Valid only during the call it is handed to: the buffer is reused.
 * Source: linux/netlink.h, struct nlmsghdr.
 */
export interface Message {
  /** The whole receive buffer; the message's payload is `start` to `end`. */
  readonly bytes: Uint8Array;
  readonly type: number;
  readonly flags: number;
  readonly sequence: number;
  readonly portId: number;
  /** First byte after the netlink header. */
  readonly start: number;
  readonly end: number;
}

/** What a caller sends; header length, sequence and port are filled in by the transport. */
export interface Request {
  readonly type: number;
  /** NLM_F_* beyond NLM_F_REQUEST and NLM_F_ACK, which the transport adds. */
  readonly flags: number;
  /** Copied before the next request is asked for: a generator may write them all into one buffer. */
  readonly payload: Uint8Array;
  /** What it does, for the words of a refusal: `ipset add ant-web-4`; default `request`. */
  readonly operation?: string;
}

export interface Listener {
  message(message: Message): void;
  /** The kernel dropped messages (ENOBUFS): what was heard is incomplete, ask for the state anew. */
  overflow(): void;
}

/** The seam between codecs and the kernel: `NetlinkSocket` in production, `ScriptedTransport` in tests. */
export interface NetlinkTransport extends Disposable {
  /**
   * Sends every request with an acknowledgement asked for, many to a system call, never more in flight than the
   * buffers hold. Resolves in order: null for success, else the kernel's refusal.
   */
  transact(requests: Iterable<Request>, options?: TransactOptions): Promise<readonly (NetlinkError | null)[]>;
  /**
   * One request with answers (a get, or a dump with NLM_F_DUMP). `onMessage` is called for each; what `onBatch` returns
   * is awaited before more is read, so that a slow consumer slows the kernel, not the heap.
   * Rejects with NetlinkError on refusal; `dump-interrupted` when the kernel says that the table changed (NLM_F_DUMP_INTR).
   */
  query(request: Request, onMessage: (message: Message) => void, options?: QueryOptions): Promise<void>;
  /**
   * Joins multicast groups (NETLINK_ADD_MEMBERSHIP) and hands their messages to the listener, until the result is
   * disposed or the transport closed. Each call listens for itself, with a buffer of its own in the kernel.
   */
  listen(groups: readonly number[], listener: Listener): Disposable;
  /** Idempotent; calls in flight reject with code `closed`. */
  close(): void;
}

export interface TransactOptions {
  readonly signal?: AbortSignal;
}

export interface QueryOptions {
  readonly signal?: AbortSignal;
  readonly onBatch?: () => void | Promise<void>;
}
