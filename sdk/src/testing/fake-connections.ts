import type { ConnectionTable, CutResult, TrackedFlow } from "../ports.js";
import { copyFlow } from "../reconcile/flow-packet.js";

type Overwritten = Parameters<ConnectionTable["onOverwritten"]>[0];

const batchSize = 16;

/** Connection tracking as a list of flows that a test fills. */
export class FakeConnections implements ConnectionTable {
  readonly #flows = new Map<number, TrackedFlow>();
  readonly #kept = new Map<number, TrackedFlow>();
  readonly #listeners: Overwritten[] = [];
  /** TCP connections that have a socket and no entry yet; `enterSilent` enters them. */
  readonly silent: TrackedFlow[] = [];
  /** Ids of flows whose local end listens. */
  readonly listening = new Set<number>();
  /** Ids of flows whose local socket was ended. */
  readonly socketsEnded = new Set<number>();
  /** Called before every batch of a dump; may throw, wait, or change the table. */
  beforeBatch: () => void | Promise<void> = () => {};
  /** Dumps begun. */
  dumps = 0;
  /** Writes: marks set and taken away, entries made. */
  writes = 0;

  /** A flow appears, or is replaced. */
  track(flow: TrackedFlow): void {
    this.#flows.set(flow.id, copyFlow(flow));
  }

  /** A flow ends. */
  end(id: number): void {
    this.#flows.delete(id);
    this.#kept.delete(id);
  }

  get(id: number): TrackedFlow | null {
    return this.#flows.get(id) ?? null;
  }

  /** Ids of the flows that carry the mark. */
  cutIds(): readonly number[] {
    return [...this.#flows.values()].filter((flow) => flow.cut).map((flow) => flow.id);
  }

  /** A foreign hand takes the mark away; it is set again at once if the flow is kept cut. */
  overwrite(id: number): void {
    const flow = this.#kept.get(id);
    if (flow === undefined) {
      this.#mark(id, false);
      return;
    }
    for (const listener of this.#listeners) listener({ flow, by: "mark-overwritten" });
  }

  async *dump(options?: { readonly signal?: AbortSignal }): AsyncIterable<readonly TrackedFlow[]> {
    this.dumps += 1;
    const all = [...this.#flows.keys()];
    for (let from = 0; from < all.length; from += batchSize) {
      await this.beforeBatch();
      options?.signal?.throwIfAborted();
      const batch = all.slice(from, from + batchSize).flatMap((id) => this.#flows.get(id) ?? []);
      const lent = batch.map((flow) => copyFlow(flow));
      yield lent;
      // Whoever keeps a batch, or an address of it, reads garbage.
      for (const flow of lent) {
        flow.original.source.fill(0xdd);
        flow.original.destination.fill(0xdd);
        flow.reply.source.fill(0xdd);
        flow.reply.destination.fill(0xdd);
      }
      lent.length = 0;
    }
  }

  cut(flows: readonly TrackedFlow[]): Promise<CutResult> {
    let cut = 0;
    let gone = 0;
    for (const flow of flows) {
      if (!this.#mark(flow.id, true)) {
        gone += 1;
        continue;
      }
      cut += 1;
      this.#kept.set(flow.id, { ...copyFlow(flow), cut: true });
      this.socketsEnded.add(flow.id);
    }
    return Promise.resolve({ cut, gone, socketsEnded: cut });
  }

  restore(flows: readonly TrackedFlow[]): Promise<void> {
    for (const flow of flows) {
      this.#mark(flow.id, false);
      this.#kept.delete(flow.id);
    }
    return Promise.resolve();
  }

  cutFlows(): readonly TrackedFlow[] {
    return [...this.#kept.values()];
  }

  enterSilent(): Promise<{ readonly entered: number; readonly existing: number; readonly failed: number }> {
    const entered = this.silent.splice(0);
    for (const flow of entered) this.track(flow);
    this.writes += entered.length;
    return Promise.resolve({ entered: entered.length, existing: 0, failed: 0 });
  }

  isInbound(flow: TrackedFlow): boolean {
    return this.listening.has(flow.id);
  }

  onOverwritten(listener: Overwritten): void {
    this.#listeners.push(listener);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  #mark(id: number, cut: boolean): boolean {
    const flow = this.#flows.get(id);
    if (flow === undefined) return false;
    this.writes += 1;
    this.#flows.set(id, { ...flow, cut });
    return true;
  }
}
