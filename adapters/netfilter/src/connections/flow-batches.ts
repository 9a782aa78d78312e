import type { TrackedFlow } from "@antenna/sdk";
import type { Conntrack, Entry } from "netfilter-conntrack";
import { emptyFlowRecord, type FlowRecord } from "./tracked-flow.js";

/**
 * A dump as batches, one for each read of the kernel's answer; entries that `fill` gives null for are left out. While a batch is looked at the kernel waits; its records
 * are used again for the next one. Breaking off the iteration ends the dump.
 */
export async function* flowBatches(
  conntrack: Conntrack,
  fill: (record: FlowRecord, entry: Entry) => TrackedFlow | null,
  signal: AbortSignal | undefined,
): AsyncGenerator<readonly TrackedFlow[], void, undefined> {
  const records: FlowRecord[] = [];
  let batch: TrackedFlow[] = [];
  let used = 0;
  const broken = new AbortController();
  const stop = signal === undefined ? broken.signal : AbortSignal.any([broken.signal, signal]);
  const turn = new Handover();
  const dump = conntrack
    .dump(
      (entry) => {
        let record = records[used];
        if (record === undefined) {
          record = emptyFlowRecord();
          records.push(record);
        }
        const flow = fill(record, entry);
        if (flow === null) return;
        used += 1;
        batch.push(flow);
      },
      {
        signal: stop,
        onBatch: async () => {
          if (batch.length > 0) await turn.offer(stop);
        },
      },
    )
    .finally(() => turn.finish());
  // Whoever breaks off does not wait for it; nobody else may see its rejection as unhandled.
  dump.catch(() => undefined);
  try {
    while (await turn.offered()) {
      yield batch;
      batch = [];
      used = 0;
      turn.taken();
    }
    await dump;
    if (batch.length > 0) yield batch;
  } finally {
    broken.abort();
    turn.taken();
    await dump.catch(() => undefined);
  }
}

/** Hands over between the one who reads and the one who looks. */
class Handover {
  #ready = new Signal<boolean>();
  #taken = new Signal<undefined>();
  #finished = false;

  /** The reader's: resolves once the batch was taken. */
  async offer(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    this.#taken = new Signal();
    this.#ready.give(true);
    await this.#taken.promise;
  }

  finish(): void {
    this.#finished = true;
    this.#ready.give(false);
  }

  /** The looker's: true when there is a batch, false at the end. */
  async offered(): Promise<boolean> {
    const there = await this.#ready.promise;
    this.#ready = new Signal();
    if (this.#finished) this.#ready.give(false);
    return there;
  }

  taken(): void {
    this.#taken.give(undefined);
  }
}

class Signal<T> {
  readonly promise: Promise<T>;
  #resolve: (value: T) => void = () => undefined;

  constructor() {
    this.promise = new Promise((resolve) => {
      this.#resolve = resolve;
    });
  }

  give(value: T): void {
    this.#resolve(value);
  }
}
