import type { Clock } from "../ports.js";

/** A kind of work: when it is due on the clock (null: there is none), and how it is done. */
export interface PumpStep {
  readonly due: () => number | null;
  readonly run: () => Promise<void>;
}

/**
 * Runs one step at a time: of those that are due the first in the given order; sleeps until the next is due or until
 * woken. A step that throws is told to `onFault` and does not stop the others; a step must move its own due time on.
 */
export class Pump {
  readonly #clock: Clock;
  readonly #steps: readonly PumpStep[];
  readonly #onFault: (error: unknown) => void;
  #running: Promise<void> | null = null;
  #alarm: { readonly at: number; readonly timer: Disposable } | null = null;
  #closed = false;

  constructor(clock: Clock, steps: readonly PumpStep[], onFault: (error: unknown) => void) {
    this.#clock = clock;
    this.#steps = steps;
    this.#onFault = onFault;
  }

  /** To be called whenever a due time may have moved nearer. */
  wake(): void {
    if (this.#closed || this.#running !== null) return;
    if (this.#next() === null) this.#sleep();
    else this.#running = this.#run();
  }

  /** Waits for the step in hand; starts no other. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#alarm?.timer[Symbol.dispose]();
    this.#alarm = null;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (!this.#closed) {
      const step = this.#next();
      if (step === null) break;
      try {
        await step.run();
      } catch (error) {
        this.#onFault(error);
        // A fault that nobody foresaw must not become a busy loop.
        await new Promise<void>((resolve) => this.#clock.after(faultPauseMs, resolve));
      }
    }
    // In the same turn as the last look at what is due: whoever wakes it now finds it asleep.
    this.#running = null;
    if (!this.#closed) this.#sleep();
  }

  #next(): PumpStep | null {
    const now = this.#clock.now();
    for (const step of this.#steps) {
      const due = step.due();
      if (due !== null && due <= now) return step;
    }
    return null;
  }

  #sleep(): void {
    let at = Number.POSITIVE_INFINITY;
    for (const step of this.#steps) at = Math.min(at, step.due() ?? Number.POSITIVE_INFINITY);
    if (this.#alarm?.at === at) return;
    this.#alarm?.timer[Symbol.dispose]();
    this.#alarm = null;
    if (at === Number.POSITIVE_INFINITY) return;
    const timer = this.#clock.after(Math.max(0, at - this.#clock.now()), () => {
      this.#alarm = null;
      this.wake();
    });
    this.#alarm = { at, timer };
  }
}

const faultPauseMs = 1_000;
