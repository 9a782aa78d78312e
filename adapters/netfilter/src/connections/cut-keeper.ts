import { setImmediate } from "node:timers/promises";
import type { Clock, Logger, TrackedFlow } from "@antenna/sdk";
import type { Conntrack, Entry } from "netfilter-conntrack";
import { CutEvents } from "./cut-events.js";
import { CutInspection, type Findings } from "./cut-inspection.js";
import { CutList } from "./cut-list.js";
import { CutQueue, type CutTask } from "./cut-queue.js";
import { CutRepair, type Repaired } from "./cut-repair.js";
import { replaceable } from "./flow-entry.js";
import { deletedEntry, isOver, type KeptCut, keepCut } from "./kept-cut.js";
import { coreTimeMs, LookSchedule } from "./look-schedule.js";
import { OverwriteReports, type TellOverwritten } from "./overwrite-reports.js";
import { clear } from "./severed-flow.js";

export interface CutKeeperOptions {
  readonly conntrack: Conntrack;
  readonly cutMark: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onOverwritten: TellOverwritten;
  /** Flows that are watched at most; default 16,384. */
  readonly capacity?: number;
}

const defaultCapacity = 16_384;
/** So many of few that are gone mean a flushed table. */
const suspectsGone = 16;
/** Turns of the event loop that queued events may take before a dump is compared with what they told. */
const mostTurns = 64;

/**
 * Keeps cut flows cut. Marks get lost in two ways: the entry is deleted (`conntrack -F`, `-D`), and the next packet makes
 * a new one; or a rule of the owner writes the whole mark (`CONNMARK --save-mark`).
 *
 * Two senses: events (DESTROY and UPDATE), joined only while there are cut flows; and looking, for entries that give no
 * events (born while nobody listened, nf_conntrack_events=2), for events that were lost, and for expiry. What events told
 * is repaired at once, all flows together; what is in doubt is read when nothing is to be repaired any more.
 */
export class CutKeeper {
  readonly #conntrack: Conntrack;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #list: CutList;
  readonly #reports: OverwriteReports;
  readonly #events: CutEvents;
  readonly #repair: CutRepair;
  readonly #inspection: CutInspection;
  readonly #schedule: LookSchedule;
  readonly #queue: CutQueue;
  /** Work was broken off: what it was about is found by looking at everything. */
  #failed = false;
  #working: Promise<void> | null = null;
  /** Writers of marks go one after the other: a mark taken off on purpose must not be put back. */
  #last: Promise<unknown> = Promise.resolve();
  /** So many entries are gone that the others will be, too: asking for each takes too long. */
  #flushed = false;
  /** What reading took since work began; null: nothing was read. */
  #lookTookMs: number | null = null;
  #closed = false;

  constructor(options: CutKeeperOptions) {
    const { conntrack, cutMark, clock, logger } = options;
    this.#conntrack = conntrack;
    this.#clock = clock;
    this.#logger = logger;
    this.#list = new CutList(options.capacity ?? defaultCapacity);
    this.#queue = new CutQueue(this.#list);
    this.#reports = new OverwriteReports(clock, options.onOverwritten);
    const common = { conntrack, cutMark, clock, logger, list: this.#list, reports: this.#reports };
    this.#events = new CutEvents({ ...common, queue: this.#queue, onTrouble: () => this.#wake() });
    this.#repair = new CutRepair(common);
    this.#inspection = new CutInspection(common);
    this.#schedule = new LookSchedule(clock, this.#list, () => this.#lookAsDue());
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
    if (!this.#closed) this.#events.join();
  }

  /** From before marks are set until their flows are kept: what is told of them meanwhile counts. */
  marking(): Disposable {
    this.listen();
    return this.#events.remember();
  }

  /** Watches a flow whose entry carries the mark; null: no place left. */
  keep(flow: TrackedFlow, entry: Entry): KeptCut | null {
    const kept = keepCut(flow, entry, this.#clock.now());
    if (!this.#list.add(kept)) return null;
    if (!this.#closed) this.#schedule.planForNew();
    return kept;
  }

  /** The same where the mark was written since `marking`: the kernel tells of that if it tells of this entry at all. */
  keepMarked(flow: TrackedFlow, entry: Entry): void {
    const kept = this.keep(flow, entry);
    if (kept === null) return;
    kept.probed = true;
    kept.heard = this.#events.heardEarly(entry.id);
  }

  /** Watches a flow whose entry was deleted right after it was marked: it is put back. */
  keepDeleted(flow: TrackedFlow): void {
    const kept = keepCut(flow, deletedEntry(flow), this.#clock.now());
    kept.destroyed = true;
    if (!this.#list.add(kept)) return;
    this.#queue.deleted(kept);
    this.#wake();
  }

  /** Looks at a flow soon: its entry changed without an event. */
  suspect(kept: KeptCut): void {
    this.#queue.suspect([kept]);
    this.#wake();
  }

  /** Watches a flow no longer, because it may go on. */
  async release(flow: TrackedFlow): Promise<void> {
    const kept = this.#list.byFlow(flow);
    if (kept === undefined) return;
    this.#list.delete(kept);
    if (kept.severed) await clear(this.#conntrack, kept.flow);
  }

  /** Leaves the groups where nothing is left to watch. */
  settle(): void {
    if (this.#list.size > 0) return;
    this.#stopWatching();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#stopWatching();
    await this.#working;
    await this.#last;
  }

  #stopWatching(): void {
    this.#events.leave();
    this.#schedule.stop();
  }

  #wake(): void {
    if (this.#working !== null || this.#closed) return;
    this.#working = this.#work().finally(() => {
      this.#working = null;
      if (!this.#queue.isEmpty) this.#wake();
      else {
        this.settle();
        if (!this.#closed) this.#schedule.planAfter(this.#lookTookMs, this.#failed);
      }
    });
  }

  async #work(): Promise<void> {
    this.#lookTookMs = null;
    let dumped = false;
    try {
      while (!this.#closed) {
        if (!dumped && this.#schedule.worthDump(this.#queue.questions)) this.#queue.everything();
        if (this.#queue.isEmpty) break;
        // Taken when it is our turn: until then others may have let flows go.
        dumped = (await this.exclusively(() => this.#perform(this.#queue.take()))) || dumped;
      }
    } catch (error) {
      if (this.#closed) return;
      this.#failed = true;
      this.#logger.warn({ error }, "cut flows could not be looked at; this is tried again");
    } finally {
      this.#reports.tell();
    }
  }

  /** True: the whole table was read. */
  async #perform(task: CutTask | null): Promise<boolean> {
    switch (task?.do) {
      case "repair":
        this.#after(await this.#repair.putBack(task.deleted));
        this.#queue.suspect(await this.#repair.markAgain(task.overwritten));
        this.#queue.suspect(await this.#repair.putBackOneWay(task.severed));
        break;
      case "probe":
        this.#queue.suspect(await this.#repair.mark(task.made));
        break;
      case "look-at-all":
        await this.#untilQuiet();
        // What was told until then is more urgent.
        if (this.#queue.isUrgent) break;
        await this.#timed(() => this.#lookAtAll());
        return true;
      case "look":
        this.#reports.tell();
        await this.#timed(() => this.#lookAtSome(task.suspects));
        // Events that came meanwhile are more urgent than the next questions.
        await setImmediate();
        break;
      case undefined:
        break;
    }
    return false;
  }

  /** After an overflow the kernel's older events are still to be read: they tell of entries that were put back since. */
  async #untilQuiet(): Promise<void> {
    for (let turn = 0; turn < mostTurns; turn += 1) {
      const heard = this.#events.heard;
      await setImmediate();
      if (heard === this.#events.heard) return;
    }
  }

  /** One dump of the marked entries; what it did not show is put back or marked unseen, and read afterwards. */
  async #lookAtAll(): Promise<void> {
    this.#queue.dumping();
    if (!this.#flushed && !this.#schedule.worthDump(this.#list.size)) {
      this.#schedule.lookedAtAll(null);
      this.#queue.suspect(this.#list);
      return;
    }
    this.#flushed = false;
    const began = coreTimeMs();
    const { findings, missing } = await this.#inspection.all();
    this.#schedule.lookedAtAll(coreTimeMs() - began);
    const now = this.#clock.now();
    const lost: KeptCut[] = [];
    for (const kept of missing) {
      const canBePutBack = !kept.severed && !kept.absent && !isOver(kept, now) && replaceable(kept.flow);
      if (canBePutBack) lost.push(kept);
      else this.#queue.suspect([kept]);
    }
    this.#after(await this.#repair.putBackOrMark(lost));
    await this.#act(findings);
  }

  async #lookAtSome(suspects: readonly KeptCut[]): Promise<void> {
    const findings = await this.#inspection.some(suspects);
    if (findings.gone.length > suspectsGone) {
      this.#flushed = true;
      this.#queue.everything();
    }
    await this.#act(findings);
  }

  async #act(findings: Findings): Promise<void> {
    this.#after(await this.#repair.putBack(findings.gone));
    this.#queue.suspect(await this.#repair.markAgain(findings.overwritten));
    this.#queue.suspect(await this.#repair.mark(findings.unmarked));
    this.#queue.suspect(await this.#repair.renew(findings.silent));
    for (const kept of findings.rejoined) await this.#repair.severAgain(kept);
    this.#queue.suspect(findings.rejoined);
    for (const kept of findings.strangers) this.#list.delete(kept);
    if (findings.strangers.length > 0) await this.#repair.unmark(findings.strangers);
  }

  #after({ made, doubtful }: Repaired): void {
    this.#queue.made(made);
    this.#queue.suspect(doubtful);
  }

  async #timed(look: () => Promise<void>): Promise<void> {
    const began = coreTimeMs();
    await look();
    this.#lookTookMs = (this.#lookTookMs ?? 0) + coreTimeMs() - began;
  }

  /** The timer's: no event told anything, but these are to be looked at. */
  #lookAsDue(): void {
    const due = this.#schedule.due();
    if (due === "all" || this.#failed) this.#queue.everything();
    else this.#queue.suspect(due);
    this.#failed = false;
    if (this.#queue.isEmpty) this.#schedule.planAfter(null, false);
    else this.#wake();
  }
}
