import { LocalAddresses, NETLINK_ROUTE, NETLINK_SOCK_DIAG, NetlinkSocket, SockDiag } from "@antenna/netlink";
import type { CallOptions, Clock, ConnectionTable, CutResult, Logger, TrackedFlow } from "@antenna/sdk";
import { AntennaError } from "@antenna/sdk";
import { Conntrack, type Entry, type NewEntry, pickedUp } from "netfilter-conntrack";
import { connectionError } from "./connection-error.js";
import { CutKeeper } from "./cut-keeper.js";
import { flowBatches } from "./flow-batches.js";
import { flowKey } from "./flow-entry.js";
import type { KeptCut } from "./kept-cut.js";
import { ListeningPorts } from "./listening-ports.js";
import { LocalAddressSet } from "./local-address-set.js";
import { LocalSockets } from "./local-sockets.js";
import { defaultSettings, type NamespaceSettings, readNamespaceSettings } from "./namespace-settings.js";
import type { OverwrittenBy } from "./overwrite-reports.js";
import { bothWays, isOneWay } from "./severed-flow.js";
import { enterConnections, silentConnection } from "./silent-connection.js";
import { type FlowRecord, fillFlow, localEnds, resolveFlow, sameTuple, tcp, udp } from "./tracked-flow.js";
import { UnseenFlows } from "./unseen-flows.js";

export interface ConnectionTableOptions {
  /** Path of the network namespace; null: the caller's own. Another one than the own needs CAP_SYS_ADMIN. */
  readonly namespace: string | null;
  /** The bit of the connection mark that says "cut". */
  readonly cutMark: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Flows that are kept cut at most; default 16,384. Further ones are marked, told in the log, and not watched. */
  readonly keptFlows?: number;
}

const enoent = 2;
/** Settings of the namespace are read again after this time. */
const settingsLastMs = 60_000;
/** Room for the end of every flow that is kept cut at once: about 1.3 kB each, of which the kernel doubles what is asked. */
const receiveBufferBytes = 16 * 1024 * 1024;
/** While events gather packets of cut flows pass. */
const coalesceMs = 5;

/**
 * The connection table of one network namespace, on ctnetlink and sock_diag. Needs CAP_NET_ADMIN; flushes nothing, writes
 * no setting, and touches no flow but those it is given.
 */
export async function openConnectionTable(
  options: ConnectionTableOptions & CallOptions,
): Promise<ConnectionTable> {
  const opened: Disposable[] = [];
  const open = <T extends Disposable>(socket: T): T => {
    opened.push(socket);
    return socket;
  };
  const { namespace } = options;
  try {
    const table = new NetfilterConnectionTable(options, {
      conntrack: open(Conntrack.open({ namespace, keepAlive: false, receiveBufferBytes, coalesceMs })),
      route: open(NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace })),
      diag: open(NetlinkSocket.open({ protocol: NETLINK_SOCK_DIAG, namespace })),
    });
    await table.begin(options);
    return table;
  } catch (error) {
    for (const socket of opened) socket[Symbol.dispose]();
    throw connectionError(error, `open connection tracking of ${namespace ?? "the own network namespace"}`);
  }
}

/** A flow as it was given, and as it is kept. */
interface CutFlow {
  readonly flow: TrackedFlow;
  readonly kept: TrackedFlow;
}

interface Sockets {
  readonly conntrack: Conntrack;
  readonly route: NetlinkSocket;
  readonly diag: NetlinkSocket;
}

class NetfilterConnectionTable implements ConnectionTable {
  readonly #options: ConnectionTableOptions;
  readonly #conntrack: Conntrack;
  readonly #route: NetlinkSocket;
  readonly #diag: NetlinkSocket;
  readonly #addresses: LocalAddresses;
  readonly #sockets: LocalSockets;
  readonly #keeper: CutKeeper;
  readonly #unseen = new UnseenFlows();
  readonly #listeners = new Set<Parameters<ConnectionTable["onOverwritten"]>[0]>();
  #settings: NamespaceSettings = defaultSettings;
  #settingsReadMs = Number.NEGATIVE_INFINITY;
  #local = new LocalAddressSet();
  #listening = new ListeningPorts(defaultSettings.ephemeralPorts);
  #toldRefused = 0;
  #closed: Promise<void> | null = null;

  constructor(options: ConnectionTableOptions, sockets: Sockets) {
    this.#options = options;
    const { cutMark, clock, logger } = options;
    const { conntrack, route, diag } = sockets;
    this.#conntrack = conntrack;
    this.#route = route;
    this.#diag = diag;
    this.#addresses = new LocalAddresses(route);
    this.#sockets = new LocalSockets(new SockDiag(diag));
    this.#keeper = new CutKeeper({
      conntrack,
      cutMark,
      clock,
      logger,
      onOverwritten: (flow, by) => this.#overwritten(flow, by),
      ...(options.keptFlows !== undefined && { capacity: options.keptFlows }),
    });
  }

  /** Learns what was tracked before anything of ours was in the kernel. */
  async begin(options: CallOptions): Promise<void> {
    await this.#unseen.begin(this.#conntrack, options.signal);
  }

  async *dump(options: CallOptions = {}): AsyncGenerator<readonly TrackedFlow[], void, undefined> {
    try {
      await this.#refresh(options);
      const context = { local: this.#local, cutMark: this.#options.cutMark, unseenUdp: this.#unseen.ids };
      const unseen = this.#unseen.pass();
      const batches = flowBatches(
        this.#conntrack,
        (record, entry) => {
          fillFlow(record, entry, context);
          unseen.saw(entry.id);
          return this.#asKept(record, entry);
        },
        options.signal,
      );
      yield* batches;
      unseen.complete();
    } catch (error) {
      throw connectionError(error, "read the connection table");
    }
  }

  async cut(flows: readonly TrackedFlow[], options: CallOptions = {}): Promise<CutResult> {
    if (flows.length === 0) return { cut: 0, gone: 0, socketsEnded: 0 };
    try {
      const cut = await this.#keeper.exclusively(() => this.#mark(flows, options));
      this.#tellRefused();
      const socketsEnded = await this.#endSockets(cut);
      return { cut: cut.length, gone: flows.length - cut.length, socketsEnded };
    } catch (error) {
      throw connectionError(error, `cut ${flows.length} flows`);
    } finally {
      this.#keeper.settle();
    }
  }

  /** All marks first; what is known of the entries is read when nothing passes any more. Gives the flows that are cut. */
  async #mark(flows: readonly TrackedFlow[], options: CallOptions): Promise<readonly CutFlow[]> {
    const { cutMark } = this.#options;
    using _ = this.#keeper.marking();
    const refusals = await this.#conntrack.changeMarks(
      flows.map((flow) => ({ key: flowKey(flow), value: cutMark, mask: cutMark })),
      options,
    );
    const cut: CutFlow[] = [];
    for (const [index, flow] of flows.entries()) {
      const refusal = refusals[index] ?? null;
      if (refusal !== null && refusal.errno !== enoent) throw refusal;
      if (refusal !== null) continue;
      const entry = await this.#conntrack.get(flowKey(flow), options);
      if (entry !== null && this.#keeper.list.byFlow(flow) === undefined && isLater(entry, flow)) {
        // The kernel does not look at ids when it changes marks.
        await this.#conntrack.changeMarks([{ key: flowKey(flow), value: 0, mask: cutMark }]);
        continue;
      }
      const resolved = resolveFlow({ ...flow, cut: true }, (asked) => this.isInbound(asked));
      if (entry === null) this.#keeper.keepDeleted(resolved);
      else this.#keeper.keepMarked(resolved, entry);
      cut.push({ flow, kept: resolved });
    }
    return cut;
  }

  #tellRefused(): void {
    const { refused, size } = this.#keeper.list;
    if (refused <= this.#toldRefused) return;
    this.#options.logger.warn(
      { notWatched: refused - this.#toldRefused, watched: size },
      "more flows were cut than are watched: these stay cut unless somebody takes the mark off",
    );
    this.#toldRefused = refused;
  }

  /** Marked flows are cut already; a socket that cannot be ended only leaves its process waiting. */
  async #endSockets(cut: readonly CutFlow[]): Promise<number> {
    try {
      const ended = await this.#sockets.end(cut.map(({ flow }) => flow));
      for (const { flow, kept } of cut) {
        const watched = ended.has(flow) ? this.#keeper.list.byFlow(kept) : undefined;
        if (watched === undefined) continue;
        watched.ended = true;
        // The reset that the socket sent made its entry short-lived.
        this.#keeper.suspect(watched);
      }
      return ended.size;
    } catch (error) {
      this.#options.logger.warn(
        { error },
        "local sockets of cut flows could not be ended; the flows are cut all the same",
      );
      return 0;
    }
  }

  async restore(flows: readonly TrackedFlow[], options: CallOptions = {}): Promise<void> {
    if (flows.length === 0) return;
    const { cutMark } = this.#options;
    try {
      await this.#keeper.exclusively(async () => {
        for (const flow of flows) await this.#keeper.release(flow);
        const refusals = await this.#conntrack.changeMarks(
          flows.map((flow) => ({ key: flowKey(flow), value: 0, mask: cutMark })),
          options,
        );
        const refusal = refusals.find((found) => found !== null && found.errno !== enoent);
        if (refusal !== null && refusal !== undefined) throw refusal;
      });
    } catch (error) {
      throw connectionError(error, `take the cut mark off ${flows.length} flows`);
    } finally {
      this.#keeper.settle();
    }
  }

  cutFlows(): readonly TrackedFlow[] {
    return Array.from(this.#keeper.list, ({ flow }) => flow);
  }

  async enterSilent(
    options: CallOptions = {},
  ): Promise<{ readonly entered: number; readonly existing: number; readonly failed: number }> {
    try {
      await this.#refresh(options);
      // Until now a flow's first packet in tracking may have been one from its middle.
      await this.#unseen.settle(this.#conntrack, options.signal);
      return await this.#enterSilent(options);
    } catch (error) {
      throw connectionError(error, "enter silent connections into connection tracking");
    }
  }

  async #enterSilent(options: CallOptions) {
    const seconds = this.#settings.establishedTimeoutSeconds;
    const entries: NewEntry[] = [];
    await this.#sockets.connected((socket) => {
      // What never leaves the host is never judged.
      if (this.#local.has(socket.remoteAddress)) return;
      entries.push(silentConnection(socket, this.#listening, seconds));
    }, options);
    return await enterConnections(this.#conntrack, entries, {
      ...options,
      onRefused: (error) => this.#options.logger.warn({ error }, "a silent connection could not be entered"),
    });
  }

  isInbound(flow: TrackedFlow): boolean {
    const ends = localEnds(flow);
    if (ends === null) return false;
    if (flow.protocol === tcp) return this.#listening.listensTcp(ends.local, ends.localPort);
    if (flow.protocol === udp) return this.#listening.servesUdp(ends.local, ends.localPort);
    return false;
  }

  onOverwritten(listener: Parameters<ConnectionTable["onOverwritten"]>[0]): void {
    this.#listeners.add(listener);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed ??= this.#close();
    await this.#closed;
  }

  async #close(): Promise<void> {
    const stopped = this.#keeper.close();
    this.#conntrack.close();
    this.#route.close();
    this.#diag.close();
    await stopped;
  }

  /** Addresses, listening ports and settings as they are now: before every pass. */
  async #refresh(options: CallOptions): Promise<void> {
    if (this.#closed !== null) {
      throw new AntennaError({ code: "closed", operation: "connection table", message: "it was closed" });
    }
    const { clock, namespace, logger } = this.#options;
    if (clock.now() - this.#settingsReadMs >= settingsLastMs) {
      this.#settings = await readNamespaceSettings(namespace, logger);
      this.#settingsReadMs = clock.now();
    }
    this.#local = new LocalAddressSet(await this.#addresses.list(options));
    this.#listening = await this.#sockets.listening(this.#settings.ephemeralPorts, options);
  }

  /** A flow that is kept cut is shown as it was judged, whatever became of its entry; null: a second entry of it. */
  #asKept(record: FlowRecord, entry: Entry): TrackedFlow | null {
    if (isOneWay(entry)) return this.#asSevered(bothWays({ ...record, cut: true }), entry);
    const { list } = this.#keeper;
    const kept = list.byEntry(entry) ?? (record.cut ? list.byFlow(record) : undefined);
    if (kept !== undefined) return { ...kept.flow, id: entry.id, cut: record.cut, closing: record.closing };
    if (record.cut) this.#adopt(record, entry);
    return record;
  }

  #asSevered(half: TrackedFlow, entry: Entry): TrackedFlow | null {
    const kept = this.#keeper.list.byFlow(half) ?? this.#adopt(half, entry);
    if (kept === null) return half;
    kept.severed = true;
    return sameTuple(kept.flow.original, half.original) ? { ...kept.flow, id: entry.id, cut: true } : null;
  }

  /** Cut before this process began: from now on it is kept so. */
  #adopt(flow: TrackedFlow, entry: Entry): KeptCut | null {
    if (flow.direction !== "in" && flow.direction !== "out") return null;
    this.#keeper.listen();
    return this.#keeper.keep(
      resolveFlow(flow, (asked) => this.isInbound(asked)),
      entry,
    );
  }

  #overwritten(flow: TrackedFlow, by: OverwrittenBy): void {
    for (const listener of this.#listeners) listener({ flow, by });
  }
}

/** Whether this is a later entry of the same tuple; see `isOther` for why its id need not tell. */
function isLater(entry: Entry, flow: TrackedFlow): boolean {
  if (entry.id !== flow.id) return true;
  return entry.tcp !== null && flow.openingSeen === pickedUp(entry.tcp.flagsOriginal, entry.tcp.flagsReply);
}
