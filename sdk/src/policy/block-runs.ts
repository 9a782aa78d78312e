import {
  allocateBlocks,
  type Blocks,
  noBlocks4,
  noBlocks6,
  normaliseInto,
  type SortingRoom,
  settleBlocks,
  sliceBlocks,
  sortingRoom,
  uniteInto,
} from "./blocks.js";

/** Members that are sorted at once: about a millisecond. */
const longestTail = 16_384;

/** A sorted run, at the beginning of the memory that it came with. */
interface Run {
  readonly blocks: Blocks;
  readonly memory: Blocks;
}

/**
 * Collects the blocks of one family in any order, into normal form. Sorted runs double in length, as in a merge sort from
 * below: members are sorted as they come, duplicates fall out early, and no single step is as long as sorting
 * everything at the end would be. Runs hand their memory on: memory outside the heap that is merely dropped stays for as
 * long as the heap gives no reason to collect it, and sets are nearly all of that kind.
 */
export class BlockRuns {
  readonly #width: 1 | 4;
  #tail: Blocks;
  #length = 0;
  #room: SortingRoom | null = null;
  #runs: Run[] = [];
  /** Memory to use again. */
  #spare: Blocks[] = [];
  /** Blocks pushed so far, duplicates counted. */
  added = 0;

  constructor(width: 1 | 4) {
    this.#width = width;
    this.#tail = width === 1 ? noBlocks4 : noBlocks6;
  }

  /** Of an IPv4 block only `w0` counts. */
  push(w0: number, w1: number, w2: number, w3: number, prefix: number): void {
    if (this.#length === this.#tail.prefix.length) this.#makeRoom();
    const { address, prefix: prefixes } = this.#tail;
    const at = this.#length * this.#width;
    address[at] = w0;
    if (this.#width === 4) {
      address[at + 1] = w1;
      address[at + 2] = w2;
      address[at + 3] = w3;
    }
    prefixes[this.#length++] = prefix;
    this.added++;
  }

  /** What was collected, in arrays of about its length. Collecting may go on. */
  build(): Blocks {
    this.#flush();
    for (let last = this.#runs.pop(); last !== undefined; last = this.#runs.pop()) {
      const other = this.#runs.pop();
      if (other !== undefined) {
        this.#runs.push(this.#merge(other, last));
        continue;
      }
      // What is given away is never written to again: the run keeps it without its memory.
      const blocks = settleBlocks(last.blocks);
      this.#runs.push({ blocks, memory: this.#width === 1 ? noBlocks4 : noBlocks6 });
      this.#spare = [];
      return blocks;
    }
    return this.#width === 1 ? noBlocks4 : noBlocks6;
  }

  #makeRoom(): void {
    if (this.#length === longestTail) {
      this.#flush();
      return;
    }
    const larger = allocateBlocks(this.#width, Math.max(16, this.#length * 2));
    larger.address.set(this.#tail.address);
    larger.prefix.set(this.#tail.prefix);
    this.#tail = larger;
  }

  #flush(): void {
    if (this.#length === 0) return;
    const tail = sliceBlocks(this.#tail, 0, this.#length);
    if (this.#room === null || this.#room.keys.length + this.#room.order.length < this.#length) {
      this.#room = sortingRoom(this.#width, this.#tail.prefix.length);
    }
    const memory = this.#take(this.#length);
    let run: Run = { memory, blocks: sliceBlocks(memory, 0, normaliseInto(memory, tail, this.#room)) };
    this.#length = 0;
    let last = this.#runs.at(-1);
    while (last !== undefined && last.blocks.prefix.length <= run.blocks.prefix.length) {
      this.#runs.pop();
      run = this.#merge(last, run);
      last = this.#runs.at(-1);
    }
    this.#runs.push(run);
  }

  #merge(a: Run, b: Run): Run {
    const memory = this.#take(a.blocks.prefix.length + b.blocks.prefix.length);
    const length = uniteInto(memory, a.blocks, b.blocks);
    this.#spare.push(a.memory, b.memory);
    return { memory, blocks: sliceBlocks(memory, 0, length) };
  }

  /** The least spare memory with room for `length` blocks, or new memory. */
  #take(length: number): Blocks {
    let best = -1;
    for (let i = 0; i < this.#spare.length; i++) {
      const room = (this.#spare[i] as Blocks).prefix.length;
      if (room >= length && (best < 0 || room < (this.#spare[best] as Blocks).prefix.length)) best = i;
    }
    if (best < 0) return allocateBlocks(this.#width, length);
    return this.#spare.splice(best, 1)[0] as Blocks;
  }
}
