import type { Clock } from "@antenna/sdk";
import type { CutList } from "./cut-list.js";
import type { KeptCut } from "./kept-cut.js";

/** Pause between two looks at flows whose entries give no events, or are about to expire. */
const attentiveMs = 150;
/** Pause before the first look, and before the next one where a mark was just found overwritten: is it fought over? */
const urgentMs = 25;
const urgentForMs = 1_000;
/**
 * Pause between two looks at all others. A TCP entry can turn short-lived without an event (its packets die before the
 * kernel tells), by default to 10 s: several looks must fall into that.
 */
const calmMs = 2_000;
/** An entry that expires so soon is looked at attentively, to tell expiry from deletion. */
const nearExpiryMs = 3_000;
/**
 * Pause while it is not known yet whether a flow gives events, and it was not made to. That ends with the first looks: they
 * may take half of a core.
 */
const freshMs = 25;
const freshForMs = 1_000;
/** Looking attentively may take this part of a core; then pauses grow, up to the calm one. */
const shareOfTime = 0.05;
const calmShareOfTime = 0.02;
const longestCalmMs = 5_000;
/** What one question costs, and a dump of an empty table (the kernel walks its buckets), until one was measured. */
const questionMs = 0.04;
const emptyDumpMs = 4;

/** When flows that are kept cut are looked at though no event told anything, within a part of a core. */
export class LookSchedule {
  readonly #clock: Clock;
  readonly #list: CutList;
  readonly #onDue: () => void;
  #timer: { readonly dueMs: number; readonly handle: Disposable } | null = null;
  #lookedAtAllMs = 0;
  #lookTookMs = 0;
  #dumpTookMs = emptyDumpMs;

  constructor(clock: Clock, list: CutList, onDue: () => void) {
    this.#clock = clock;
    this.#list = list;
    this.#onDue = onDue;
  }

  /** A dump costs by the size of the whole table, questions by their number. */
  worthDump(questions: number): boolean {
    return questions * questionMs > this.#dumpTookMs;
  }

  /** All flows were read, by a dump or one by one; `dumpMs`: what the dump took of a core. */
  lookedAtAll(dumpMs: number | null): void {
    this.#lookedAtAllMs = this.#clock.now();
    if (dumpMs !== null) this.#dumpTookMs = Math.max(dumpMs, emptyDumpMs);
  }

  /** Which flows are to be looked at now. */
  due(): "all" | readonly KeptCut[] {
    const now = this.#clock.now();
    const attentive: KeptCut[] = [];
    for (const kept of this.#list) if (pauseFor(kept, now) < calmMs) attentive.push(kept);
    const calmly = Math.min(Math.max(calmMs, this.#dumpTookMs / calmShareOfTime), longestCalmMs);
    return now - this.#lookedAtAllMs >= calmly || this.worthDump(attentive.length) ? "all" : attentive;
  }

  /** After a look that took so much of a core (null: there was none): sets the timer for the next one as the flows need it. */
  planAfter(lookTookMs: number | null, failed: boolean): void {
    if (lookTookMs !== null) this.#lookTookMs = lookTookMs;
    const now = this.#clock.now();
    const cheap = Math.min(this.#lookTookMs / shareOfTime, calmMs);
    let pause = failed ? attentiveMs : calmMs;
    for (const kept of this.#list) {
      const needed = pauseFor(kept, now);
      const fresh = Math.max(Math.min(needed, freshMs), this.#lookTookMs);
      pause = Math.min(pause, isFresh(kept, now) ? fresh : Math.max(needed, cheap));
      if (pause <= urgentMs) break;
    }
    this.#planWithin(pause);
  }

  /** A flow was added, of whose events nothing is known. */
  planForNew(): void {
    this.#planWithin(urgentMs);
  }

  stop(): void {
    this.#timer?.handle[Symbol.dispose]();
    this.#timer = null;
  }

  /** Sets the timer, unless it stands earlier already. */
  #planWithin(pauseMs: number): void {
    if (this.#list.size === 0) return;
    const dueMs = this.#clock.now() + pauseMs;
    if (this.#timer !== null) {
      if (this.#timer.dueMs <= dueMs) return;
      this.#timer.handle[Symbol.dispose]();
    }
    const handle = this.#clock.after(pauseMs, () => {
      this.#timer = null;
      this.#onDue();
    });
    this.#timer = { dueMs, handle };
  }
}

/** What this process took of a core so far: waiting for others is no cost. */
export function coreTimeMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

function isFresh(kept: KeptCut, now: number): boolean {
  return !kept.heard && now - kept.keptAtMs < freshForMs;
}

function pauseFor(kept: KeptCut, now: number): number {
  if (!kept.severed) {
    if (now - kept.overwrittenAtMs < urgentForMs) return urgentMs;
    if (!kept.probed && !kept.absent) return urgentMs;
    if (!kept.heard || kept.absent) return attentiveMs;
  }
  return kept.expiresAtMs - now < nearExpiryMs ? attentiveMs : calmMs;
}
