import { setTimeout } from "node:timers/promises";

/** At most `most` passes in any `windowMs`; who comes too early waits, and keeps the process alive meanwhile. */
export class RateLimit {
  readonly #most: number;
  readonly #windowMs: number;
  readonly #passed: number[] = [];

  constructor(most: number, windowMs: number) {
    this.#most = most;
    this.#windowMs = windowMs;
  }

  async pass(): Promise<void> {
    for (;;) {
      const now = performance.now();
      while (this.#passed[0] !== undefined && this.#passed[0] <= now - this.#windowMs) this.#passed.shift();
      const [oldest] = this.#passed;
      if (oldest === undefined || this.#passed.length < this.#most) {
        this.#passed.push(now);
        return;
      }
      await setTimeout(Math.ceil(oldest + this.#windowMs - now));
    }
  }
}
