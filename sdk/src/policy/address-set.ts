import { AntennaError, type Problem } from "../error.js";
import { AddressReader, bytesToWords, formatWords, wordsToBytes, writeWords } from "./address.js";
import { BlockRuns } from "./block-runs.js";
import {
  allocateBlocks,
  type Blocks,
  diffBlocks,
  equalBlocks,
  findContaining,
  hostMask,
  noBlocks4,
  noBlocks6,
  overlapBlocks,
  subtractBlocks,
  uniteBlocks,
} from "./blocks.js";
import type { Address, Family } from "./family.js";

export interface AddressSetDiff {
  readonly added: AddressSet;
  readonly removed: AddressSet;
}

/**
 * Addresses and blocks of both families, immutable, on typed arrays: 5 bytes per IPv4 and 17 per IPv6 member.
 *
 * Normal form: sorted by address, then prefix; no duplicates; no block inside another. Neighbouring blocks are not merged
 * into a larger one, so that one member more stays a local change. A member is a block of the normal form.
 *
 * Every operation is linear in the members at most, and shares what it can. The arrays are public for loops that must not
 * allocate; nobody writes to them.
 */
export class AddressSet {
  static readonly empty: AddressSet = new AddressSet(noBlocks4, noBlocks6);
  /** 0.0.0.0/0 and ::/0. */
  static readonly any: AddressSet = new AddressSet(allocateBlocks(1, 1), allocateBlocks(4, 1));

  /** One word per block, host byte order. */
  readonly v4: Blocks;
  /** Four words per block, host byte order, the most significant first. */
  readonly v6: Blocks;
  /** The difference that was asked for last: a new version of a set is compared with the old one more than once. */
  #known: { readonly other: AddressSet; readonly diff: AddressSetDiff } | null = null;

  private constructor(v4: Blocks, v6: Blocks) {
    this.v4 = v4;
    this.v6 = v6;
  }

  /**
   * From texts like `10.0.0.1`, `10.0.0.0/8`, `fd00::/8`.
   *
   * @throws AntennaError `input-refused`; `problems` lists the bad ones by index.
   */
  static from(texts: Iterable<string>): AddressSet {
    const builder = new AddressSetBuilder();
    const problems: Problem[] = [];
    let index = 0;
    for (const text of texts) {
      const problem = builder.addText(text);
      if (problem !== null && problems.length < 1000) problems.push({ path: `[${index}]`, problem });
      index++;
    }
    const [first] = problems;
    if (first === undefined) return builder.build();
    throw new AntennaError({
      code: "input-refused",
      operation: "read an address set",
      message: `${first.path}: ${first.problem}`,
      problems,
    });
  }

  static builder(): AddressSetBuilder {
    return new AddressSetBuilder();
  }

  /** From blocks that already are in normal form: the caller's promise. */
  static fromBlocks(v4: Blocks, v6: Blocks): AddressSet {
    return v4.prefix.length + v6.prefix.length === 0 ? AddressSet.empty : new AddressSet(v4, v6);
  }

  get size(): number {
    return this.v4.prefix.length + this.v6.prefix.length;
  }

  get size4(): number {
    return this.v4.prefix.length;
  }

  get size6(): number {
    return this.v6.prefix.length;
  }

  /** True for a set with 0.0.0.0/0 and ::/0. */
  get isAny(): boolean {
    return this.coversFamily(4) && this.coversFamily(6);
  }

  /** True when /0 of that family is a member. */
  coversFamily(family: Family): boolean {
    return this.blocks(family).prefix[0] === 0;
  }

  hasFamily(family: Family): boolean {
    return this.blocks(family).prefix.length > 0;
  }

  blocks(family: Family): Blocks {
    return family === 4 ? this.v4 : this.v6;
  }

  /** True when the address (4 or 16 bytes, network order) lies in a member. */
  has(address: Address): boolean {
    const probe = address.length === 4 ? probe4 : probe6;
    bytesToWords(address, probe.address);
    return findContaining(address.length === 4 ? this.v4 : this.v6, probe, 0) >= 0;
  }

  equals(other: AddressSet): boolean {
    return this === other || (equalBlocks(this.v4, other.v4) && equalBlocks(this.v6, other.v6));
  }

  /** What to add to and remove from this set to get `other`, by members. */
  diff(other: AddressSet): AddressSetDiff {
    if (this.#known?.other === other) return this.#known.diff;
    const v4 = diffBlocks(this.v4, other.v4);
    const v6 = diffBlocks(this.v6, other.v6);
    const diff = {
      added: AddressSet.fromBlocks(v4.added, v6.added),
      removed: AddressSet.fromBlocks(v4.removed, v6.removed),
    };
    this.#known = { other, diff };
    return diff;
  }

  union(...others: readonly AddressSet[]): AddressSet {
    const sets = [this, ...others].sort((a, b) => a.size - b.size);
    // Balanced, so that a union of many small sets does not copy the growing one each time.
    while (sets.length > 1) {
      const pairs: AddressSet[] = [];
      for (let i = 0; i < sets.length; i += 2) {
        const [small, large] = [sets[i] as AddressSet, sets[i + 1]];
        pairs.push(large === undefined ? small : large.with(small, AddressSet.empty));
      }
      sets.splice(0, sets.length, ...pairs);
    }
    return sets[0] as AddressSet;
  }

  /**
   * Without the members of `removed` (those that are members, exactly so), and then with those of `added`. A block
   * that swallows members replaces them; taking it out again does not bring them back.
   */
  with(added: AddressSet, removed: AddressSet): AddressSet {
    if (added.size === 0 && removed.size === 0) return this;
    return AddressSet.fromBlocks(
      uniteBlocks(subtractBlocks(this.v4, removed.v4), added.v4),
      uniteBlocks(subtractBlocks(this.v6, removed.v6), added.v6),
    );
  }

  /** True when some address lies in both. */
  overlaps(other: AddressSet): boolean {
    return overlapBlocks(this.v4, other.v4) || overlapBlocks(this.v6, other.v6);
  }

  /** The prefix lengths that occur, ascending. */
  prefixLengths(family: Family): readonly number[] {
    const seen = new Uint8Array(129);
    for (const prefix of this.blocks(family).prefix) seen[prefix] = 1;
    return Array.from(seen.keys()).filter((length) => seen[length] === 1);
  }

  /** Canonical texts in the order of the set, IPv4 first. */
  *strings(): IterableIterator<string> {
    const { v4, v6 } = this;
    for (let i = 0; i < v4.prefix.length; i++) yield formatWords(4, v4.address, i, v4.prefix[i] as number);
    for (let i = 0; i < v6.prefix.length; i++)
      yield formatWords(6, v6.address, i * 4, v6.prefix[i] as number);
  }

  /** Calls once per member, IPv4 first. `address` (network order) is reused: copy what must last. */
  forEachBlock(visit: (address: Address, prefix: number, family: Family) => void): void {
    for (const family of [4, 6] as const) {
      const { address, prefix, width } = this.blocks(family);
      const bytes = new Uint8Array(width * 4);
      for (let i = 0; i < prefix.length; i++) {
        writeWords(family, address, i * width, bytes, 0);
        visit(bytes, prefix[i] as number, family);
      }
    }
  }

  /** Writes the address of the `index`-th member of a family (4 or 16 bytes, network order) into `target`. */
  writeAddress(family: Family, index: number, target: Uint8Array, offset: number): void {
    const { address, width } = this.blocks(family);
    writeWords(family, address, index * width, target, offset);
  }

  /** The address of the `index`-th member of a family, in network order. */
  addressAt(family: Family, index: number): Address {
    const { address, width } = this.blocks(family);
    return wordsToBytes(family, address, index * width);
  }
}

/** Collects blocks in any order, with duplicates and overlaps. Memory and time stay near the result's: see `BlockRuns`. */
export class AddressSetBuilder {
  readonly #runs4 = new BlockRuns(1);
  readonly #runs6 = new BlockRuns(4);
  readonly #reader = new AddressReader();

  /** Blocks added so far, duplicates and contained ones counted. */
  get added(): number {
    return this.#runs4.added + this.#runs6.added;
  }

  /** `address`: host byte order. @throws RangeError for host bits or a prefix over 32. */
  add4(address: number, prefix = 32): void {
    if (!(prefix >= 0 && prefix <= 32) || (address & hostMask(prefix, 0)) !== 0)
      throw new RangeError("not an IPv4 block");
    this.#runs4.push(address, 0, 0, 0, prefix);
  }

  /** Words in host byte order, the most significant first. @throws RangeError for host bits or a prefix over 128. */
  add6(w0: number, w1: number, w2: number, w3: number, prefix = 128): void {
    const host =
      (w0 & hostMask(prefix, 0)) |
      (w1 & hostMask(prefix, 1)) |
      (w2 & hostMask(prefix, 2)) |
      (w3 & hostMask(prefix, 3));
    if (!(prefix >= 0 && prefix <= 128) || host !== 0) throw new RangeError("not an IPv6 block");
    this.#runs6.push(w0, w1, w2, w3, prefix);
  }

  /** 4 or 16 bytes in network order. @throws RangeError as `add4` and `add6`. */
  addAddress(address: Address, prefix: number = address.length * 8): void {
    bytesToWords(address, scratch);
    this.addWords(address.length === 4 ? 4 : 6, scratch, prefix);
  }

  /** As `add4` and `add6`, from an array of words. */
  addWords(family: Family, words: Uint32Array, prefix: number): void {
    const [w0, w1, w2, w3] = [words[0] as number, words[1] as number, words[2] as number, words[3] as number];
    if (family === 4) this.add4(w0, prefix);
    else this.add6(w0, w1, w2, w3, prefix);
  }

  /** Adds an address or block from its text. null: added; else why it was not. */
  addText(text: string): string | null {
    const bytes = Buffer.from(text, "utf8");
    const reason = this.#reader.readBlock(bytes, 0, bytes.length);
    if (reason === null) this.addWords(this.#reader.family, this.#reader.words, this.#reader.prefix);
    return reason;
  }

  build(): AddressSet {
    return AddressSet.fromBlocks(this.#runs4.build(), this.#runs6.build());
  }
}

const scratch = new Uint32Array(4);
const probe4: Blocks = { width: 1, address: new Uint32Array(4), prefix: Uint8Array.of(32) };
const probe6: Blocks = { width: 4, address: new Uint32Array(4), prefix: Uint8Array.of(128) };
