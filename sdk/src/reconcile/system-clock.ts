import type { Clock } from "../ports.js";

/** The machine's clock: monotonic for durations, wall time for showing. Its timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  after(delayMs, call) {
    const timer = setTimeout(call, delayMs);
    timer.unref();
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
