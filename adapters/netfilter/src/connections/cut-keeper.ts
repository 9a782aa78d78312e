import type { Clock, Logger, TrackedFlow } from "@antenna/sdk";
import {
  type Conntrack,
  type Entry,
  type EventKind,
  type EventSubscription,
  pickedUp,
  status,
} from "netfilter-conntrack";
import { CutList } from "./cut-list.js";
import { flowKey, replaceable, replacement } from "./flow-entry.js";
import { isOther, isOver, type KeptCut, keepCut, lose, observe } from "./kept-cut.js";
import { clear, sever, severedEntries } from "./severed-flow.js";
import { tcp } from "./tracked-flow.js";

export interface CutKeeperOptions {
  readonly conntrack: Conntrack;
  readonly cutMark: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onOverwritten: (flow: TrackedFlow, by: OverwrittenBy) => void;
  /** Flows that are watched at most; default 16,384. */
  readonly capacity?: number;
}

export type OverwrittenBy = "mark-overwritten" | "entry-deleted";

const defaultCapacity = 16_384;
/** Pause between two looks at flows whose entries give no events, or are about to expire. */
const attentiveMs = 150;
/** Pause before the next look at a flow whose mark was just found overwritten: is it fought over? */
const urgentMs = 25;
const urgentForMs = 1_000;
/**
 * Pause between two looks at all others. A TCP entry can turn short-lived without an event (its packets die before the
 * kernel tells), by default to 10 s: several looks must fall into that.
 */
const calmMs = 2_000;
/** An entry that expires so soon is looked at attentively, to tell expiry from deletion. */
const nearExpiryMs = 3_000;
/** Looking attentively may take this part of a core; then pauses grow, up to the calm one. */
const shareOfTime = 0.05;
const calmShareOfTime = 0.02;
const longestCalmMs = 5_000;
/** Flows that are asked for one by one before others have their turn. */
const questionsAtOnce = 32;
/** What one question costs, and a dump of an empty table (the kernel walks its buckets), until one was measured. */
const questionMs = 0.04;
const dumpMs = 4;
/** An owner's rule may take the mark off with every packet: one flow is reported so often at most. */
const reportEveryMs = 1_000;
/** A mark that is overwritten again within this time is fought over: a rule writes it with every packet. */
const foughtOverMs = 10_000;
/** Shortest life of an entry that takes the place of a deleted one. */
const shortestReplacementSeconds = 10;

/**
 * Keeps cut flows cut. Marks get lost in two ways: the entry is deleted (`conntrack -F`, `-D`), and the next packet makes
 * a new one; or a rule of the owner writes the whole mark (`CONNMARK --save-mark`).
 *
 * Two senses: events (DESTROY and UPDATE), joined only while there are cut flows; and looking, for entries that give no
 * events (born while nobody listened, nf_conntrack_events=2), for events that were lost, and for expiry. A deleted entry
 * is put back with its mark, under which no packet of either side passes.
 */
export class CutKeeper {
  readonly #conntrack: Conntrack;
  readonly #cutMark: number;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onOverwritten: CutKeeperOptions["onOverwritten"];
  readonly #list: CutList;
  readonly #suspects = new Set<KeptCut>();
  #subscription: EventSubscription | null = null;
  #timer: { readonly dueMs: number; readonly handle: Disposable } | null = null;
  #working: Promise<void> | null = null;
  /** Writers of marks go one after the other: a mark taken off on purpose must not be put back. */
  #last: Promise<unknown> = Promise.resolve();
  #everything = false;
  #lookedAtAllMs = 0;
  #lookTookMs = 0;
  #dumpTookMs = dumpMs;
  #closed = false;

  constructor(options: CutKeeperOptions) {
    this.#conntrack = options.conntrack;
    this.#cutMark = options.cutMark;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#onOverwritten = options.onOverwritten;
    this.#list = new CutList(options.capacity ?? defaultCapacity);
  }

  get list(): CutList {
    return this.#list;
  }

  /** Runs alone among everything that writes marks. */
  async exclusively<T>(action: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(action);
    this.#last = mine.catch(() => undefined);
    return await mine;
  }

  /** Joins the event groups: before marks are set, so that these already tell whether an entry gives events. */
  listen(): void {
    if (this.#subscription !== null || this.#closed) return;
    this.#subscription = this.#conntrack.listen(["update", "destroy"], {
      event: (kind, entry) => this.#heard(kind, entry),
      overflow: () => {
        this.#everything = true;
        this.#wake();
      },
    });
  }

  /** Watches a flow whose entry carries the mark; false: no place left. */
  keep(flow: TrackedFlow, entry: Entry): KeptCut | null {
    const kept = keepCut(flow, entry, this.#clock.now());
    if (!this.#list.add(kept)) return null;
    this.#planWithin(attentiveMs);
    return kept;
  }

  /** Looks at a flow soon: its entry changed without an event. */
  suspect(kept: KeptCut): void {
    this.#suspects.add(kept);
    this.#wake();
  }

  /** Watches a flow no longer, because it may go on. */
  async release(flow: TrackedFlow): Promise<void> {
    const kept = this.#list.byFlow(flow);
    if (kept === undefined) return;
    this.#drop(kept);
    if (kept.severed) await clear(this.#conntrack, kept.flow);
  }

  /** Leaves the groups where nothing is left to watch. */
  settle(): void {
    if (this.#list.size > 0) return;
    this.#subscription?.close();
    this.#subscription = null;
    this.#timer?.handle[Symbol.dispose]();
    this.#timer = null;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#subscription?.close();
    this.#subscription = null;
    this.#timer?.handle[Symbol.dispose]();
    this.#timer = null;
    await this.#working;
    await this.#last;
  }

  #heard(kind: EventKind, entry: Entry): void {
    const kept = this.#list.byId(entry.id);
    if (kept === undefined) return;
    kept.heard = true;
    if (kept.severed) {
      if (kind === "destroy") this.suspect(kept);
      return;
    }
    if (kind === "update") {
      this.#list.renumber(kept, () => observe(kept, entry, this.#clock.now()));
      if ((entry.mark & this.#cutMark) !== 0) return;
    } else {
      kept.destroyed = true;
    }
    this.suspect(kept);
  }

  #wake(): void {
    if (this.#working !== null || this.#closed) return;
    this.#working = this.#work().finally(() => {
      this.#working = null;
      if (this.#suspects.size > 0 || this.#everything) this.#wake();
      else {
        this.settle();
        this.#plan();
      }
    });
  }

  /** Deleted entries first, all at once: until they are put back, packets pass. Each step lets others have their turn. */
  async #work(): Promise<void> {
    const began = this.#clock.now();
    try {
      if (this.#everything) {
        this.#everything = false;
        await this.exclusively(() => this.#lookAtAll());
      }
      while (this.#suspects.size > 0 && !this.#closed) {
        const deleted = this.#take(this.#list.size, (kept) => kept.destroyed && !kept.severed);
        if (deleted.length > 0) await this.exclusively(() => this.#putBack(deleted));
        else {
          const some = this.#take(questionsAtOnce, () => true);
          await this.exclusively(() => this.#look(some));
        }
      }
    } catch (error) {
      if (this.#closed) return;
      this.#logger.warn({ error }, "cut flows could not be looked at; this is tried again");
    } finally {
      this.#lookTookMs = this.#clock.now() - began;
    }
  }

  #take(most: number, wanted: (kept: KeptCut) => boolean): KeptCut[] {
    const taken: KeptCut[] = [];
    for (const kept of this.#suspects) {
      if (taken.length >= most) break;
      if (!wanted(kept)) continue;
      this.#suspects.delete(kept);
      if (this.#list.has(kept)) taken.push(kept);
    }
    return taken;
  }

  /** Few flows are asked for one by one; many by one dump of the marked entries, and one by one what it did not show. */
  async #lookAtAll(): Promise<void> {
    const began = this.#clock.now();
    this.#lookedAtAllMs = began;
    if (!this.#worthDump(this.#list.size)) {
      for (const kept of this.#list) this.#suspects.add(kept);
      return;
    }
    const missing = new Set(this.#list);
    const filter = { mark: { value: this.#cutMark, mask: this.#cutMark } };
    await this.#conntrack.dump(
      (entry) => {
        const kept = this.#list.byId(entry.id);
        if (kept === undefined || !kept.probed || kept.severed || isOther(kept, entry)) return;
        observe(kept, entry, this.#clock.now());
        missing.delete(kept);
      },
      { filter },
    );
    this.#dumpTookMs = this.#clock.now() - began;
    for (const kept of missing) this.#suspects.add(kept);
  }

  /** A dump costs by the size of the whole table, questions by their number. */
  #worthDump(questions: number): boolean {
    return questions * questionMs > this.#dumpTookMs;
  }

  async #look(suspects: readonly KeptCut[]): Promise<void> {
    const gone: KeptCut[] = [];
    for (const kept of suspects) {
      if (this.#closed) return;
      if (!this.#list.has(kept)) continue;
      if (kept.severed) {
        await this.#keepSevered(kept);
        continue;
      }
      const entry = await this.#conntrack.get(flowKey(kept.flow));
      if (entry === null) gone.push(kept);
      else await this.#meet(kept, entry);
    }
    if (gone.length > 0) await this.#putBack(gone);
  }

  /** An entry of the flow's tuple is there: is it the flow's, and does it carry the mark? */
  async #meet(kept: KeptCut, entry: Entry): Promise<void> {
    const now = this.#clock.now();
    const other = isOther(kept, entry);
    if (other && (isOver(kept, now) || openedAnew(entry))) {
      // A new flow of the same tuple: the policy judged its first packet.
      this.#drop(kept);
      return;
    }
    // Gone before its time: somebody deleted it.
    const deleted = other && now < kept.expiresAtMs;
    this.#list.renumber(kept, () => observe(kept, entry, now));
    const marked = (entry.mark & this.#cutMark) !== 0;
    if (!marked && !other) {
      const fought = now - kept.overwrittenAtMs < foughtOverMs;
      kept.overwrittenAtMs = now;
      if (fought && replaceable(kept.flow) && (await this.#sever(kept, now))) {
        this.#report(kept, "mark-overwritten");
        return;
      }
    }
    if (!marked || !kept.probed) {
      // A mark written again gives an event like any other: it tells whether this entry gives events at all.
      const [refusal] = await this.#conntrack.changeMarks([this.#mark(kept)]);
      if (refusal !== null && refusal !== undefined) {
        if (refusal.errno !== enoent) {
          this.#logger.warn(
            { error: refusal },
            "the mark of a cut flow could not be set again; this is tried again",
          );
        }
        kept.heard = false;
        return;
      }
      kept.probed = true;
    }
    if (deleted) this.#report(kept, "entry-deleted");
    else if (!marked && !other) this.#report(kept, "mark-overwritten");
  }

  async #sever(kept: KeptCut, now: number): Promise<boolean> {
    const timeoutSeconds = Math.max(shortestReplacementSeconds, Math.ceil((kept.expiresAtMs - now) / 1_000));
    const mark = (kept.mark | this.#cutMark) >>> 0;
    kept.severed = await sever(this.#conntrack, kept.flow, { mark, timeoutSeconds });
    const entries = kept.severed ? await severedEntries(this.#conntrack, kept.flow) : null;
    if (entries !== null) this.#observeSevered(kept, entries);
    return kept.severed;
  }

  async #keepSevered(kept: KeptCut): Promise<void> {
    const entries = await severedEntries(this.#conntrack, kept.flow);
    const now = this.#clock.now();
    if (entries !== null) {
      this.#observeSevered(kept, entries);
    } else if (isOver(kept, now)) {
      await clear(this.#conntrack, kept.flow);
      this.#drop(kept);
    } else {
      // Somebody's deletion, or a direction in which nothing was sent for long enough while the other went on.
      await this.#sever(kept, now);
    }
  }

  #observeSevered(kept: KeptCut, entries: readonly Entry[]): void {
    const now = this.#clock.now();
    const [first, answers] = entries;
    this.#list.renumber(kept, () => {
      if (first !== undefined) observe(kept, first, now);
      kept.answerId = answers?.id ?? null;
    });
    if (answers !== undefined) {
      kept.expiresAtMs = Math.max(kept.expiresAtMs, now + (answers.timeout ?? 0) * 1_000);
    }
  }

  /** Entries that are gone: expired, then the flow is over; or deleted, then they are put back with the mark. */
  async #putBack(gone: readonly KeptCut[]): Promise<void> {
    const now = this.#clock.now();
    const deleted: KeptCut[] = [];
    for (const kept of gone) {
      if (isOver(kept, now)) this.#drop(kept);
      else if (replaceable(kept.flow)) deleted.push(kept);
      else lose(kept, now);
    }
    if (deleted.length === 0) return;
    const refusals = await this.#conntrack.create(deleted.map((kept) => this.#replacement(kept, now)));
    for (const [index, kept] of deleted.entries()) {
      const refusal = refusals[index] ?? null;
      kept.destroyed = false;
      if (refusal === null || refusal.errno === eexist) {
        // What stands there now is read when nothing more urgent waits. A packet may have been quicker than we.
        kept.replaced = true;
        this.#suspects.add(kept);
      } else {
        lose(kept, now);
        this.#logger.warn(
          { error: refusal },
          "the entry of a cut flow was deleted and could not be put back; it is marked if a packet makes it anew",
        );
      }
    }
  }

  #replacement(kept: KeptCut, now: number) {
    const untilMs = Math.max(kept.expiresAtMs, kept.ended ? 0 : kept.keepUntilMs);
    return replacement(kept.flow, {
      status: kept.status | (kept.flow.protocol === tcp ? status.seenReply | status.assured : 0),
      mark: (kept.mark | this.#cutMark) >>> 0,
      timeoutSeconds: Math.max(shortestReplacementSeconds, Math.ceil((untilMs - now) / 1_000)),
      tcpState: kept.ended ? kept.tcpState : null,
    });
  }

  #mark(kept: KeptCut) {
    return { key: flowKey(kept.flow), value: this.#cutMark, mask: this.#cutMark };
  }

  #report(kept: KeptCut, by: OverwrittenBy): void {
    const now = this.#clock.now();
    if (now - kept.reportedAtMs < reportEveryMs) return;
    kept.reportedAtMs = now;
    this.#onOverwritten(kept.flow, by);
  }

  #drop(kept: KeptCut): void {
    this.#list.delete(kept);
    this.#suspects.delete(kept);
  }

  /** Sets the timer for the next look as the flows need it. */
  #plan(): void {
    const now = this.#clock.now();
    const cheap = Math.min(this.#lookTookMs / shareOfTime, calmMs);
    let pause = calmMs;
    for (const kept of this.#list) {
      pause = Math.min(pause, Math.max(pauseFor(kept, now), cheap));
      if (pause <= urgentMs) break;
    }
    this.#planWithin(pause);
  }

  /** Sets the timer, unless it stands earlier already. */
  #planWithin(pauseMs: number): void {
    if (this.#closed || this.#list.size === 0) return;
    const dueMs = this.#clock.now() + pauseMs;
    if (this.#timer !== null) {
      if (this.#timer.dueMs <= dueMs) return;
      this.#timer.handle[Symbol.dispose]();
    }
    const handle = this.#clock.after(pauseMs, () => {
      this.#timer = null;
      this.#tick();
    });
    this.#timer = { dueMs, handle };
  }

  #tick(): void {
    const now = this.#clock.now();
    const attentive: KeptCut[] = [];
    for (const kept of this.#list) if (pauseFor(kept, now) < calmMs) attentive.push(kept);
    const calmly = Math.min(Math.max(calmMs, this.#dumpTookMs / calmShareOfTime), longestCalmMs);
    if (now - this.#lookedAtAllMs >= calmly || this.#worthDump(attentive.length)) this.#everything = true;
    else for (const kept of attentive) this.#suspects.add(kept);
    if (this.#everything || this.#suspects.size > 0) this.#wake();
    else this.#plan();
  }
}

const enoent = 2;
const eexist = 17;

function pauseFor(kept: KeptCut, now: number): number {
  if (!kept.severed) {
    if (now - kept.overwrittenAtMs < urgentForMs) return urgentMs;
    if (!kept.heard || kept.absent) return attentiveMs;
  }
  return kept.expiresAtMs - now < nearExpiryMs ? attentiveMs : calmMs;
}

/** A TCP connection whose opening was seen is another one, and not the cut one picked up again. */
function openedAnew(entry: Entry): boolean {
  return entry.tcp !== null && !pickedUp(entry.tcp.flagsOriginal, entry.tcp.flagsReply);
}
