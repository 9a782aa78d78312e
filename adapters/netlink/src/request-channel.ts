import { readAcknowledgement } from "./codec/acknowledgement.js";
import { malformed } from "./codec/attribute-reader.js";
import { littleEndian } from "./codec/byte-order.js";
import { MessageReader } from "./codec/message-reader.js";
import {
  NLM_F_ACK,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSG_HEADER_BYTES,
  NLMSG_NOOP,
  NLMSG_OVERRUN,
} from "./constants.js";
import { EAGAIN, ENOBUFS } from "./errno.js";
import { type KernelSocket, refusal } from "./kernel-socket.js";
import { NetlinkError } from "./netlink-error.js";
import { answerSlotBytes, receiveBuffer } from "./receive-buffer.js";
import type { Message, QueryOptions, Request, TransactOptions } from "./transport.js";
import { Turn } from "./turn.js";

/** Bytes of requests to one system call; a longer request goes alone. */
const sendBytes = 128 * 1024;
/** Acknowledgements that surely fit into the default receive buffer of 208 KiB, at most 1,280 bytes each. */
const mostInFlight = 128;
/** The kernel answers inside sendto(2); only an answer that it lost lets us wait. */
const answerTimeoutMs = 5000;

const netlinkOfKernel = new Uint8Array(12);
new DataView(netlinkOfKernel.buffer).setUint16(0, 16, littleEndian);

/** Where requests of this thread are laid out before they are sent; filled and sent without an await between. */
let outgoing = new Uint8Array(sendBytes);
let outgoingView = new DataView(outgoing.buffer);

/**
 * One socket for requests, one request (or batch) after the other. The kernel executes a request inside sendto(2) and
 * has queued the answer when that returns: answers are read at once, without a turn of the event loop.
 */
export class RequestChannel implements Disposable {
  readonly socket: KernelSocket;
  readonly #reader = new MessageReader();
  #sequence = 0;
  /** Sequence number of the first request of the batch that is under way. */
  #first = 0;
  /** What the requests of that batch do, for their refusals. */
  readonly #operations: string[] = [];
  #settled = true;
  #stopWaiting: (() => void) | null = null;

  constructor(socket: KernelSocket) {
    this.socket = socket;
  }

  /** False: the kernel may still have parts of an answer for this socket. */
  get settled(): boolean {
    return this.#settled;
  }

  async transact(
    requests: Iterable<Request>,
    options: TransactOptions,
  ): Promise<readonly (NetlinkError | null)[]> {
    const results: (NetlinkError | null)[] = [];
    const iterator = requests[Symbol.iterator]();
    const turn = new Turn(options.signal);
    let finished = false;
    try {
      let step = iterator.next();
      while (step.done !== true) {
        let length = 0;
        let count = 0;
        this.#begin();
        do {
          const padded = NLMSG_HEADER_BYTES + ((step.value.payload.length + 3) & ~3);
          if (count > 0 && length + padded > sendBytes) break;
          this.#layOut(length, step.value);
          length += padded;
          count++;
          step = iterator.next();
        } while (step.done !== true && count < mostInFlight);
        const batch = await this.#exchange(length, count);
        for (const result of batch) results.push(result);
        if (step.done !== true) await turn.yield();
      }
      finished = true;
    } finally {
      if (!finished) iterator.return?.();
    }
    return results;
  }

  /** Sends what is laid out and reads the acknowledgements. */
  async #exchange(length: number, count: number): Promise<(NetlinkError | null)[]> {
    this.#send(length);
    const results: (NetlinkError | null | undefined)[] = new Array<undefined>(count).fill(undefined);
    let missing = count;
    let lost = false;
    const read = (message: Message): boolean => {
      const index = (message.sequence - this.#first) >>> 0;
      if (message.type !== NLMSG_ERROR || index >= count || results[index] !== undefined) return true;
      results[index] = readAcknowledgement(message, this.#operations[index] ?? "request");
      return --missing > 0;
    };
    while (missing > 0) {
      const received = this.#receive(read);
      if (received === -ENOBUFS) lost = true;
      else if (received === -EAGAIN && (lost || !(await this.#readable()))) break;
    }
    return results.map((result, index) => {
      if (result !== undefined) return result;
      const operation = this.#operations[index] ?? "request";
      return new NetlinkError({
        code: "overflow",
        operation,
        message: "the kernel's acknowledgement was lost",
      });
    });
  }

  async query(request: Request, onMessage: (message: Message) => void, options: QueryOptions): Promise<void> {
    const turn = new Turn(options.signal);
    const operation = request.operation ?? "request";
    this.#begin();
    this.#layOut(0, request);
    this.#settled = false;
    this.#send(NLMSG_HEADER_BYTES + ((request.payload.length + 3) & ~3));
    let interrupted = false;
    let outcome: NetlinkError | null | undefined;
    const read = (message: Message): boolean => {
      if (message.sequence !== this.#first) return true;
      if ((message.flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
      if (message.type === NLMSG_ERROR || message.type === NLMSG_DONE) {
        this.#settled = true;
        outcome = readAcknowledgement(message, operation);
        return false;
      }
      if (message.type === NLMSG_OVERRUN) {
        outcome = overflow(operation);
        return false;
      }
      if (message.type !== NLMSG_NOOP) onMessage(message);
      return true;
    };
    // Some tables are walked whole before the first answer (an ipset of 500,000 members: 8 ms).
    await turn.yield();
    for (;;) {
      const received = this.#receive(read);
      if (received === -ENOBUFS) throw overflow(operation);
      if (received >= 0) await options.onBatch?.();
      if (outcome !== undefined) break;
      if (received === -EAGAIN && !(await this.#readable())) throw overflow(operation);
      await turn.yield();
    }
    if (outcome !== null) throw outcome;
    if (interrupted) {
      throw new NetlinkError({
        code: "dump-interrupted",
        operation,
        message: "the table changed while it was read",
      });
    }
  }

  /** What waits for an answer rejects with code `closed`. */
  close(): void {
    this.socket.close();
    this.#stopWaiting?.();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #begin(): void {
    this.#first = (this.#sequence + 1) >>> 0;
    this.#operations.length = 0;
  }

  #layOut(at: number, { type, flags, payload, operation = "request" }: Request): void {
    const length = NLMSG_HEADER_BYTES + payload.length;
    const end = at + ((length + 3) & ~3);
    if (end > outgoing.length) {
      const larger = new Uint8Array(end);
      larger.set(outgoing.subarray(0, at));
      outgoing = larger;
      outgoingView = new DataView(larger.buffer);
    }
    this.#sequence = (this.#sequence + 1) >>> 0;
    this.#operations.push(operation);
    outgoingView.setUint32(at, length, littleEndian);
    outgoingView.setUint16(at + 4, type, littleEndian);
    outgoingView.setUint16(at + 6, flags | NLM_F_REQUEST | NLM_F_ACK, littleEndian);
    outgoingView.setUint32(at + 8, this.#sequence, littleEndian);
    outgoingView.setUint32(at + 12, 0, littleEndian);
    outgoing.set(payload, at + NLMSG_HEADER_BYTES);
    outgoing.fill(0, at + length, end);
  }

  #send(length: number): void {
    const sent = this.socket.send(outgoing, length, netlinkOfKernel);
    // One request must not keep its size for the life of the process.
    if (outgoing.length > sendBytes * 4) {
      outgoing = new Uint8Array(sendBytes);
      outgoingView = new DataView(outgoing.buffer);
    }
    if (!sent) throw refusal("sendto", EAGAIN);
  }

  /** Reads one batch; `read` says whether more is wanted. Gives the errno, or the number of datagrams. */
  #receive(read: (message: Message) => boolean): number {
    const { bytes, lengths } = receiveBuffer;
    const received = this.socket.receive(bytes, answerSlotBytes, lengths);
    if (received < 0) {
      if (received !== -EAGAIN && received !== -ENOBUFS) throw refusal("recvmmsg", -received);
      return received;
    }
    let wanted = true;
    for (let slot = 0; slot < received; slot++) {
      const length = lengths[slot] ?? 0;
      if (length < 0) throw malformed(`an answer of ${-length} bytes, longer than ${answerSlotBytes}`);
      const start = slot * answerSlotBytes;
      const reader = this.#reader.reset(bytes, start, start + length);
      while (wanted && reader.next()) wanted = read(reader);
    }
    return received;
  }

  /** Waits until there is something to read; false after the timeout. */
  async #readable(): Promise<boolean> {
    const result = await new Promise<boolean>((resolve) => {
      const timer = setTimeout(resolve, answerTimeoutMs, false);
      this.#stopWaiting = () => {
        clearTimeout(timer);
        resolve(false);
      };
      this.socket.watch(0, () => {
        clearTimeout(timer);
        resolve(true);
        return false;
      });
    });
    this.#stopWaiting = null;
    this.socket.unwatch();
    if (this.socket.closed) {
      throw new NetlinkError({ code: "closed", operation: "request", message: "the socket was closed" });
    }
    return result;
  }
}

function overflow(operation: string): NetlinkError {
  return new NetlinkError({ code: "overflow", operation, message: "the kernel dropped parts of the answer" });
}
