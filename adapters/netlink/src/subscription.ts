import { littleEndian } from "./codec/byte-order.js";
import { MessageReader } from "./codec/message-reader.js";
import {
  NETLINK_ADD_MEMBERSHIP,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
  SO_MEMINFO,
  SOL_NETLINK,
  SOL_SOCKET,
} from "./constants.js";
import { EAGAIN, ENOBUFS } from "./errno.js";
import { type KernelSocket, refusal } from "./kernel-socket.js";
import { NetlinkError } from "./netlink-error.js";
import { receiveBuffer } from "./receive-buffer.js";
import type { Listener } from "./transport.js";

/** Longest stretch of reading before other events get their turn, in milliseconds. */
const longestMs = 8;
/** Index of SK_MEMINFO_DROPS in SO_MEMINFO (linux/sock_diag.h). */
const memoryDrops = 8;

export interface SubscriptionOptions {
  readonly groups: readonly number[];
  readonly listener: Listener;
  readonly coalesceMs: number;
  readonly messageBytes: number;
}

/** A socket that has joined multicast groups, and its listener. */
export class Subscription implements Disposable {
  readonly #socket: KernelSocket;
  readonly #listener: Listener;
  readonly #slotBytes: number;
  readonly #reader = new MessageReader();

  constructor(socket: KernelSocket, options: SubscriptionOptions) {
    this.#socket = socket;
    this.#listener = options.listener;
    this.#slotBytes = options.messageBytes;
    for (const group of options.groups) socket.setOption(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group);
    socket.watch(options.coalesceMs, () => this.#drain());
  }

  get closed(): boolean {
    return this.#socket.closed;
  }

  /** Messages that the kernel dropped since the beginning, exactly (SO_MEMINFO). */
  get drops(): number {
    const memory = new Uint8Array(36);
    const length = this.#socket.getOption(SOL_SOCKET, SO_MEMINFO, memory);
    return length < memory.length ? 0 : new DataView(memory.buffer).getUint32(memoryDrops * 4, littleEndian);
  }

  reference(keep: boolean): void {
    this.#socket.reference(keep);
  }

  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Reads until nothing is left: after an overflow the kernel queues nothing more until the queue was empty once.
   * True: time is up before that.
   */
  #drain(): boolean {
    const began = performance.now();
    const { bytes, lengths } = receiveBuffer;
    while (!this.#socket.closed) {
      const received = this.#socket.receive(bytes, this.#slotBytes, lengths);
      if (received === -EAGAIN) return false;
      if (received === -ENOBUFS) {
        this.#listener.overflow();
        continue;
      }
      if (received < 0) throw refusal("recvmmsg", -received);
      this.#deliver(received);
      if (performance.now() - began >= longestMs) return true;
    }
    return false;
  }

  #deliver(received: number): void {
    const { bytes, lengths } = receiveBuffer;
    for (let slot = 0; slot < received; slot++) {
      const length = lengths[slot] ?? 0;
      if (length < 0) {
        this.#listener.overflow();
        continue;
      }
      const start = slot * this.#slotBytes;
      const reader = this.#reader.reset(bytes, start, start + length);
      try {
        while (reader.next()) {
          if (this.#socket.closed) return;
          const { type } = reader;
          if (type === NLMSG_OVERRUN) this.#listener.overflow();
          else if (type !== NLMSG_NOOP && type !== NLMSG_ERROR && type !== NLMSG_DONE)
            this.#listener.message(reader);
        }
      } catch (error) {
        // The rest of a broken datagram cannot be read: what was heard is incomplete.
        if (!(error instanceof NetlinkError && error.code === "malformed")) throw error;
        this.#listener.overflow();
      }
    }
  }
}
