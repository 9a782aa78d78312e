import type { Clock } from "../../ports.js";

const burst = 256;
const perSecond = 64;

/**
 * How many messages a controller may send besides parts of policies, which have credit of their own: 256 at once, 64 a
 * second for long. One that sends more costs this host CPU time that nobody granted.
 */
export class MessageBudget {
  readonly #clock: Clock;
  #left = burst;
  #at: number;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#at = clock.now();
  }

  /** False: that was one too many. */
  take(): boolean {
    const now = this.#clock.now();
    this.#left = Math.min(burst, this.#left + ((now - this.#at) * perSecond) / 1000);
    this.#at = now;
    if (this.#left < 1) return false;
    this.#left -= 1;
    return true;
  }
}
