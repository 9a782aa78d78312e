import { formatWords, peerProblem } from "../../policy/address.js";
import {
  allocateBlocks,
  type Blocks,
  compareBlocks,
  containsBlock,
  hostMask,
  noBlocks4,
  noBlocks6,
} from "../../policy/blocks.js";

/** Bytes of a packed block: its address in network order, and its prefix length. */
export function blockLength(width: 1 | 4): number {
  return width * 4 + 1;
}

/** The blocks `[from, to)`, one after the other. */
export function packBlocks(blocks: Blocks, from: number, to: number): Uint8Array {
  const { width, address, prefix } = blocks;
  const bytes = new Uint8Array((to - from) * blockLength(width));
  let at = 0;
  for (let i = from; i < to; i++) {
    for (let word = i * width; word < (i + 1) * width; word++) {
      const value = address[word] as number;
      bytes[at++] = value >>> 24;
      bytes[at++] = value >>> 16;
      bytes[at++] = value >>> 8;
      bytes[at++] = value;
    }
    bytes[at++] = prefix[i] as number;
  }
  return bytes;
}

/**
 * Takes packed blocks of one family in, stretch by stretch, in the order of a set's normal form, which goes on from one
 * stretch to the next. Each stretch becomes arrays of its own length, which are joined at the end: nothing is made per block,
 * and at no time is there more than twice what the set takes.
 */
export class BlockIntake {
  readonly #width: 1 | 4;
  /** True for blocks that become members: nobody can be a peer under some. */
  readonly #arePeers: boolean;
  readonly #stretches: Blocks[] = [];
  readonly #words = new Uint32Array(4);

  constructor(width: 1 | 4, arePeers: boolean) {
    this.#width = width;
    this.#arePeers = arePeers;
  }

  /** null: taken in; else what is wrong, and nothing was. */
  take(bytes: Uint8Array): string | null {
    if (bytes.length === 0) return null;
    const length = blockLength(this.#width);
    if (bytes.length % length !== 0)
      return `is ${bytes.length} bytes long, which is no multiple of ${length}`;
    const blocks = unpackBlocks(this.#width, bytes);
    const last = this.#stretches.at(-1);
    const count = blocks.prefix.length;
    for (let i = 0; i < count; i++) {
      const problem =
        this.#formProblem(blocks, i) ??
        (i > 0 ? orderProblem(blocks, i - 1, blocks, i) : null) ??
        (i === 0 && last !== undefined ? orderProblem(last, last.prefix.length - 1, blocks, 0) : null);
      if (problem !== null) return problem;
    }
    // One block a stretch would cost a hundred times what it holds.
    if (last !== undefined && last.prefix.length < joinedAtOnce) {
      this.#stretches[this.#stretches.length - 1] = joinBlocks(this.#width, [last, blocks]);
    } else this.#stretches.push(blocks);
    return null;
  }

  /** What was taken in. */
  build(): Blocks {
    const [first] = this.#stretches;
    if (first === undefined) return this.#width === 1 ? noBlocks4 : noBlocks6;
    return this.#stretches.length === 1 ? first : joinBlocks(this.#width, this.#stretches);
  }

  #formProblem(blocks: Blocks, index: number): string | null {
    const width = this.#width;
    const prefix = blocks.prefix[index] as number;
    if (prefix > width * 32) return `holds a prefix length of ${prefix}`;
    for (let word = 0; word < width; word++) {
      const value = blocks.address[index * width + word] as number;
      if ((value & hostMask(prefix, word)) !== 0) return `${shown(blocks, index)} has host bits set`;
      this.#words[word] = value;
    }
    if (!this.#arePeers) return null;
    const [first, second, third] = this.#words;
    if (width === 4 && prefix >= 96 && first === 0 && second === 0 && third === 0xffff)
      return `${shown(blocks, index)} is IPv4-mapped; it belongs among the IPv4 blocks`;
    const problem = peerProblem(width === 1 ? 4 : 6, this.#words, prefix);
    return problem === null ? null : `${shown(blocks, index)} ${problem}`;
  }
}

/** Blocks of a stretch that the next one is still added to. */
const joinedAtOnce = 1_024;

/** The caller has checked that the bytes are whole blocks. */
function unpackBlocks(width: 1 | 4, bytes: Uint8Array): Blocks {
  const count = bytes.length / blockLength(width);
  const blocks = allocateBlocks(width, count);
  const { address, prefix } = blocks;
  for (let i = 0, at = 0; i < count; i++) {
    for (let word = i * width; word < (i + 1) * width; word++, at += 4) {
      address[word] =
        ((bytes[at] as number) << 24) |
        ((bytes[at + 1] as number) << 16) |
        ((bytes[at + 2] as number) << 8) |
        (bytes[at + 3] as number);
    }
    prefix[i] = bytes[at++] as number;
  }
  return blocks;
}

function orderProblem(before: Blocks, i: number, blocks: Blocks, j: number): string | null {
  if (containsBlock(before, i, blocks, j))
    return `${shown(blocks, j)} lies in the block before it, or is the same`;
  return compareBlocks(before, i, blocks, j) < 0 ? null : `${shown(blocks, j)} is out of order`;
}

function joinBlocks(width: 1 | 4, stretches: readonly Blocks[]): Blocks {
  const joined = allocateBlocks(
    width,
    stretches.reduce((sum, { prefix }) => sum + prefix.length, 0),
  );
  let at = 0;
  for (const { address, prefix } of stretches) {
    joined.address.set(address, at * width);
    joined.prefix.set(prefix, at);
    at += prefix.length;
  }
  return joined;
}

function shown({ width, address, prefix }: Blocks, index: number): string {
  return formatWords(width === 1 ? 4 : 6, address, index * width, prefix[index] as number);
}
