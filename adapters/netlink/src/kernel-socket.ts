import { type Addon, addon, type NativeSocket } from "./addon.js";
import { littleEndian } from "./codec/byte-order.js";
import { SO_RCVBUF, SO_RCVBUFFORCE, SOL_SOCKET } from "./constants.js";
import { EAGAIN, errnoText } from "./errno.js";
import { NetlinkError } from "./netlink-error.js";

export interface KernelSocketOptions {
  /** AF_* and SOCK_*; every socket is non-blocking and closed on exec. */
  readonly family: number;
  readonly type: number;
  /** Default 0. */
  readonly protocol?: number;
  /**
   * Path of a network namespace (`/run/netns/web1`, `/proc/PID/ns/net`), or a socket that is in it (works also when
   * the path is gone); null, the default: the caller's own. Another namespace than the own needs CAP_SYS_ADMIN.
   */
  readonly namespace?: string | KernelSocket | null;
}

/** Where open() fails, the addon tells the step in multiples of this. */
const step = 4096;

/**
 * One socket of any family, with the system calls that Node has no way to: a thin, checked cover of the addon.
 * Methods throw NetlinkError `refused` with the errno, and `closed` after `close()`.
 */
export class KernelSocket implements Disposable {
  readonly #addon: Addon;
  #native: NativeSocket | null;

  private constructor(library: Addon, native: NativeSocket) {
    this.#addon = library;
    this.#native = native;
  }

  static open(options: KernelSocketOptions): KernelSocket {
    const library = addon();
    const { namespace = null } = options;
    const where = namespace instanceof KernelSocket ? namespace.#open : namespace;
    const native = library.open(options.family, options.type, options.protocol ?? 0, where);
    if (typeof native !== "number") return new KernelSocket(library, native);
    const name = typeof where === "string" ? where : "of a socket";
    const operation =
      ["socket", `open namespace ${name}`, `setns ${name}`][Math.floor(-native / step)] ?? "socket";
    throw refusal(operation, -native % step);
  }

  get closed(): boolean {
    return this.#native === null;
  }

  /** The bytes of a struct sockaddr. */
  bind(address: Uint8Array): void {
    this.#check("bind", this.#addon.bind(this.#open, address));
  }

  connect(address: Uint8Array): void {
    this.#check("connect", this.#addon.connect(this.#open, address));
  }

  listen(backlog: number): void {
    this.#check("listen", this.#addon.listen(this.#open, backlog));
  }

  /** Accepts and closes every waiting connection of a listening socket; gives their number. */
  turnAway(): number {
    return this.#check("accept", this.#addon.turnAway(this.#open));
  }

  /** The address it is bound to. */
  name(): Uint8Array {
    const address = new Uint8Array(128);
    return address.subarray(0, this.#check("getsockname", this.#addon.socketName(this.#open, address)));
  }

  /** setsockopt(2); a number is an int. */
  setOption(level: number, name: number, value: number | Uint8Array): void {
    const bytes = typeof value === "number" ? new Uint8Array(Int32Array.of(value).buffer) : value;
    this.#check(`setsockopt ${level} ${name}`, this.#addon.setOption(this.#open, level, name, bytes));
  }

  /** getsockopt(2): the kernel reads `value` and writes it; gives the length of what it wrote. */
  getOption(level: number, name: number, value: Uint8Array): number {
    return this.#check(`getsockopt ${level} ${name}`, this.#addon.getOption(this.#open, level, name, value));
  }

  /**
   * Asks for a receive buffer of so many bytes and gives what the kernel granted (it doubles for its own book-keeping).
   * Beyond net.core.rmem_max this needs CAP_NET_ADMIN; without it the buffer is as large as allowed.
   */
  setReceiveBuffer(bytes: number): number {
    const value = new Uint8Array(Int32Array.of(bytes).buffer);
    if (this.#addon.setOption(this.#open, SOL_SOCKET, SO_RCVBUFFORCE, value) < 0) {
      this.setOption(SOL_SOCKET, SO_RCVBUF, value);
    }
    this.getOption(SOL_SOCKET, SO_RCVBUF, value);
    return new DataView(value.buffer).getInt32(0, littleEndian);
  }

  /** Sends the first `length` bytes as one datagram; null: to where it is connected. False: it would block. */
  send(bytes: Uint8Array, length: number = bytes.length, address: Uint8Array | null = null): boolean {
    const sent = this.#addon.send(this.#open, bytes, length, address);
    if (sent === -EAGAIN) return false;
    this.#check("sendto", sent);
    return true;
  }

  /**
   * Receives what is there: one datagram to each slot of `slotBytes`; gives the number of slots used, or a negative
   * errno (`-EAGAIN`: nothing there; `-ENOBUFS`: the kernel dropped messages, older ones are still to be read).
   * `lengths[i]`: bytes; negative: so many, which did not fit; 0: sent by a process, not by the kernel (AF_NETLINK).
   */
  receive(bytes: Uint8Array, slotBytes: number, lengths: Int32Array): number {
    return this.#addon.receive(this.#open, bytes, slotBytes, lengths);
  }

  /**
   * Calls back when something can be read, at most once in `coalesceMs`; true from the callback: there is more, call
   * again after other events had their turn. Goes on after errors. Keeps the process alive, see `reference`.
   */
  watch(coalesceMs: number, onReadable: () => boolean): void {
    this.#check("watch", this.#addon.watch(this.#open, coalesceMs, onReadable));
  }

  unwatch(): void {
    if (this.#native !== null) this.#addon.unwatch(this.#native);
  }

  /** Whether watching it keeps the process alive. */
  reference(keep: boolean): void {
    if (this.#native !== null) this.#addon.reference(this.#native, keep);
  }

  /** Idempotent. */
  close(): void {
    if (this.#native === null) return;
    this.#addon.close(this.#native);
    this.#native = null;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  get #open(): NativeSocket {
    if (this.#native === null) {
      throw new NetlinkError({ code: "closed", operation: "socket", message: "the socket was closed" });
    }
    return this.#native;
  }

  #check(operation: string, result: number): number {
    if (result < 0) throw refusal(operation, -result);
    return result;
  }
}

/** The kernel's no to a system call, in the words of the error class. */
export function refusal(operation: string, errno: number): NetlinkError {
  return new NetlinkError({ code: "refused", operation, errno, message: errnoText(errno) });
}
