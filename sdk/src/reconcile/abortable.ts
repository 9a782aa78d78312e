import { AntennaError } from "../error.js";

/** Settles as `work` does, or rejects with code `aborted` when the signal fires first. The work goes on. */
export function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    const abort = (): void => {
      // Nobody may be waiting for the work any more; its failure is told by other means.
      work.catch(() => {});
      reject(
        new AntennaError({
          code: "aborted",
          operation: "wait",
          message: "the caller stopped waiting; the work goes on",
          cause: signal.reason,
        }),
      );
    };
    if (signal.aborted) return abort();
    signal.addEventListener("abort", abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}
