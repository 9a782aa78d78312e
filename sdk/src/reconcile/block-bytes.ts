import { endianness } from "node:os";
import { AddressSet } from "../policy/address-set.js";
import { type Blocks, compareBlocks, containsBlock, hostMask } from "../policy/blocks.js";

const littleEndian = endianness() === "LE";

/** How many blocks of each family a set has, as it stands before the blocks' bytes. */
export type BlockCounts = readonly [v4: number, v6: number];

export function blockCounts(set: AddressSet): BlockCounts {
  return [set.size4, set.size6];
}

/** Bytes that `counts` stand for: the words of the addresses and the prefix of each. */
export function blockBytes([v4, v6]: BlockCounts): number {
  return v4 * 5 + v6 * 17;
}

/** The set as it lies in memory, words little-endian; views, not copies, on the machines that count. */
export function writeBlocks(set: AddressSet): readonly Uint8Array[] {
  return [set.v4, set.v6].flatMap((blocks) => [littleEndianBytes(blocks.address), blocks.prefix]);
}

/**
 * The set whose bytes begin at `offset`; null when they are not those of a set in normal form. The caller has checked
 * that `blockBytes(counts)` bytes are there.
 */
export function readBlocks(bytes: Uint8Array, offset: number, [v4, v6]: BlockCounts): AddressSet | null {
  const four = readFamily(bytes, offset, 1, v4);
  const six = readFamily(bytes, offset + v4 * 5, 4, v6);
  return isNormal(four) && isNormal(six) ? AddressSet.fromBlocks(four, six) : null;
}

function readFamily(bytes: Uint8Array, offset: number, width: 1 | 4, count: number): Blocks {
  const address = new Uint32Array(count * width);
  const end = offset + address.byteLength;
  new Uint8Array(address.buffer).set(bytes.subarray(offset, end));
  if (!littleEndian) Buffer.from(address.buffer).swap32();
  // A copy: `slice` of a Buffer is a view, and would hold on to the bytes of the whole file.
  return { width, address, prefix: new Uint8Array(bytes.subarray(end, end + count)) };
}

function littleEndianBytes(words: Uint32Array): Uint8Array {
  if (littleEndian) return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  return Buffer.from(words.slice().buffer).swap32();
}

function isNormal(blocks: Blocks): boolean {
  const { width, address, prefix } = blocks;
  for (let i = 0; i < prefix.length; i++) {
    const length = prefix[i] as number;
    if (length > width * 32) return false;
    for (let word = 0; word < width; word++) {
      if (((address[i * width + word] as number) & hostMask(length, word)) !== 0) return false;
    }
    // A block inside another follows it, and the first one that does follows it at once.
    if (i > 0 && (compareBlocks(blocks, i - 1, blocks, i) >= 0 || containsBlock(blocks, i - 1, blocks, i)))
      return false;
  }
  return true;
}
