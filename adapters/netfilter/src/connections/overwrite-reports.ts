import type { Clock, TrackedFlow } from "@antenna/sdk";
import type { KeptCut } from "./kept-cut.js";

export type OverwrittenBy = "mark-overwritten" | "entry-deleted";

export type TellOverwritten = (flow: TrackedFlow, by: OverwrittenBy) => void;

/** An owner's rule may take the mark off with every packet: one flow is reported so often at most. */
const reportEveryMs = 1_000;

/** What is to be told of marks that somebody took off. Told late: what can be set again is set again first. */
export class OverwriteReports {
  readonly #clock: Clock;
  readonly #tell: TellOverwritten;
  #waiting: { readonly kept: KeptCut; readonly by: OverwrittenBy }[] = [];

  constructor(clock: Clock, tell: TellOverwritten) {
    this.#clock = clock;
    this.#tell = tell;
  }

  add(kept: KeptCut, by: OverwrittenBy): void {
    const now = this.#clock.now();
    if (now - kept.reportedAtMs < reportEveryMs) return;
    kept.reportedAtMs = now;
    this.#waiting.push({ kept, by });
  }

  tell(): void {
    const waiting = this.#waiting;
    if (waiting.length === 0) return;
    this.#waiting = [];
    for (const { kept, by } of waiting) this.#tell(kept.flow, by);
  }
}
