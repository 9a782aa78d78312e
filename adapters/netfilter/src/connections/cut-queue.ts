import type { CutList } from "./cut-list.js";
import type { KeptCut } from "./kept-cut.js";

/** What is to be done next about flows that are kept cut, the most urgent first. */
export type CutTask =
  /** The kernel told the end of the entries, or told of entries without the mark: packets pass. */
  | {
      readonly do: "repair";
      readonly deleted: readonly KeptCut[];
      /** One-way entries. */
      readonly severed: readonly KeptCut[];
      readonly overwritten: readonly KeptCut[];
    }
  /** Entries of ours stand; whether they give events is to be learned. */
  | { readonly do: "probe"; readonly made: readonly KeptCut[] }
  /** Events were lost, or it is time. */
  | { readonly do: "look-at-all" }
  | { readonly do: "look"; readonly suspects: readonly KeptCut[] };

/** Entries that are probed with one call, and flows that are asked for one by one, before what is more urgent. */
const probesAtOnce = 1_024;
const questionsAtOnce = 32;

/** Flows that are kept cut and need something. A flow that is kept no longer needs nothing. */
export class CutQueue {
  readonly #list: CutList;
  readonly #deleted = new Set<KeptCut>();
  readonly #overwritten = new Set<KeptCut>();
  readonly #made = new Set<KeptCut>();
  readonly #suspects = new Set<KeptCut>();
  #everything = false;

  constructor(list: CutList) {
    this.#list = list;
  }

  get isEmpty(): boolean {
    return !this.isUrgent && this.#made.size === 0 && !this.#everything && this.#suspects.size === 0;
  }

  get isUrgent(): boolean {
    return this.#deleted.size > 0 || this.#overwritten.size > 0;
  }

  /** Flows that are to be asked for one by one. */
  get questions(): number {
    return this.#suspects.size;
  }

  deleted(kept: KeptCut): void {
    this.#deleted.add(kept);
  }

  overwritten(kept: KeptCut): void {
    this.#overwritten.add(kept);
  }

  made(flows: Iterable<KeptCut>): void {
    for (const kept of flows) this.#made.add(kept);
  }

  suspect(flows: Iterable<KeptCut>): void {
    for (const kept of flows) this.#suspects.add(kept);
  }

  everything(): void {
    this.#everything = true;
  }

  /** A dump tells about all of them: nobody needs to be asked. */
  dumping(): void {
    this.#everything = false;
    this.#suspects.clear();
  }

  take(): CutTask | null {
    if (this.isUrgent) {
      const deleted = this.#take(this.#deleted, Number.POSITIVE_INFINITY);
      const overwritten = this.#take(this.#overwritten, Number.POSITIVE_INFINITY);
      return {
        do: "repair",
        deleted: deleted.filter((kept) => kept.destroyed && !kept.severed),
        severed: deleted.filter((kept) => kept.severed),
        overwritten: overwritten.filter((kept) => !kept.destroyed && !kept.severed),
      };
    }
    if (this.#made.size > 0) {
      const made = this.#take(this.#made, probesAtOnce);
      return { do: "probe", made: made.filter((kept) => kept.replaced) };
    }
    if (this.#everything) return { do: "look-at-all" };
    if (this.#suspects.size > 0) return { do: "look", suspects: this.#take(this.#suspects, questionsAtOnce) };
    return null;
  }

  #take(from: Set<KeptCut>, most: number): KeptCut[] {
    const taken: KeptCut[] = [];
    for (const kept of from) {
      if (taken.length >= most) break;
      from.delete(kept);
      if (this.#list.has(kept)) taken.push(kept);
    }
    return taken;
  }
}
