import { type Backoff, backoffDelay } from "./backoff.js";

/** Repairs at full speed within one window, both by contract. */
export const repairsAtFullSpeed = 30;
export const repairWindowMs = 30_000;

const backoff: Backoff = { firstMs: 1_000, maxMs: 30_000 };

/**
 * Decides when the next repair may happen, so that two agents that undo each other's work never fight: thirty repairs
 * in thirty seconds at once, then ever later; a whole window without a repair forgets everything.
 */
export class RepairBudget {
  /** Times of the latest repairs, oldest first; at most `repairsAtFullSpeed`. */
  readonly #times: number[] = [];
  #slowed = 0;

  /** True while repairs are being held back. */
  get fighting(): boolean {
    return this.#slowed > 0;
  }

  /** The earliest time at which the next repair may happen; `now` when at once. */
  earliest(now: number, random: number): number {
    this.#forget(now);
    const oldest = this.#times[0];
    if (this.#times.length < repairsAtFullSpeed || oldest === undefined || now - oldest >= repairWindowMs) {
      if (this.#slowed === 0) return now;
    }
    const last = this.#times.at(-1) ?? now;
    return Math.max(now, last + backoffDelay(backoff, this.#slowed + 1, random));
  }

  /** To be called with the time of every repair. */
  spent(now: number): void {
    const oldest = this.#times[0];
    const full = this.#times.length >= repairsAtFullSpeed;
    if (this.#slowed > 0 || (full && oldest !== undefined && now - oldest < repairWindowMs))
      this.#slowed += 1;
    this.#times.push(now);
    if (this.#times.length > repairsAtFullSpeed) this.#times.shift();
  }

  /** When calm since this long, the fight is over: the time at which that will be; null: there is none. */
  calmAt(): number | null {
    const last = this.#times.at(-1);
    return this.#slowed > 0 && last !== undefined ? last + 2 * repairWindowMs : null;
  }

  #forget(now: number): void {
    const calm = this.calmAt();
    if (calm !== null && now >= calm) {
      this.#slowed = 0;
      this.#times.length = 0;
    }
  }
}
