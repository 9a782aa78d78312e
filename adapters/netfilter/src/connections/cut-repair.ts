import type { NetlinkError } from "@antenna/netlink";
import type { Clock, Logger } from "@antenna/sdk";
import {
  type Conntrack,
  type EntryOperation,
  type MarkChange,
  type NewEntry,
  status,
} from "netfilter-conntrack";
import type { CutList } from "./cut-list.js";
import { flowKey, replaceable, replacement } from "./flow-entry.js";
import { expectOther, expectReplacement, expectSame, isOver, type KeptCut, lose } from "./kept-cut.js";
import type { OverwriteReports } from "./overwrite-reports.js";
import { oneWayEntries, sever, severance } from "./severed-flow.js";
import { isIcmp, tcp, udp } from "./tracked-flow.js";

export interface CutRepairOptions {
  readonly conntrack: Conntrack;
  readonly cutMark: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly list: CutList;
  readonly reports: OverwriteReports;
}

export interface Repaired {
  /** Their entries are ours and marked; whether these give events is not known. */
  readonly made: readonly KeptCut[];
  /** They are to be read: somebody else was quicker. */
  readonly doubtful: readonly KeptCut[];
}

/** A mark that is overwritten again within this time is fought over: a rule writes it with every packet. */
const foughtOverMs = 10_000;
/** The kernel tells of our own writing in the order of events; this is for an event that gets lost. */
const echoMs = 50;
/** Entries that a dump did not show, and that are asked for before anything is written: some milliseconds. */
const askedFirst = 256;
/** Shortest life of an entry that takes the place of a deleted one. */
const shortestReplacementSeconds = 10;

const enoent = 2;
const eexist = 17;

/**
 * Writes what keeps flows cut: marks, entries in the place of deleted ones, one-way entries. Many flows at once and without
 * reading anything first, since packets pass until it is done. Methods give the flows that are to be read afterwards,
 * where somebody else was quicker.
 */
export class CutRepair {
  readonly #conntrack: Conntrack;
  readonly #cutMark: number;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #list: CutList;
  readonly #reports: OverwriteReports;

  constructor(options: CutRepairOptions) {
    this.#conntrack = options.conntrack;
    this.#cutMark = options.cutMark;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#list = options.list;
    this.#reports = options.reports;
  }

  /** Entries that are gone: expired, then the flow is over; or deleted, then they are put back with the mark. */
  async putBack(gone: readonly KeptCut[]): Promise<Repaired> {
    const { made, taken } = await this.#putBack(gone);
    for (const kept of taken) expectOther(kept);
    return { made, doubtful: [...(await this.mark(taken)), ...taken] };
  }

  /** Entries that a dump of the marked ones did not show: gone, or there without the mark. */
  async putBackOrMark(missing: readonly KeptCut[]): Promise<Repaired> {
    const ids = new Map(missing.map((kept) => [kept, kept.id]));
    const { made, taken } = await this.#putBack(missing);
    for (const kept of taken) this.#list.renumber(kept, () => expectSame(kept, ids.get(kept) ?? 0));
    // A dump may miss an entry. Asking for a few tells what became of them; asking for many takes too long.
    if (taken.length <= askedFirst) return { made, doubtful: taken };
    return { made, doubtful: [...(await this.markAgain(taken)), ...taken] };
  }

  async #putBack(gone: readonly KeptCut[]): Promise<{ readonly made: KeptCut[]; readonly taken: KeptCut[] }> {
    const now = this.#clock.now();
    const replaced: KeptCut[] = [];
    for (const kept of gone) {
      if (isOver(kept, now)) this.#list.delete(kept);
      else if (replaceable(kept.flow)) replaced.push(kept);
      else lose(kept, now);
    }
    // An event about the entry that we make may be heard before we know its id.
    for (const kept of replaced) this.#list.renumber(kept, () => expectReplacement(kept));
    const refusals = await this.#conntrack.create(this.#replacements(replaced, now));
    const made: KeptCut[] = [];
    const taken: KeptCut[] = [];
    for (const [index, kept] of replaced.entries()) {
      const refusal = refusals[index] ?? null;
      if (refusal === null) {
        made.push(kept);
        this.#reports.add(kept, "entry-deleted");
      } else if (refusal.errno === eexist) {
        taken.push(kept);
      } else {
        this.#fail(kept, refusal);
      }
    }
    return { made, taken };
  }

  /** Sets the mark again that was found overwritten; where it is fought over, does without it. */
  async markAgain(unmarked: readonly KeptCut[]): Promise<readonly KeptCut[]> {
    const now = this.#clock.now();
    const marked: KeptCut[] = [];
    const silent: KeptCut[] = [];
    const foughtOver: KeptCut[] = [];
    for (const kept of unmarked) {
      const again = now - kept.overwrittenAtMs < foughtOverMs;
      kept.overwrittenAtMs = now;
      // Where nothing would tell of the next time, the entry is replaced by one that does.
      if (again && replaceable(kept.flow)) foughtOver.push(kept);
      else if (!kept.heard && kept.probed && isRenewable(kept)) silent.push(kept);
      else marked.push(kept);
      this.#reports.add(kept, "mark-overwritten");
    }
    const doubtful = [...(await this.mark(marked)), ...(await this.renew(silent))];
    return [...doubtful, ...(await this.#sever(foughtOver))];
  }

  /** Writes the mark, whether it is there or not: an entry that gives events gives one for that. */
  async mark(list: readonly KeptCut[]): Promise<readonly KeptCut[]> {
    if (list.length === 0) return [];
    const now = this.#clock.now();
    for (const kept of list) kept.echoDueMs = now + echoMs;
    const refusals = await this.#conntrack.changeMarks(this.#marks(list));
    const doubtful: KeptCut[] = [];
    for (const [index, kept] of list.entries()) {
      const refusal = refusals[index] ?? null;
      if (refusal === null) {
        kept.probed = true;
        continue;
      }
      kept.echoDueMs = Number.NEGATIVE_INFINITY;
      kept.heard = false;
      if (refusal.errno === enoent) doubtful.push(kept);
      else {
        this.#logger.warn(
          { error: refusal },
          "the mark of a cut flow could not be set again; this is tried again",
        );
      }
    }
    return doubtful;
  }

  /**
   * Entries that give no events, since nobody listened when they were born, are replaced by ones that do, each by the
   * next message and for what is left of its time: nothing has to be asked about them any more.
   */
  async renew(silent: readonly KeptCut[]): Promise<readonly KeptCut[]> {
    if (silent.length === 0) return [];
    const now = this.#clock.now();
    const operations: EntryOperation[] = [];
    for (const kept of silent) {
      operations.push(
        { do: "delete", key: flowKey(kept.flow), id: kept.id },
        { do: "create", entry: this.#replacement(kept, kept.expiresAtMs, now, 1) },
        { do: "mark", change: this.#mark(kept) },
      );
      this.#list.renumber(kept, () => expectReplacement(kept));
      kept.renewed = true;
    }
    const refusals = await this.#conntrack.write(operations);
    const doubtful: KeptCut[] = [];
    for (const [index, kept] of silent.entries()) {
      kept.probed = true;
      if ((refusals[index * 3 + 1] ?? null) === null) continue;
      // What a packet made in between has the mark by now, as has the entry itself if it was another one.
      expectOther(kept);
      doubtful.push(kept);
    }
    return doubtful;
  }

  /** Another flow has the tuple now: what we wrote on its entry is taken off. */
  async unmark(list: readonly KeptCut[]): Promise<void> {
    const mask = this.#cutMark;
    await this.#conntrack.changeMarks(list.map(({ flow }) => ({ key: flowKey(flow), value: 0, mask })));
  }

  /** One-way entries that were deleted. What stands there now is to be read: packets may have been quicker. */
  async putBackOneWay(severed: readonly KeptCut[]): Promise<readonly KeptCut[]> {
    if (severed.length === 0) return [];
    for (const kept of severed) {
      this.#list.renumber(kept, () => expectReplacement(kept));
      this.#reports.add(kept, "entry-deleted");
    }
    await this.#conntrack.create(
      severed.flatMap((kept) => oneWayEntries(kept.flow, this.#oneWayFacts(kept))),
    );
    return severed;
  }

  /** One-way entries for one flow, in the place of whatever stands there. */
  async severAgain(kept: KeptCut): Promise<void> {
    const facts = this.#oneWayFacts(kept);
    this.#list.renumber(kept, () => expectReplacement(kept));
    kept.severed = await sever(this.#conntrack, kept.flow, facts);
  }

  async #sever(foughtOver: readonly KeptCut[]): Promise<readonly KeptCut[]> {
    if (foughtOver.length === 0) return [];
    const operations: EntryOperation[] = [];
    const ends: number[] = [];
    for (const kept of foughtOver) {
      operations.push(...severance(kept.flow, { id: kept.id, ...this.#oneWayFacts(kept) }));
      ends.push(operations.length);
      kept.dismissedId = kept.heard ? kept.id : 0;
      this.#list.renumber(kept, () => expectReplacement(kept));
    }
    const refusals = await this.#conntrack.write(operations);
    for (const [index, kept] of foughtOver.entries()) {
      const began = ends[index - 1] ?? 0;
      // The first is the deletion: what stood there may have gone by itself.
      kept.severed = refusals.slice(began + 1, ends[index]).every((refusal) => refusal === null);
      if (!kept.severed) await this.severAgain(kept);
      if (!kept.severed) expectOther(kept);
    }
    await this.mark(foughtOver.filter((kept) => !kept.severed));
    return foughtOver;
  }

  #fail(kept: KeptCut, refusal: NetlinkError): void {
    expectOther(kept);
    lose(kept, this.#clock.now());
    this.#logger.warn(
      { error: refusal },
      "the entry of a cut flow was deleted and could not be put back; it is marked if a packet makes it anew",
    );
  }

  *#replacements(deleted: readonly KeptCut[], now: number): Generator<NewEntry> {
    for (const kept of deleted) {
      const untilMs = Math.max(kept.expiresAtMs, kept.ended ? 0 : kept.keepUntilMs);
      yield this.#replacement(kept, untilMs, now, shortestReplacementSeconds);
    }
  }

  #replacement(kept: KeptCut, untilMs: number, now: number, leastSeconds: number): NewEntry {
    return replacement(kept.flow, {
      status: kept.status | (kept.flow.protocol === tcp ? status.seenReply | status.assured : 0),
      mark: (kept.mark | this.#cutMark) >>> 0,
      timeoutSeconds: secondsUntil(untilMs, now, leastSeconds),
      tcpState: kept.ended ? kept.tcpState : null,
    });
  }

  *#marks(list: readonly KeptCut[]): Generator<MarkChange> {
    for (const kept of list) yield this.#mark(kept);
  }

  #mark({ flow }: KeptCut): MarkChange {
    return { key: flowKey(flow), value: this.#cutMark, mask: this.#cutMark };
  }

  #oneWayFacts(kept: KeptCut): { readonly mark: number; readonly timeoutSeconds: number } {
    const timeoutSeconds = secondsUntil(kept.expiresAtMs, this.#clock.now(), shortestReplacementSeconds);
    return { mark: (kept.mark | this.#cutMark) >>> 0, timeoutSeconds };
  }
}

function secondsUntil(untilMs: number, now: number, leastSeconds: number): number {
  return Math.max(leastSeconds, Math.ceil((untilMs - now) / 1_000));
}

/**
 * Whether an entry that gives no events can be replaced by one that does. A TCP entry tells which side opened the
 * connection, one of ours would not: it stays, and its socket is ended as a rule, so that it is soon over. What the kernel
 * knows of other protocols' state cannot be told to it either.
 */
export function isRenewable({ renewed, flow }: KeptCut): boolean {
  return !renewed && (flow.protocol === udp || isIcmp(flow.protocol)) && replaceable(flow);
}
