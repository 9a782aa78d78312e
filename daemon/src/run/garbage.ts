import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** Garbage outside the heap that is not worth a collection of some 5 to 10 ms. */
const tolerableBytes = 4 * 1024 * 1024;

/**
 * Sets live in typed arrays, and these outside the heap. V8 lets 64 MiB of them pile up after they are dropped (its
 * `kExternalAllocationSoftLimit`), nearly as much as the whole daemon is meant to take. So the moments at which large
 * ones are dropped are told here.
 */
export class GarbageCollector {
  readonly #collect: () => void;
  #heldBytes = 0;

  constructor() {
    setFlagsFromString("--expose-gc");
    const collect: unknown = runInNewContext("gc");
    setFlagsFromString("--no-expose-gc");
    this.#collect = typeof collect === "function" ? () => void collect() : () => undefined;
  }

  /** Large arrays may have become garbage; collects when it is worth it. */
  offer(): void {
    if (getHeapStatistics().external_memory < this.#heldBytes + tolerableBytes) return;
    this.#collect();
    this.#heldBytes = getHeapStatistics().external_memory;
  }
}
