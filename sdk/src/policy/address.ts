import { AntennaError } from "../error.js";
import { hostMask } from "./blocks.js";
import type { Address, Family } from "./family.js";

/** The longest text of a block: eight groups with a dotted tail (45) and `/128`. Longer texts are not looked at. */
const longestText = 49;

const [slash, dot, colon, percent, zero] = [0x2f, 0x2e, 0x3a, 0x25, 0x30];

/**
 * Reads addresses and blocks from ASCII bytes into numbers, without making a string per address; reused from member to
 * member. Accepts dotted IPv4 (RFC 6943, 3.1.1, "strict") and every form of RFC 4291, 2.2; refuses, with the reason in
 * words, leading zeros, host bits, zone ids and IPv4-mapped IPv6.
 */
export class AddressReader {
  family: Family = 4;
  /** Host byte order, the most significant word first; IPv4 uses word 0. */
  readonly words: Uint32Array = new Uint32Array(4);
  prefix = 0;
  #reason = "";

  /** An address or a block `address/prefix` in `bytes[start, end)`. null: read; else the reason why not. */
  readBlock(bytes: Uint8Array, start: number, end: number): string | null {
    if (end - start > longestText) return describe(bytes, start, end, "is not an address or a block");
    let at = start;
    while (at < end && bytes[at] !== slash) at++;
    if (!this.#readAddress(bytes, start, at)) return describe(bytes, start, end, this.#reason);
    const longest = this.family === 4 ? 32 : 128;
    this.prefix = longest;
    if (at < end) {
      const prefix = readDecimal(bytes, at + 1, end, 3);
      if (prefix < 0 || prefix > longest) {
        return describe(
          bytes,
          start,
          end,
          `has no valid prefix length (0-${longest}, without leading zeros)`,
        );
      }
      this.prefix = prefix;
      if (this.#clearHostBits()) {
        const right = formatWords(this.family, this.words, 0, this.prefix);
        return describe(bytes, start, end, `has host bits set; write ${right}, or leave the prefix out`);
      }
    }
    return this.#isMapped() ? describe(bytes, start, end, mapped) : null;
  }

  /** An address without a prefix in `bytes[start, end)`. null: read; else the reason why not. */
  readAddress(bytes: Uint8Array, start: number, end: number): string | null {
    if (end - start > longestText) return describe(bytes, start, end, "is not an address");
    for (let at = start; at < end; at++) {
      if (bytes[at] === slash)
        return describe(bytes, start, end, "is a block where one address is asked for");
    }
    if (!this.#readAddress(bytes, start, end)) return describe(bytes, start, end, this.#reason);
    this.prefix = this.family === 4 ? 32 : 128;
    return this.#isMapped() ? describe(bytes, start, end, mapped) : null;
  }

  /** What was read last, in network order. */
  bytes(): Address {
    return wordsToBytes(this.family, this.words, 0);
  }

  #readAddress(bytes: Uint8Array, start: number, end: number): boolean {
    let family: Family = 4;
    for (let at = start; at < end; at++) {
      if (bytes[at] === percent) return this.#fail("has a zone id; addresses of a policy have none");
      if (bytes[at] === colon) family = 6;
    }
    this.family = family;
    this.words.fill(0);
    return family === 4 ? this.#readDotted(bytes, start, end, 0) : this.#readGroups(bytes, start, end);
  }

  /** Four decimal octets, exactly, into `words[word]`. */
  #readDotted(bytes: Uint8Array, start: number, end: number, word: number): boolean {
    let value = 0;
    let at = start;
    for (let octet = 0; octet < 4; octet++) {
      if (octet > 0) {
        if (at >= end || bytes[at] !== dot) return this.#fail("is not an address");
        at++;
      }
      const first = at;
      let number = 0;
      while (at < end && at - first < 4) {
        const digit = (bytes[at] as number) - zero;
        if (digit < 0 || digit > 9) break;
        number = number * 10 + digit;
        at++;
      }
      if (at === first) return this.#fail("is not an address");
      if (at - first > 1 && bytes[first] === zero) {
        return this.#fail("has a leading zero, which some programs read as octal; leave it out");
      }
      if (number > 255) return this.#fail("is not an address: an octet is over 255");
      value = value * 256 + number;
    }
    if (at !== end) return this.#fail("is not an address");
    this.words[word] = value;
    return true;
  }

  /** RFC 4291, 2.2: up to eight groups of up to four digits, one `::`, a dotted tail in place of the last two groups. */
  #readGroups(bytes: Uint8Array, start: number, end: number): boolean {
    const groups = this.words;
    let count = 0;
    let gap = -1;
    let at = start;
    if (at + 1 < end && bytes[at] === colon && bytes[at + 1] === colon) {
      gap = 0;
      at += 2;
    }
    while (at < end) {
      const first = at;
      let value = 0;
      while (at < end && at - first < 5) {
        const digit = hexDigit(bytes[at] as number);
        if (digit < 0) break;
        value = value * 16 + digit;
        at++;
      }
      if (at < end && bytes[at] === dot) {
        if (count > 6) return this.#fail("is not an address: it has more than 128 bits");
        const tail = count;
        if (!this.#readTail(bytes, first, end, tail)) return false;
        count += 2;
        at = end;
        break;
      }
      if (at === first || at - first > 4) return this.#fail("is not an address");
      if (count === 8) return this.#fail("is not an address: it has more than eight groups");
      putGroup(groups, count++, value);
      if (at === end) break;
      if (bytes[at] !== colon) return this.#fail("is not an address");
      at++;
      if (at < end && bytes[at] === colon) {
        if (gap >= 0) return this.#fail("is not an address: it has `::` twice");
        gap = count;
        at++;
      } else if (at === end) return this.#fail("is not an address");
    }
    if (gap < 0) return count === 8 || this.#fail("is not an address: it has fewer than eight groups");
    if (count === 8) return this.#fail("is not an address: `::` stands for no group");
    for (let from = count - 1, to = 7; from >= gap; from--, to--) {
      putGroup(groups, to, getGroup(groups, from));
      putGroup(groups, from, 0);
    }
    return true;
  }

  /** The dotted tail as the groups `group` and `group + 1`. */
  #readTail(bytes: Uint8Array, start: number, end: number, group: number): boolean {
    const kept = this.words[0] as number;
    if (!this.#readDotted(bytes, start, end, 0)) return false;
    const value = this.words[0] as number;
    this.words[0] = kept;
    putGroup(this.words, group, value >>> 16);
    putGroup(this.words, group + 1, value & 0xffff);
    return true;
  }

  /** True when there were any. */
  #clearHostBits(): boolean {
    let found = false;
    for (let word = 0; word < (this.family === 4 ? 1 : 4); word++) {
      const mask = hostMask(this.prefix, word);
      const value = this.words[word] as number;
      if ((value & mask) !== 0) found = true;
      this.words[word] = value & ~mask;
    }
    return found;
  }

  /** Wholly inside ::ffff:0:0/96. */
  #isMapped(): boolean {
    const { words } = this;
    return this.family === 6 && this.prefix >= 96 && words[0] === 0 && words[1] === 0 && words[2] === 0xffff;
  }

  #fail(reason: string): false {
    this.#reason = reason;
    return false;
  }
}

const mapped = "is an IPv4-mapped IPv6 address; write it as IPv4";

/** Why nobody can be a peer under this block: it lies wholly in multicast, or is the unspecified address; null: fine. */
export function peerProblem(family: Family, words: Uint32Array, prefix: number): string | null {
  const first = words[0] as number;
  if (family === 4) {
    if (prefix >= 4 && first >>> 28 === 0xe) return "lies in multicast (224.0.0.0/4), where no peer is";
    return prefix === 32 && first === 0 ? "is the unspecified address, which no peer has" : null;
  }
  if (prefix >= 8 && first >>> 24 === 0xff) return "lies in multicast (ff00::/8), where no peer is";
  const unspecified =
    prefix === 128 && (first | (words[1] as number) | (words[2] as number) | (words[3] as number)) === 0;
  return unspecified ? "is the unspecified address, which no peer has" : null;
}

/**
 * The bytes of one address, in network order.
 *
 * @throws AntennaError `input-refused` with the reason: not an address, leading zeros, a zone id, IPv4-mapped.
 */
export function parseAddress(text: string): Address {
  const reader = new AddressReader();
  const bytes = Buffer.from(text, "utf8");
  const reason = reader.readAddress(bytes, 0, bytes.length);
  if (reason === null) return reader.bytes();
  throw new AntennaError({
    code: "input-refused",
    operation: "read an address",
    message: reason,
    problems: [{ path: "", problem: reason }],
  });
}

/** Canonical text of 4 or 16 bytes in network order (IPv6: RFC 5952). */
export function formatAddress(address: Address): string {
  const family: Family = address.length === 4 ? 4 : 6;
  const words = new Uint32Array(4);
  bytesToWords(address, words);
  return formatWords(family, words, 0, family === 4 ? 32 : 128);
}

/** Canonical text of a block; whole addresses go without their prefix length. */
export function formatBlock(address: Address, prefix: number): string {
  const text = formatAddress(address);
  return prefix === address.length * 8 ? text : `${text}/${prefix}`;
}

/** Canonical text of the block whose words begin at index `at`. */
export function formatWords(family: Family, words: Uint32Array, at: number, prefix: number): string {
  const text = family === 4 ? formatDotted(words[at] as number) : formatGroups(words, at);
  return prefix === (family === 4 ? 32 : 128) ? text : `${text}/${prefix}`;
}

/** Network order to host order words; `words` holds 4. */
export function bytesToWords(address: Address, words: Uint32Array): void {
  for (let word = 0; word * 4 < address.length; word++) {
    const at = word * 4;
    words[word] =
      (((address[at] as number) << 24) |
        ((address[at + 1] as number) << 16) |
        ((address[at + 2] as number) << 8) |
        (address[at + 3] as number)) >>>
      0;
  }
}

/** The address whose words begin at index `at`, in network order. */
export function wordsToBytes(family: Family, words: Uint32Array, at: number): Address {
  const address = new Uint8Array(family === 4 ? 4 : 16);
  writeWords(family, words, at, address, 0);
  return address;
}

/** Writes the 4 or 16 bytes of the address whose words begin at index `at`, in network order. */
export function writeWords(
  family: Family,
  words: Uint32Array,
  at: number,
  target: Uint8Array,
  offset: number,
): void {
  const last = at + (family === 4 ? 1 : 4);
  for (let i = at, to = offset; i < last; i++, to += 4) {
    const word = words[i] as number;
    target[to] = word >>> 24;
    target[to + 1] = (word >>> 16) & 0xff;
    target[to + 2] = (word >>> 8) & 0xff;
    target[to + 3] = word & 0xff;
  }
}

function formatDotted(word: number): string {
  return `${word >>> 24}.${(word >>> 16) & 0xff}.${(word >>> 8) & 0xff}.${word & 0xff}`;
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
function formatGroups(words: Uint32Array, at: number): string {
  let [gap, longest] = [-1, 1];
  for (let group = 0; group < 8; ) {
    let run = 0;
    while (group + run < 8 && groupOf(words, at, group + run) === 0) run++;
    if (run > longest) [gap, longest] = [group, run];
    group += run + 1;
  }
  let text = "";
  for (let group = 0; group < 8; group++) {
    if (group === gap) {
      text += "::";
      group += longest - 1;
      continue;
    }
    if (text !== "" && !text.endsWith(":")) text += ":";
    text += groupOf(words, at, group).toString(16);
  }
  return text;
}

function groupOf(words: Uint32Array, at: number, group: number): number {
  const word = words[at + (group >> 1)] as number;
  return (group & 1) === 0 ? word >>> 16 : word & 0xffff;
}

function getGroup(words: Uint32Array, group: number): number {
  return groupOf(words, 0, group);
}

function putGroup(words: Uint32Array, group: number, value: number): void {
  const word = words[group >> 1] as number;
  words[group >> 1] = (group & 1) === 0 ? (word & 0xffff) | (value << 16) : (word & 0xffff0000) | value;
}

/** A decimal number of 1 to `digits` digits without leading zeros, or -1. */
function readDecimal(bytes: Uint8Array, start: number, end: number, digits: number): number {
  if (end <= start || end - start > digits || (end - start > 1 && bytes[start] === zero)) return -1;
  let value = 0;
  for (let at = start; at < end; at++) {
    const digit = (bytes[at] as number) - zero;
    if (digit < 0 || digit > 9) return -1;
    value = value * 10 + digit;
  }
  return value;
}

function hexDigit(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30;
  const lower = byte | 0x20;
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1;
}

function describe(bytes: Uint8Array, start: number, end: number, reason: string): string {
  if (end === start) return "an empty text is not an address";
  return `${quote(Buffer.from(bytes.subarray(start, Math.min(end, start + 160))).toString("utf8"))} ${reason}`;
}

/** Foreign text for a message: one line, bounded, nothing that a terminal would act on. */
export function quote(text: string): string {
  const short = text.length > 64 ? `${text.slice(0, 64)}…` : text;
  return JSON.stringify(short).replace(
    /[\u007f-\u009f\p{Cf}\p{Co}\p{Zl}\p{Zp}\ufffe\uffff]/gu,
    (character) => `\\u{${(character.codePointAt(0) as number).toString(16)}}`,
  );
}
