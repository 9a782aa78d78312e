import {
  type Message,
  NETLINK_NETFILTER,
  NetlinkError,
  NetlinkSocket,
  type NetlinkTransport,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  type Request,
} from "@antenna/netlink";
import { group, message, subsystem } from "./ctnetlink.js";
import { copyEntry, type Entry } from "./entry.js";
import type { EntryOperation, MarkChange, NewEntry } from "./entry-change.js";
import type { EntryKey } from "./entry-key.js";
import { EntryParser } from "./entry-parser.js";
import { type DumpFilter, EntryWriter } from "./entry-writer.js";

export interface ConntrackOptions {
  /** Path of the network namespace (`/run/netns/web1`, `/proc/PID/ns/net`); null, the default: the caller's own. */
  readonly namespace?: string | null;
  /** Kernel buffer of each `listen`, in bytes; default 4 MiB. A queued event costs about 1.3 kB. */
  readonly receiveBufferBytes?: number;
  /** How long events may gather before they are read together, in milliseconds; default 20. */
  readonly coalesceMs?: number;
  /** Whether listening keeps the process alive; default true. */
  readonly keepAlive?: boolean;
}

export interface DumpOptions {
  /** What to give; the kernel leaves out the rest. Default: everything. */
  readonly filter?: DumpFilter;
  readonly signal?: AbortSignal;
  /** Called between reads; what it returns is awaited, so that a slow consumer slows the kernel and not the heap. */
  readonly onBatch?: () => void | Promise<void>;
}

/** What happened to an entry. `update` is also how the kernel tells an entry that somebody wrote by hand. */
export type EventKind = "new" | "update" | "destroy";

export interface EventListener {
  /** The record is valid during the call only. */
  event(kind: EventKind, entry: Entry): void;
  /** Events were lost, or one could not be read: dump, and compare. */
  overflow(): void;
}

/** A membership in event groups; closing it leaves them. */
export interface EventSubscription extends Disposable {
  close(): void;
}

const enoent = 2;

/**
 * Connection tracking of one network namespace over ctnetlink. Reading and writing need CAP_NET_ADMIN.
 *
 * Methods reject with NetlinkError: `refused` with the kernel's errno, `aborted`, `closed`, `malformed`.
 */
export class Conntrack implements Disposable {
  readonly #transport: NetlinkTransport;
  /** For single answers: each is copied before anything else can be read. */
  readonly #parser = new EntryParser();

  /** On a transport of one's own, a scripted one in tests. `Conntrack.open` is the usual way. */
  constructor(transport: NetlinkTransport) {
    this.#transport = transport;
  }

  static open(options: ConntrackOptions = {}): Conntrack {
    return new Conntrack(NetlinkSocket.open({ ...options, protocol: NETLINK_NETFILTER }));
  }

  /**
   * Calls `onEntry` for every entry, with one record that is used again for the next. Entries that come or go
   * meanwhile may or may not be among them.
   */
  async dump(onEntry: (entry: Entry) => void, options: DumpOptions = {}): Promise<void> {
    const { filter = {}, ...rest } = options;
    const parser = new EntryParser();
    const payload = new EntryWriter().dump(filter);
    await this.#transport.query(
      { type: typeOf(message.get), flags: NLM_F_DUMP, payload, operation: "conntrack dump" },
      (answer) => {
        if (isEntry(answer)) onEntry(parser.parse(answer.bytes, answer.start, answer.end));
      },
      rest,
    );
  }

  /** The entry that has this tuple in one of its directions, as a copy; null: there is none. */
  async get(key: EntryKey, options: { readonly signal?: AbortSignal } = {}): Promise<Entry | null> {
    const parser = this.#parser;
    const payload = new EntryWriter().key(key);
    let found: Entry | null = null;
    try {
      await this.#transport.query(
        { type: typeOf(message.get), flags: 0, payload, operation: "conntrack get" },
        (answer) => {
          if (isEntry(answer)) found = copyEntry(parser.parse(answer.bytes, answer.start, answer.end));
        },
        options,
      );
    } catch (error) {
      if (error instanceof NetlinkError && error.errno === enoent) return null;
      throw error;
    }
    return found;
  }

  /**
   * Writes bits of marks, many entries to a system call. The result holds, in order, null or the kernel's refusal
   * (ENOENT: no such entry).
   *
   * The kernel finds an entry by its tuple, in either direction, and does not look at ids here (seen on 6.18): a later
   * entry of the same tuple is changed too. `get` afterwards tells.
   */
  async changeMarks(
    changes: Iterable<MarkChange>,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<readonly (NetlinkError | null)[]> {
    return await this.#transport.transact(markRequests(changes), options);
  }

  /** Makes entries; the refusal is EEXIST where one of the two tuples is tracked already: it is left as it is. */
  async create(
    entries: Iterable<NewEntry>,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<readonly (NetlinkError | null)[]> {
    return await this.#transport.transact(createRequests(entries), options);
  }

  /**
   * Deletes exactly these entries, by tuple and id (ENOENT: that one is gone). There is no way to flush: some kernels
   * ignore the filter of a flush and empty the whole table.
   */
  async delete(
    entries: Iterable<{ readonly key: EntryKey; readonly id: number }>,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<readonly (NetlinkError | null)[]> {
    return await this.#transport.transact(deleteRequests(entries), options);
  }

  /**
   * Several kinds of change in the order given, many to a system call: what takes an entry's place is there at once after
   * the deletion. A refused step does not hold up the next; the result holds, in order, null or the kernel's refusal.
   */
  async write(
    operations: Iterable<EntryOperation>,
    options: { readonly signal?: AbortSignal } = {},
  ): Promise<readonly (NetlinkError | null)[]> {
    return await this.#transport.transact(operationRequests(operations), options);
  }

  /**
   * Tells events until the result is closed. Joining costs every flow of the namespace time in the packet path: most
   * with `update`, which a short TCP connection gives five times. With net.netfilter.nf_conntrack_events=2, the
   * default, an entry that was born while nobody listened never gives an event.
   */
  listen(kinds: readonly EventKind[], listener: EventListener): EventSubscription {
    const parser = new EntryParser();
    const subscription = this.#transport.listen(
      kinds.map((kind) => group[kind]),
      {
        message: (told) => {
          const kind = kindOf(told);
          if (kind === null) return;
          let entry: Entry;
          try {
            entry = parser.parse(told.bytes, told.start, told.end);
          } catch (error) {
            if (!(error instanceof NetlinkError)) throw error;
            listener.overflow();
            return;
          }
          listener.event(kind, entry);
        },
        overflow: () => listener.overflow(),
      },
    );
    return {
      close: () => subscription[Symbol.dispose](),
      [Symbol.dispose]: () => subscription[Symbol.dispose](),
    };
  }

  /** Idempotent; calls in flight reject with code `closed`, listening ends. */
  close(): void {
    this.#transport.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function* markRequests(changes: Iterable<MarkChange>): Generator<Request> {
  const writer = new EntryWriter();
  for (const change of changes) yield markRequest(writer, change);
}

function* createRequests(entries: Iterable<NewEntry>): Generator<Request> {
  const writer = new EntryWriter();
  for (const entry of entries) yield createRequest(writer, entry);
}

function* deleteRequests(
  entries: Iterable<{ readonly key: EntryKey; readonly id: number }>,
): Generator<Request> {
  const writer = new EntryWriter();
  for (const { key, id } of entries) yield deleteRequest(writer, key, id);
}

function* operationRequests(operations: Iterable<EntryOperation>): Generator<Request> {
  const writer = new EntryWriter();
  for (const operation of operations) {
    switch (operation.do) {
      case "mark":
        yield markRequest(writer, operation.change);
        break;
      case "create":
        yield createRequest(writer, operation.entry);
        break;
      case "delete":
        yield deleteRequest(writer, operation.key, operation.id);
        break;
    }
  }
}

function markRequest(writer: EntryWriter, change: MarkChange): Request {
  const payload = writer.markChange(change);
  return { type: typeOf(message.new), flags: 0, payload, operation: "conntrack change mark" };
}

function createRequest(writer: EntryWriter, entry: NewEntry): Request {
  const payload = writer.create(entry);
  const flags = NLM_F_CREATE | NLM_F_EXCL;
  return { type: typeOf(message.new), flags, payload, operation: "conntrack create" };
}

function deleteRequest(writer: EntryWriter, key: EntryKey, id: number): Request {
  const payload = writer.keyAndId(key, id);
  return { type: typeOf(message.delete), flags: 0, payload, operation: "conntrack delete" };
}

function typeOf(number: number): number {
  return (subsystem << 8) | number;
}

function isEntry(answer: Message): boolean {
  return answer.type === typeOf(message.new);
}

function kindOf(told: Message): EventKind | null {
  if (told.type === typeOf(message.delete)) return "destroy";
  if (told.type !== typeOf(message.new)) return null;
  return (told.flags & (NLM_F_CREATE | NLM_F_EXCL)) === 0 ? "update" : "new";
}
