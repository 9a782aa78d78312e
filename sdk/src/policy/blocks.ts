/**
 * Address blocks of one family as a sorted array, and the linear algorithms on it. A block is its first address, as
 * words in host byte order (one for IPv4, four for IPv6, the most significant first), and a prefix length.
 *
 * Normal form: ascending by address, then by prefix length; no block lies inside another (two blocks are either nested or
 * disjoint, so that a contained one always follows the one that contains it).
 */
export interface Blocks {
  /** Words per block. */
  readonly width: 1 | 4;
  /** `width` words per block. */
  readonly address: Uint32Array;
  /** One per block. */
  readonly prefix: Uint8Array;
}

export const noBlocks4: Blocks = allocateBlocks(1, 0);
export const noBlocks6: Blocks = allocateBlocks(4, 0);

export function allocateBlocks(width: 1 | 4, length: number): Blocks {
  return { width, address: new Uint32Array(length * width), prefix: new Uint8Array(length) };
}

/** The bits of word `word` that a prefix of that length leaves to the host. */
export function hostMask(prefix: number, word: number): number {
  const bits = prefix - word * 32;
  if (bits >= 32) return 0;
  return bits <= 0 ? 0xffffffff : 0xffffffff >>> bits;
}

export function compareBlocks(a: Blocks, i: number, b: Blocks, j: number): number {
  const width = a.width;
  for (let word = 0; word < width; word++) {
    const x = a.address[i * width + word] as number;
    const y = b.address[j * width + word] as number;
    if (x !== y) return x < y ? -1 : 1;
  }
  return (a.prefix[i] as number) - (b.prefix[j] as number);
}

/** True when block `j` of `b` lies inside block `i` of `a`, or is equal to it. */
export function containsBlock(a: Blocks, i: number, b: Blocks, j: number): boolean {
  const prefix = a.prefix[i] as number;
  if (prefix > (b.prefix[j] as number)) return false;
  const width = a.width;
  for (let word = 0; word * 32 < prefix; word++) {
    const difference = (a.address[i * width + word] as number) ^ (b.address[j * width + word] as number);
    if ((difference & ~hostMask(prefix, word)) !== 0) return false;
  }
  return true;
}

export function equalBlocks(a: Blocks, b: Blocks): boolean {
  if (a.prefix.length !== b.prefix.length) return false;
  return commonHead(a, b) === a.prefix.length;
}

/** The first index from `from` on whose block is not before block `k` of `key`; near `from` it is found in few steps. */
export function seekBlock(blocks: Blocks, from: number, key: Blocks, k: number): number {
  const length = blocks.prefix.length;
  let low = from;
  let step = 1;
  while (low + step <= length && compareBlocks(blocks, low + step - 1, key, k) < 0) {
    low += step;
    step *= 2;
  }
  let high = Math.min(low + step - 1, length);
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBlocks(blocks, middle, key, k) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The index of the block that contains block `k` of `key`, or -1. `blocks` is in normal form. */
export function findContaining(blocks: Blocks, key: Blocks, k: number): number {
  let low = 0;
  let high = blocks.prefix.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (compareBlocks(blocks, middle, key, k) <= 0) low = middle + 1;
    else high = middle;
  }
  return low > 0 && containsBlock(blocks, low - 1, key, k) ? low - 1 : -1;
}

/** The union in normal form. Cheapest when the shorter side comes second: whole stretches of the first are copied. */
export function uniteBlocks(a: Blocks, b: Blocks): Blocks {
  if (b.prefix.length === 0) return a;
  if (a.prefix.length === 0) return b;
  const out = allocateBlocks(a.width, a.prefix.length + b.prefix.length);
  return shorten(out, uniteInto(out, a, b));
}

/** As `uniteBlocks`, into the beginning of `out`, which has room for both; gives the length. */
export function uniteInto(out: Blocks, a: Blocks, b: Blocks): number {
  let length = 0;
  let cursor = 0;
  for (let k = 0; k < b.prefix.length; k++) {
    const next = seekBlock(a, cursor, b, k);
    length = append(out, length, a, cursor, next);
    cursor = next;
    if (length > 0 && containsBlock(out, length - 1, b, k)) continue;
    length = append(out, length, b, k, k + 1);
    while (cursor < a.prefix.length && containsBlock(b, k, a, cursor)) cursor++;
  }
  return append(out, length, a, cursor, a.prefix.length);
}

/** The blocks of `a` that are not, exactly so, in `b`: in arrays of their number, or those of `a` when they are all. */
export function subtractBlocks(a: Blocks, b: Blocks): Blocks {
  const common = countCommon(a, b);
  if (common === 0) return a;
  const out = allocateBlocks(a.width, a.prefix.length - common);
  let length = 0;
  let cursor = 0;
  for (let k = 0; k < b.prefix.length && cursor < a.prefix.length; k++) {
    const next = seekBlock(a, cursor, b, k);
    length = append(out, length, a, cursor, next);
    cursor = next;
    if (cursor < a.prefix.length && compareBlocks(a, cursor, b, k) === 0) cursor++;
  }
  append(out, length, a, cursor, a.prefix.length);
  return out;
}

function countCommon(a: Blocks, b: Blocks): number {
  let count = 0;
  let cursor = 0;
  for (let k = 0; k < b.prefix.length && cursor < a.prefix.length; k++) {
    cursor = seekBlock(a, cursor, b, k);
    if (cursor === a.prefix.length || compareBlocks(a, cursor, b, k) !== 0) continue;
    count++;
    cursor++;
  }
  return count;
}

/** The blocks that only one side has. Equal stretches at both ends, the rule when little changed, cost a comparison. */
export function diffBlocks(
  before: Blocks,
  after: Blocks,
): { readonly added: Blocks; readonly removed: Blocks } {
  const head = commonHead(before, after);
  const tail = commonTail(before, after, head);
  const old = sliceBlocks(before, head, before.prefix.length - tail);
  const young = sliceBlocks(after, head, after.prefix.length - tail);
  return {
    added: settleBlocks(subtractBlocks(young, old)),
    removed: settleBlocks(subtractBlocks(old, young)),
  };
}

/** True when some address lies in both. */
export function overlapBlocks(a: Blocks, b: Blocks): boolean {
  if (a.prefix.length < b.prefix.length) return overlapBlocks(b, a);
  let cursor = 0;
  for (let k = 0; k < b.prefix.length; k++) {
    cursor = seekBlock(a, cursor, b, k);
    if (cursor > 0 && containsBlock(a, cursor - 1, b, k)) return true;
    if (cursor < a.prefix.length && containsBlock(b, k, a, cursor)) return true;
  }
  return false;
}

/** A view, without copying. */
export function sliceBlocks(blocks: Blocks, from: number, to: number): Blocks {
  const { width } = blocks;
  return {
    width,
    address: blocks.address.subarray(from * width, to * width),
    prefix: blocks.prefix.subarray(from, to),
  };
}

/** Room for sorting, kept from one run of members to the next. */
export interface SortingRoom {
  /** IPv4: address and prefix fit a double's 53 bits together, and typed arrays of doubles sort natively. */
  readonly keys: Float64Array;
  /** IPv6. */
  readonly order: Uint32Array;
}

export function sortingRoom(width: 1 | 4, length: number): SortingRoom {
  return {
    keys: new Float64Array(width === 1 ? length : 0),
    order: new Uint32Array(width === 1 ? 0 : length),
  };
}

/** Writes the normal form of any blocks into the beginning of `out`, which has room for all; gives its length. */
export function normaliseInto(out: Blocks, blocks: Blocks, room: SortingRoom): number {
  const count = blocks.prefix.length;
  if (isSorted(blocks)) {
    let length = 0;
    for (let i = 0; i < count; i++) length = appendUncovered(out, length, blocks, i);
    return length;
  }
  if (blocks.width === 1) return normalise4(out, blocks, room.keys.subarray(0, count));
  const order = room.order.subarray(0, count);
  for (let i = 0; i < count; i++) order[i] = i;
  order.sort((i, j) => compareBlocks(blocks, i, blocks, j));
  let length = 0;
  for (let i = 0; i < count; i++) length = appendUncovered(out, length, blocks, order[i] as number);
  return length;
}

function isSorted(blocks: Blocks): boolean {
  for (let i = 1; i < blocks.prefix.length; i++) {
    if (compareBlocks(blocks, i - 1, blocks, i) > 0) return false;
  }
  return true;
}

function normalise4(out: Blocks, blocks: Blocks, keys: Float64Array): number {
  for (let i = 0; i < keys.length; i++) {
    keys[i] = (blocks.address[i] as number) * 64 + (blocks.prefix[i] as number);
  }
  keys.sort();
  let length = 0;
  for (let i = 0; i < keys.length; i++) {
    const key = keys[i] as number;
    out.address[length] = Math.floor(key / 64);
    out.prefix[length] = key % 64;
    if (length === 0 || !containsBlock(out, length - 1, out, length)) length++;
  }
  return length;
}

function appendUncovered(out: Blocks, length: number, source: Blocks, index: number): number {
  if (length > 0 && containsBlock(out, length - 1, source, index)) return length;
  return append(out, length, source, index, index + 1);
}

function append(out: Blocks, length: number, source: Blocks, from: number, to: number): number {
  const { width } = out;
  if (to - from > 16) {
    out.address.set(source.address.subarray(from * width, to * width), length * width);
    out.prefix.set(source.prefix.subarray(from, to), length);
    return length + to - from;
  }
  let at = length * width;
  for (let i = from * width; i < to * width; i++) out.address[at++] = source.address[i] as number;
  for (let i = from; i < to; i++) out.prefix[length++] = source.prefix[i] as number;
  return length;
}

function shorten(blocks: Blocks, length: number): Blocks {
  return length === blocks.prefix.length ? blocks : settleBlocks(sliceBlocks(blocks, 0, length));
}

/**
 * What a set holds on to is about what it counts: a copy when `blocks` is a view that leaves more than a sixteenth of its
 * memory unused. A lesser rest is not worth holding both for a moment.
 */
export function settleBlocks(blocks: Blocks): Blocks {
  const room = blocks.prefix.buffer.byteLength;
  if (room - blocks.prefix.byteLength <= room / 16) return blocks;
  return { width: blocks.width, address: blocks.address.slice(), prefix: blocks.prefix.slice() };
}

function commonHead(a: Blocks, b: Blocks): number {
  const { width } = a;
  const limit = Math.min(a.prefix.length, b.prefix.length);
  let words = 0;
  while (words < limit * width && a.address[words] === b.address[words]) words++;
  const most = Math.floor(words / width);
  let head = 0;
  while (head < most && a.prefix[head] === b.prefix[head]) head++;
  return head;
}

/** Equal blocks at the end, not counting the first `head`. */
function commonTail(a: Blocks, b: Blocks, head: number): number {
  const { width } = a;
  const limit = Math.min(a.prefix.length, b.prefix.length) - head;
  let words = 0;
  while (
    words < limit * width &&
    a.address[a.address.length - 1 - words] === b.address[b.address.length - 1 - words]
  ) {
    words++;
  }
  const most = Math.floor(words / width);
  let tail = 0;
  while (tail < most && a.prefix[a.prefix.length - 1 - tail] === b.prefix[b.prefix.length - 1 - tail]) tail++;
  return tail;
}
