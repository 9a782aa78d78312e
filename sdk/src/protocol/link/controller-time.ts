import type { Clock } from "../../ports.js";

/** Clocks that differ by less are no problem: certificates live for a day. */
const toleranceMs = 60_000;

/** What time it is: by the controller's clock once it has told it, carried on by the monotonic one; by the wall's before. */
export class ControllerTime {
  readonly #clock: Clock;
  #told: { readonly time: number; readonly at: number } | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** The controller says that it is so late. */
  tell(time: Date): void {
    this.#told = { time: time.getTime(), at: this.#clock.now() };
  }

  /** Milliseconds since 1970. */
  now(): number {
    if (this.#told === null) return this.#clock.date().getTime();
    return this.#told.time + (this.#clock.now() - this.#told.at);
  }

  /** How this host's clock differs, for people; null: it does not, or nothing was told. */
  skew(): string | null {
    if (this.#told === null) return null;
    const differs = this.#clock.date().getTime() - this.now();
    if (Math.abs(differs) <= toleranceMs) return null;
    const seconds = Math.round(Math.abs(differs) / 1000);
    const time = new Date(this.now()).toISOString();
    return `this host's clock is ${seconds} s ${differs > 0 ? "ahead of" : "behind"} the controller's (${time}); check NTP`;
  }
}
