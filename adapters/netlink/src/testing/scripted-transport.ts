import { AssertionError } from "node:assert";
import { NLM_F_DUMP_INTR } from "../constants.js";
import { errnoText } from "../errno.js";
import { NetlinkError } from "../netlink-error.js";
import type {
  Listener,
  Message,
  NetlinkTransport,
  QueryOptions,
  Request,
  TransactOptions,
} from "../transport.js";

/** A message as a test writes it. */
export interface ScriptedMessage {
  readonly type: number;
  readonly payload: Uint8Array;
  /** Default 0. */
  readonly flags?: number;
}

/** One exchange: the request that must come, and what the kernel says to it. */
export interface Exchange {
  readonly type: number;
  /** Without it any flags will do. */
  readonly flags?: number;
  /** The exact payload, or a check that throws; without it any payload will do. */
  readonly payload?: Uint8Array | ((payload: Uint8Array) => void);
  /** The messages of a `query`, in batches as they would be received. */
  readonly answer?: readonly (readonly ScriptedMessage[])[];
  /** Positive errno: refused, after the messages of `answer`. */
  readonly refuse?: number;
  /** The table changed meanwhile: the query rejects with `dump-interrupted`. */
  readonly interrupted?: boolean;
}

/**
 * A kernel for tests that is told beforehand what it will be asked, and refuses everything else: out of order,
 * another type, another payload. At the end `finish()` demands that everything was asked.
 */
export class ScriptedTransport implements NetlinkTransport {
  readonly #script: Exchange[];
  readonly #listeners: { readonly groups: readonly number[]; readonly listener: Listener }[] = [];
  #closed = false;
  #asked = 0;

  constructor(script: readonly Exchange[] = []) {
    this.#script = [...script];
  }

  /** Adds an exchange to the end of the script. */
  expect(exchange: Exchange): this {
    this.#script.push(exchange);
    return this;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Throws when something that was expected was never asked. */
  finish(): void {
    if (this.#asked === this.#script.length) return;
    throw new AssertionError({
      message: `${this.#script.length - this.#asked} of ${this.#script.length} expected requests never came, the next of type ${this.#script[this.#asked]?.type}`,
    });
  }

  /** A multicast message to everybody who listens to the group. */
  emit(group: number, message: ScriptedMessage): void {
    for (const { groups, listener } of [...this.#listeners]) {
      if (groups.includes(group)) listener.message(asMessage(message, 0));
    }
  }

  /** The kernel dropped events of every listener. */
  overflow(): void {
    for (const { listener } of [...this.#listeners]) listener.overflow();
  }

  async transact(
    requests: Iterable<Request>,
    options: TransactOptions = {},
  ): Promise<readonly (NetlinkError | null)[]> {
    this.#check(options.signal);
    const results: (NetlinkError | null)[] = [];
    for (const request of requests) {
      const exchange = this.#next(request);
      if (exchange.answer !== undefined)
        throw unexpected(this.#asked, "it was transacted, the script answers a query");
      results.push(exchange.refuse === undefined ? null : refusalOf(request, exchange.refuse));
    }
    return results;
  }

  async query(
    request: Request,
    onMessage: (message: Message) => void,
    options: QueryOptions = {},
  ): Promise<void> {
    this.#check(options.signal);
    const exchange = this.#next(request);
    for (const batch of exchange.answer ?? []) {
      for (const message of batch)
        onMessage(asMessage(message, exchange.interrupted === true ? NLM_F_DUMP_INTR : 0));
      await options.onBatch?.();
      this.#check(options.signal);
    }
    if (exchange.refuse !== undefined) throw refusalOf(request, exchange.refuse);
    if (exchange.interrupted === true) {
      throw new NetlinkError({
        code: "dump-interrupted",
        operation: request.operation ?? "request",
        message: "scripted",
      });
    }
  }

  listen(groups: readonly number[], listener: Listener): Disposable {
    this.#check(undefined);
    const entry = { groups, listener };
    this.#listeners.push(entry);
    return {
      [Symbol.dispose]: () => {
        const index = this.#listeners.indexOf(entry);
        if (index >= 0) this.#listeners.splice(index, 1);
      },
    };
  }

  close(): void {
    this.#closed = true;
    this.#listeners.length = 0;
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #check(signal: AbortSignal | undefined): void {
    if (this.#closed)
      throw new NetlinkError({ code: "closed", operation: "netlink", message: "the socket was closed" });
    if (signal?.aborted === true) {
      throw new NetlinkError({
        code: "aborted",
        operation: "request",
        message: "aborted",
        cause: signal.reason,
      });
    }
  }

  #next(request: Request): Exchange {
    const exchange = this.#script[this.#asked];
    if (exchange === undefined)
      throw unexpected(this.#asked, `type ${request.type} came after the end of the script`);
    if (exchange.type !== request.type)
      throw unexpected(this.#asked, `type ${request.type}, expected ${exchange.type}`);
    if (exchange.flags !== undefined && exchange.flags !== request.flags) {
      throw unexpected(this.#asked, `flags ${request.flags}, expected ${exchange.flags}`);
    }
    if (typeof exchange.payload === "function") exchange.payload(request.payload);
    else if (exchange.payload !== undefined && Buffer.compare(exchange.payload, request.payload) !== 0) {
      const [found, expected] = [request.payload, exchange.payload].map((bytes) =>
        Buffer.from(bytes).toString("hex"),
      );
      throw unexpected(this.#asked, `payload\n${found}, expected\n${expected}`);
    }
    this.#asked++;
    return exchange;
  }
}

function asMessage({ type, payload, flags = 0 }: ScriptedMessage, more: number): Message {
  // The buffer is larger than the message, as in production: who reads past the end finds rubbish.
  const bytes = new Uint8Array(payload.length + 32).fill(0xa5);
  bytes.set(payload, 16);
  return { bytes, type, flags: flags | more, sequence: 0, portId: 0, start: 16, end: 16 + payload.length };
}

function refusalOf(request: Request, errno: number): NetlinkError {
  return new NetlinkError({
    code: "refused",
    operation: request.operation ?? "request",
    errno,
    message: errnoText(errno),
  });
}

function unexpected(index: number, problem: string): AssertionError {
  return new AssertionError({ message: `request ${index}: ${problem}` });
}
