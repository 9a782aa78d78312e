import type { Conntrack } from "netfilter-conntrack";
import { udp } from "./tracked-flow.js";

/** UDP entries that are remembered as of unknown beginning; a host with more has the kernel's guess for the rest. */
const capacity = 16_384;

/**
 * UDP entries whose first packet in tracking need not have been the first of the flow: those that are there when settling
 * ends on a host where nothing was tracked when it began. The kernel's table does not tell them from others.
 */
export class UnseenFlows {
  #ids: Set<number> = new Set();
  #trackedBefore = true;

  get ids(): ReadonlySet<number> {
    return this.#ids;
  }

  /** Looks whether anything is tracked already: then directions are known since long ago. */
  async begin(conntrack: Conntrack, signal: AbortSignal | undefined): Promise<void> {
    let found = false;
    const enough = new AbortController();
    const stop = signal === undefined ? enough.signal : AbortSignal.any([enough.signal, signal]);
    try {
      await conntrack.dump(
        () => {
          found = true;
        },
        { signal: stop, onBatch: () => (found ? enough.abort() : undefined) },
      );
    } catch (error) {
      if (!found || signal?.aborted === true) throw error;
    }
    this.#trackedBefore = found;
  }

  /** Settling ends: what is tracked now may be older than tracking; what comes later is not. */
  async settle(conntrack: Conntrack, signal: AbortSignal | undefined): Promise<void> {
    if (this.#trackedBefore) return;
    this.#trackedBefore = true;
    const ids = new Set<number>();
    await conntrack.dump(
      (entry) => {
        if (entry.protocol === udp && ids.size < capacity) ids.add(entry.id);
      },
      signal === undefined ? {} : { signal },
    );
    this.#ids = ids;
  }

  /** For one dump: what it does not show once it is complete has ended. */
  pass(): { saw(id: number): void; complete(): void } {
    if (this.#ids.size === 0) return { saw: () => undefined, complete: () => undefined };
    const ids = this.#ids;
    const still = new Set<number>();
    return {
      saw: (id) => {
        if (ids.has(id)) still.add(id);
      },
      complete: () => {
        if (this.#ids === ids) this.#ids = still;
      },
    };
  }
}
