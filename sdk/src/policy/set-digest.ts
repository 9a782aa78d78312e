import { hash } from "node:crypto";
import type { AddressSet } from "./address-set.js";
import type { Blocks } from "./blocks.js";

/**
 * The Merkle root of a set of addresses. The tree is fixed: 4,096 buckets, three levels of 16 children, every node SHA-256.
 *
 * - A member's bytes are its family (one byte, 4 or 6), its address in network order (4 or 16) and its prefix length (one).
 * - A member lies in the bucket whose number is the FNV-1a hash (32 bits) of these bytes, modulo 4,096.
 * - The digest of a bucket is SHA-256 over the bytes of its members, in the order of these bytes.
 * - The digest of a node is SHA-256 over the digests of its 16 children: bucket 0xabc is child c of node b of node a.
 *
 * One member more costs a pass over the members and the digests of one branch.
 */
export function setRoot(set: AddressSet, previous?: AddressSet): Uint8Array {
  const known = trees.get(set);
  if (known !== undefined) return known.root;
  const tree = growFrom(set, previous) ?? plant(set);
  trees.set(set, tree);
  return tree.root;
}

const fanOut = 16;
const buckets = 4_096;
const branches = buckets / fanOut;
const digestBytes = 32;
/** Members whose bytes are laid out at once: 3 MB at most, unless they are chosen to meet in few buckets. */
const mostLaidOut = 131_072;
/** Below, a set is digested anew each time, in less than the time of a pass over a large one. */
const smallestKept = 256;

/** What is kept of a set: 32 bytes, and 8 KiB more of a large one. */
interface Tree {
  readonly root: Uint8Array;
  /** Digests of the 256 lowest nodes. */
  readonly branches: Uint8Array | null;
}

const trees = new WeakMap<AddressSet, Tree>();

function plant(set: AddressSet): Tree {
  const digests = new Uint8Array(branches * digestBytes);
  // A pass over the members for each stretch of branches: hashing them again costs little, room for all of them much.
  const stretch = Math.max(1, Math.floor(branches / Math.ceil(set.size / mostLaidOut)));
  for (let from = 0; from < branches; from += stretch) {
    digestBranches(set, new Uint8Array(branches).fill(1, from, from + stretch), digests);
  }
  return crown(set, digests);
}

/** From the tree of a set that differs in few members; null: there is none, or it differs in many. */
function growFrom(set: AddressSet, previous: AddressSet | undefined): Tree | null {
  const tree = previous === undefined ? undefined : trees.get(previous);
  if (previous === undefined || tree === undefined) return null;
  const { branches: digests } = tree;
  if (digests === null) return previous.equals(set) ? tree : null;
  const { added, removed } = previous.diff(set);
  if (added.size + removed.size > branches) return null;
  const touched = new Uint8Array(branches);
  for (const members of [added, removed]) {
    for (const blocks of [members.v4, members.v6]) {
      for (let i = 0; i < blocks.prefix.length; i++)
        touched[(blocks.width === 1 ? bucketOf4(blocks, i) : bucketOf6(blocks, i)) >>> 4] = 1;
    }
  }
  const copy = digests.slice();
  digestBranches(set, touched, copy);
  return crown(set, copy);
}

/** The two upper levels. */
function crown(set: AddressSet, digests: Uint8Array): Tree {
  const limbs = new Uint8Array(fanOut * digestBytes);
  const width = fanOut * digestBytes;
  for (let limb = 0; limb < fanOut; limb++) {
    limbs.set(sha256(digests.subarray(limb * width, (limb + 1) * width)), limb * digestBytes);
  }
  return { root: sha256(limbs), branches: set.size < smallestKept ? null : digests };
}

/**
 * Writes the digests of the touched branches into `digests`: one pass finds their members, a second over these alone lays
 * the bytes of each bucket together, so that no bucket needs an array of its own.
 */
function digestBranches(set: AddressSet, touched: Uint8Array, digests: Uint8Array): void {
  const ends = new Uint32Array(buckets);
  const found = [findMembers(set.v4, touched, ends), findMembers(set.v6, touched, ends)] as const;
  let total = 0;
  for (let bucket = 0; bucket < buckets; bucket++) {
    const length = ends[bucket] as number;
    ends[bucket] = total;
    total += length;
  }
  const members = new Uint8Array(total);
  layMembers(set.v4, found[0], members, ends);
  layMembers(set.v6, found[1], members, ends);
  const children = new Uint8Array(fanOut * digestBytes);
  for (let branch = 0; branch < branches; branch++) {
    if (touched[branch] === 0) continue;
    let start = branch === 0 ? 0 : (ends[branch * fanOut - 1] as number);
    let isEmpty = true;
    for (let child = 0; child < fanOut; child++) {
      const end = ends[branch * fanOut + child] as number;
      if (end > start) isEmpty = false;
      children.set(end > start ? sha256(members.subarray(start, end)) : emptyBucket, child * digestBytes);
      start = end;
    }
    digests.set(isEmpty ? emptyBranch : sha256(children), branch * digestBytes);
  }
}

/** Members in touched branches, by index and bucket; `lengths` grows by their bytes. */
interface Found {
  readonly indexes: Uint32Array;
  readonly buckets: Uint16Array;
  readonly length: number;
}

function findMembers(blocks: Blocks, touched: Uint8Array, lengths: Uint32Array): Found {
  const bytes = blocks.width * 4 + 2;
  const count = blocks.prefix.length;
  // One branch of 256 holds few of the members; all of them hold all.
  let indexes = new Uint32Array(Math.min(count, 1_024));
  let numbers = new Uint16Array(indexes.length);
  let length = 0;
  for (let i = 0; i < count; i++) {
    const bucket = blocks.width === 1 ? bucketOf4(blocks, i) : bucketOf6(blocks, i);
    if (touched[bucket >>> 4] === 0) continue;
    if (length === indexes.length) {
      const room = Math.min(count, length * 4);
      const [few, fewNumbers] = [indexes, numbers];
      indexes = new Uint32Array(room);
      indexes.set(few);
      numbers = new Uint16Array(room);
      numbers.set(fewNumbers);
    }
    indexes[length] = i;
    numbers[length++] = bucket;
    lengths[bucket] = (lengths[bucket] as number) + bytes;
  }
  return { indexes, buckets: numbers, length };
}

/** Writes the members' bytes at the ends of their buckets so far, and moves these. */
function layMembers(blocks: Blocks, found: Found, members: Uint8Array, ends: Uint32Array): void {
  for (let i = 0; i < found.length; i++) {
    const bucket = found.buckets[i] as number;
    ends[bucket] = writeMember(blocks, found.indexes[i] as number, members, ends[bucket] as number);
  }
}

/** FNV-1a of the member's bytes, modulo 4,096 (the lower bits of a product follow from the lower bits of its factors). */
function bucketOf4({ address, prefix }: Blocks, index: number): number {
  const state = stepWord(step(basis, 4), address[index] as number);
  return step(state, prefix[index] as number) & (buckets - 1);
}

function bucketOf6({ address, prefix }: Blocks, index: number): number {
  let state = step(basis, 6);
  for (let word = index * 4; word < index * 4 + 4; word++) state = stepWord(state, address[word] as number);
  return step(state, prefix[index] as number) & (buckets - 1);
}

const basis = 0x811c9dc5;

function step(state: number, byte: number): number {
  return Math.imul(state ^ byte, 0x01000193);
}

function stepWord(state: number, word: number): number {
  return step(step(step(step(state, word >>> 24), (word >>> 16) & 0xff), (word >>> 8) & 0xff), word & 0xff);
}

/** The position after it. */
function writeMember(blocks: Blocks, index: number, target: Uint8Array, offset: number): number {
  const { width, address } = blocks;
  let at = offset;
  target[at++] = width === 1 ? 4 : 6;
  for (let word = index * width; word < (index + 1) * width; word++) {
    const value = address[word] as number;
    target[at++] = value >>> 24;
    target[at++] = value >>> 16;
    target[at++] = value >>> 8;
    target[at++] = value;
  }
  target[at++] = blocks.prefix[index] as number;
  return at;
}

function sha256(bytes: Uint8Array): Uint8Array {
  return hash("sha256", bytes, "buffer");
}

const emptyBucket = sha256(new Uint8Array(0));
const emptyBranch = sha256(Buffer.concat(Array.from({ length: fanOut }, () => emptyBucket)));
