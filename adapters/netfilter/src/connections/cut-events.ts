import type { Clock } from "@antenna/sdk";
import type { Conntrack, Entry, EventKind, EventSubscription } from "netfilter-conntrack";
import type { CutList } from "./cut-list.js";
import type { CutQueue } from "./cut-queue.js";
import { isOther, type KeptCut, observe } from "./kept-cut.js";

export interface CutEventsOptions {
  readonly conntrack: Conntrack;
  readonly cutMark: number;
  readonly clock: Clock;
  readonly list: CutList;
  /** What events tell is to be done goes there; `onTrouble` is called after it. */
  readonly queue: CutQueue;
  readonly onTrouble: () => void;
}

/** What the kernel tells of entries of flows that are kept cut: their end, and their marks. */
export class CutEvents {
  readonly #conntrack: Conntrack;
  readonly #cutMark: number;
  readonly #clock: Clock;
  readonly #list: CutList;
  readonly #queue: CutQueue;
  readonly #onTrouble: () => void;
  #subscription: EventSubscription | null = null;
  #heard = 0;
  /** Ids of entries that were told marked before their flows are kept; null: none are being marked. */
  #early: Set<number> | null = null;

  constructor(options: CutEventsOptions) {
    this.#conntrack = options.conntrack;
    this.#cutMark = options.cutMark;
    this.#clock = options.clock;
    this.#list = options.list;
    this.#queue = options.queue;
    this.#onTrouble = options.onTrouble;
  }

  /** Events since the beginning, of whatever entry. */
  get heard(): number {
    return this.#heard;
  }

  /** Whether the kernel told already of the mark of an entry whose flow was not kept yet. */
  heardEarly(id: number): boolean {
    return this.#early?.has(id) === true;
  }

  /** Marks are being written: what is told of them is remembered, until the result is disposed. */
  remember(): Disposable {
    this.#early = new Set();
    return {
      [Symbol.dispose]: () => {
        this.#early = null;
      },
    };
  }

  join(): void {
    this.#subscription ??= this.#conntrack.listen(["update", "destroy"], {
      event: (kind, entry) => this.#hear(kind, entry),
      overflow: () => {
        this.#queue.everything();
        this.#onTrouble();
      },
    });
  }

  leave(): void {
    this.#subscription?.close();
    this.#subscription = null;
  }

  #hear(kind: EventKind, entry: Entry): void {
    this.#heard += 1;
    const kept = this.#list.byEntry(entry);
    if (kept === undefined) {
      if (kind === "update" && (entry.mark & this.#cutMark) !== 0) this.#early?.add(entry.id);
      return;
    }
    if (kind === "destroy") this.#hearEnd(kept, entry);
    else if (!kept.severed) this.#hearUpdate(kept, entry);
  }

  #hearEnd(kept: KeptCut, entry: Entry): void {
    if (kept.dismissedId !== 0 && entry.id === kept.dismissedId) {
      kept.dismissedId = 0;
      return;
    }
    if (!kept.severed) {
      kept.heard = true;
      kept.destroyed = true;
      kept.replaced = false;
    } else if (this.#clock.now() >= kept.expiresAtMs) {
      this.#queue.suspect([kept]);
      this.#onTrouble();
      return;
    }
    this.#queue.deleted(kept);
    this.#onTrouble();
  }

  #hearUpdate(kept: KeptCut, entry: Entry): void {
    const now = this.#clock.now();
    if (isOther(kept, entry)) {
      this.#queue.suspect([kept]);
      this.#onTrouble();
      return;
    }
    const marked = (entry.mark & this.#cutMark) !== 0;
    // Told before our own writing, which follows.
    if (!marked && now < kept.echoDueMs) return;
    this.#list.renumber(kept, () => observe(kept, entry, now));
    kept.heard = true;
    kept.echoDueMs = Number.NEGATIVE_INFINITY;
    if (marked) return;
    this.#queue.overwritten(kept);
    this.#onTrouble();
  }
}
