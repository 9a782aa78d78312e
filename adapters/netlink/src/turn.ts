import { setImmediate } from "node:timers/promises";
import { NetlinkError } from "./netlink-error.js";

/** Longest stretch of work before other events get their turn, in milliseconds. */
const longestMs = 4;

/** Long work in slices: `yield()` between steps lets the event loop go round when it is time, and obeys the signal. */
export class Turn {
  readonly #signal: AbortSignal | undefined;
  #began = performance.now();

  constructor(signal: AbortSignal | undefined) {
    this.#signal = signal;
    this.check();
  }

  check(): void {
    if (this.#signal?.aborted !== true) return;
    throw new NetlinkError({
      code: "aborted",
      operation: "request",
      message: "the caller's signal was aborted",
      cause: this.#signal.reason,
    });
  }

  async yield(): Promise<void> {
    if (performance.now() - this.#began >= longestMs) {
      await setImmediate();
      this.#began = performance.now();
    }
    this.check();
  }
}
