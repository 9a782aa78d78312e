import type { Clock } from "@antenna/sdk";

/**
 * Timers that fall due so close to one another ring together, the later ones early. Of those that repeat every second
 * at most, a busy moment may part two that then go on side by side; once together again, they stay so, and being early
 * costs nothing more. Longer pauses are what a costly check has earned.
 */
const slackMs = 50;
const shortDelayMs = 1_000;
const shortSlackMs = 250;

interface Entry {
  readonly dueMs: number;
  /** It may ring from then on. */
  readonly earliestMs: number;
  readonly call: () => void;
}

/**
 * Timers of several checks on one timer of the clock: to wake an idle process costs as much as the small check that it
 * is woken for. None rings late; none rings more than 250 ms early, with a delay of over a second 50 ms.
 */
export class GatheredTimers implements Pick<Clock, "after"> {
  readonly #clock: Clock;
  readonly #entries = new Set<Entry>();
  #ringing = false;
  #alarm: { readonly dueMs: number; readonly timer: Disposable } | null = null;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  after(delayMs: number, call: () => void): Disposable {
    const dueMs = this.#clock.now() + delayMs;
    const earlyMs = delayMs <= shortDelayMs ? Math.min(shortSlackMs, delayMs / 4) : slackMs;
    const entry: Entry = { dueMs, earliestMs: dueMs - earlyMs, call };
    this.#entries.add(entry);
    this.#setAlarm();
    return {
      [Symbol.dispose]: () => {
        this.#entries.delete(entry);
        if (this.#entries.size === 0) this.#stopAlarm();
      },
    };
  }

  #setAlarm(): void {
    if (this.#ringing) return;
    let dueMs = Number.POSITIVE_INFINITY;
    for (const entry of this.#entries) dueMs = Math.min(dueMs, entry.dueMs);
    if (dueMs >= (this.#alarm?.dueMs ?? Number.POSITIVE_INFINITY)) return;
    this.#stopAlarm();
    const timer = this.#clock.after(Math.max(0, dueMs - this.#clock.now()), () => this.#ring());
    this.#alarm = { dueMs, timer };
  }

  #stopAlarm(): void {
    this.#alarm?.timer[Symbol.dispose]();
    this.#alarm = null;
  }

  #ring(): void {
    this.#alarm = null;
    const now = this.#clock.now();
    const due = [...this.#entries].filter((entry) => entry.earliestMs <= now);
    due.sort((a, b) => a.dueMs - b.dueMs);
    // What is set meanwhile is not to count those that are about to ring.
    this.#ringing = true;
    try {
      for (const entry of due) {
        // Whoever rang before may have stopped it.
        if (this.#entries.delete(entry)) entry.call();
      }
    } finally {
      this.#ringing = false;
      this.#setAlarm();
    }
  }
}
