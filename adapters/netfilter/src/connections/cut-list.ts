import type { TrackedFlow } from "@antenna/sdk";
import type { KeptCut } from "./kept-cut.js";
import { answerKey, type EntryName, entryKey, flowTupleKey, reverseTupleKey } from "./tuple-key.js";

/** The flows that are kept cut, found by the id of their entry and by their tuple in either direction. Bounded. */
export class CutList {
  readonly #capacity: number;
  readonly #byTuple = new Map<string, KeptCut>();
  readonly #byId = new Map<number, KeptCut>();
  /** Those whose entry we made, and do not know the id of. */
  readonly #unnumbered = new Set<KeptCut>();
  #refused = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get size(): number {
    return this.#byTuple.size;
  }

  /** Flows that found no place since the beginning: they are marked, and not watched. */
  get refused(): number {
    return this.#refused;
  }

  [Symbol.iterator](): IterableIterator<KeptCut> {
    return this.#byTuple.values();
  }

  /** The flow that this entry belongs to: by its id, or by its tuple where we made the entry and the id is not known yet. */
  byEntry(entry: EntryName): KeptCut | undefined {
    const known = this.#byId.get(entry.id);
    if (known !== undefined || this.#unnumbered.size === 0) return known;
    const kept = this.#byTuple.get(entryKey(entry)) ?? this.#byTuple.get(answerKey(entry));
    return kept !== undefined && this.#unnumbered.has(kept) ? kept : undefined;
  }

  byFlow(flow: TrackedFlow): KeptCut | undefined {
    return this.#byTuple.get(flowTupleKey(flow)) ?? this.#byTuple.get(reverseTupleKey(flow));
  }

  has(kept: KeptCut): boolean {
    return this.#byTuple.get(kept.key) === kept;
  }

  /** Replaces an earlier one of the same tuple; false: full. */
  add(kept: KeptCut): boolean {
    const earlier = this.byFlow(kept.flow);
    if (earlier !== undefined) this.delete(earlier);
    if (this.#byTuple.size >= this.#capacity) {
      this.#refused += 1;
      return false;
    }
    this.#byTuple.set(kept.key, kept);
    this.#index(kept);
    return true;
  }

  delete(kept: KeptCut): void {
    const key = kept.key;
    if (this.#byTuple.get(key) === kept) this.#byTuple.delete(key);
    this.#unnumbered.delete(kept);
    this.#forget(kept);
  }

  /** To be called around every change of `kept.id` and `kept.answerId`; id 0: not known yet. */
  renumber(kept: KeptCut, change: () => void): void {
    this.#forget(kept);
    change();
    if (this.has(kept)) this.#index(kept);
  }

  #index(kept: KeptCut): void {
    if (kept.id === 0) {
      this.#unnumbered.add(kept);
      return;
    }
    this.#unnumbered.delete(kept);
    this.#byId.set(kept.id, kept);
    if (kept.answerId !== null) this.#byId.set(kept.answerId, kept);
  }

  #forget(kept: KeptCut): void {
    const { id, answerId } = kept;
    if (this.#byId.get(id) === kept) this.#byId.delete(id);
    if (answerId !== null && this.#byId.get(answerId) === kept) this.#byId.delete(answerId);
  }
}
