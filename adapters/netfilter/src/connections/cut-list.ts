import type { TrackedFlow } from "@antenna/sdk";
import { addressKey } from "./address-key.js";
import type { KeptCut } from "./kept-cut.js";

/** The flows that are kept cut, found by the id of their entry and by their tuple in either direction. Bounded. */
export class CutList {
  readonly #capacity: number;
  readonly #byTuple = new Map<string, KeptCut>();
  readonly #byId = new Map<number, KeptCut>();
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

  byId(id: number): KeptCut | undefined {
    return this.#byId.get(id);
  }

  byFlow(flow: TrackedFlow): KeptCut | undefined {
    return this.#byTuple.get(tupleKey(flow)) ?? this.#byTuple.get(tupleKey(reversed(flow)));
  }

  has(kept: KeptCut): boolean {
    return this.#byTuple.get(tupleKey(kept.flow)) === kept;
  }

  /** Replaces an earlier one of the same tuple; false: full. */
  add(kept: KeptCut): boolean {
    const earlier = this.byFlow(kept.flow);
    if (earlier !== undefined) this.delete(earlier);
    if (this.#byTuple.size >= this.#capacity) {
      this.#refused += 1;
      return false;
    }
    this.#byTuple.set(tupleKey(kept.flow), kept);
    this.#index(kept);
    return true;
  }

  delete(kept: KeptCut): void {
    const key = tupleKey(kept.flow);
    if (this.#byTuple.get(key) === kept) this.#byTuple.delete(key);
    this.#forget(kept);
  }

  /** To be called around every change of `kept.id` and `kept.answerId`. */
  renumber(kept: KeptCut, change: () => void): void {
    this.#forget(kept);
    change();
    if (this.has(kept)) this.#index(kept);
  }

  #index(kept: KeptCut): void {
    this.#byId.set(kept.id, kept);
    if (kept.answerId !== null) this.#byId.set(kept.answerId, kept);
  }

  #forget({ id, answerId }: KeptCut): void {
    this.#byId.delete(id);
    if (answerId !== null) this.#byId.delete(answerId);
  }
}

function reversed(flow: TrackedFlow): TrackedFlow {
  return { ...flow, original: flow.reply, reply: flow.original };
}

function tupleKey({ family, protocol, zone, icmpType, icmpCode, icmpId, original }: TrackedFlow): string {
  const { source, destination, sourcePort, destinationPort } = original;
  const ends = `${addressKey(source)} ${sourcePort} ${addressKey(destination)} ${destinationPort}`;
  return `${family} ${protocol} ${zone} ${icmpType} ${icmpCode} ${icmpId ?? null} ${ends}`;
}
