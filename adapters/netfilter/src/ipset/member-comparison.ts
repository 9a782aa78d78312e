import { endianness } from "node:os";
import { type AttributeReader, NLA_TYPE_MASK } from "@antenna/netlink";
import {
  IPSET_ATTR_CADT_FLAGS,
  IPSET_ATTR_CIDR,
  IPSET_ATTR_DATA,
  IPSET_ATTR_IP,
  IPSET_ATTR_IPADDR_IPV4,
  IPSET_ATTR_IPADDR_IPV6,
  IPSET_ATTR_PORT,
  IPSET_ATTR_PROTO,
  IPSET_FLAG_NOMATCH,
} from "./ipset-protocol.js";
import { type KernelMember, type KernelMembers, memberText } from "./kernel-members.js";

/** Length and type of an attribute in one number, the flags of the type left out. */
function header(view: DataView, at: number): number {
  const type = view.getUint16(at + 2, littleEndian) & NLA_TYPE_MASK;
  return (type << 16) | view.getUint16(at, littleEndian);
}

/** Lengths and types of netlink are in the host's order. */
const littleEndian = endianness() === "LE";
/** DATA { IP { IPADDR_IPV4 } }, and the same with CIDR, one byte and its padding, behind IP. */
const [addressBytes, prefixedBytes] = [16, 24];
const addressMember = (IPSET_ATTR_DATA << 16) | addressBytes;
const prefixedMember = (IPSET_ATTR_DATA << 16) | prefixedBytes;
const plainAddress = (IPSET_ATTR_IP << 16) | 12;
const ipv4Address = (IPSET_ATTR_IPADDR_IPV4 << 16) | 8;
const prefixLength = (IPSET_ATTR_CIDR << 16) | 5;

/** Members shown of each kind. */
const mostExamples = 3;

/**
 * Ticks off the members of a kernel set, in whatever order they come, against those that are meant: one bit for each,
 * nothing else is kept but a few that are not meant.
 */
export class MemberComparison {
  readonly #expected: KernelMembers;
  readonly #seen: Uint32Array;
  readonly #words: Uint32Array;
  readonly #examples: string[] = [];
  readonly #mostDiffering: number;
  /** By their texts: a listing may show one twice. */
  readonly #strangers = new Map<string, KernelMember>();
  #found = 0;
  #extra = 0;
  /** True: something stands that no member of ours can be, or more than is kept. */
  #untold = false;

  /** @param mostDiffering Differing members that `differing` can tell. */
  constructor(expected: KernelMembers, mostDiffering = 0) {
    this.#expected = expected;
    this.#mostDiffering = mostDiffering;
    this.#seen = new Uint32Array(Math.ceil(expected.size / 32));
    this.#words = new Uint32Array(expected.family === 4 ? 1 : 4);
  }

  /** Members that stand in the kernel and are not meant, exceptions (`nomatch`) included. */
  get extra(): number {
    return this.#extra;
  }

  /** Meant, and not seen so far. */
  get missing(): number {
    return this.#expected.size - this.#found;
  }

  /**
   * Ticks off the plain IPv4 members that a listing begins with, at fixed places and several times as fast as by
   * attributes: an address, perhaps a prefix length, nothing else, and meant. Gives where the first other one begins.
   */
  addPlain(view: DataView, start: number, end: number): number {
    if (this.#words.length !== 1) return start;
    let at = start;
    while (at + addressBytes <= end) {
      const head = header(view, at);
      const prefixed = head === prefixedMember;
      if (!prefixed && head !== addressMember) return at;
      const bytes = prefixed ? prefixedBytes : addressBytes;
      if (at + bytes > end) return at;
      if (header(view, at + 4) !== plainAddress || header(view, at + 8) !== ipv4Address) return at;
      if (prefixed && header(view, at + addressBytes) !== prefixLength) return at;
      const prefix = prefixed ? view.getUint8(at + addressBytes + 4) : 32;
      const index = this.#expected.find4(view.getUint32(at + 12, false), prefix);
      if (index < 0) return at;
      this.#tick(index);
      at += bytes;
    }
    return at;
  }

  /** `data` stands before the attributes of one member; `address` is a reader to use. */
  add(data: AttributeReader, address: AttributeReader): void {
    const words = this.#words;
    const whole = words.length * 32;
    let prefix = whole;
    let protocol = 0;
    let port = 0;
    let exception = false;
    let known = false;
    while (data.next()) {
      switch (data.type) {
        case IPSET_ATTR_IP:
          known = this.#readAddress(data.enter(address));
          break;
        case IPSET_ATTR_CIDR:
          prefix = data.u8();
          break;
        case IPSET_ATTR_PORT:
          port = data.be16();
          break;
        case IPSET_ATTR_PROTO:
          protocol = data.u8();
          break;
        case IPSET_ATTR_CADT_FLAGS:
          exception = (data.be32() & IPSET_FLAG_NOMATCH) !== 0;
          break;
        default:
          break;
      }
    }
    const index = known && !exception ? this.#expected.find(words, prefix, protocol, port) : -1;
    if (index < 0) {
      const member = { words, prefix, protocol, port };
      this.#addStranger(known && prefix <= whole ? member : null, exception);
      return;
    }
    this.#tick(index);
  }

  /** null: what stands is no member that could be named. */
  #addStranger(member: KernelMember | null, exception: boolean): void {
    this.#extra++;
    if (this.#examples.length < mostExamples) {
      const text = member === null ? "a member" : memberText(member);
      this.#examples.push(`+${text}${exception ? " nomatch" : ""}`);
    }
    if (member === null || exception || this.#strangers.size >= this.#mostDiffering) this.#untold = true;
    else this.#strangers.set(memberText(member), { ...member, words: member.words.slice() });
  }

  /** All that differs; null: more than can be told, or what cannot be undone member by member. */
  differing(): { readonly missing: readonly KernelMember[]; readonly extra: readonly KernelMember[] } | null {
    if (this.#untold || this.missing + this.#strangers.size > this.#mostDiffering) return null;
    const missing: KernelMember[] = [];
    for (const index of this.#unseen(this.missing)) {
      const member = this.#expected.member(index);
      if (member !== null) missing.push(member);
    }
    return { missing, extra: [...this.#strangers.values()] };
  }

  #tick(index: number): void {
    const bit = 1 << (index & 31);
    const word = this.#seen[index >>> 5] as number;
    if ((word & bit) !== 0) return; // a table that grew while it was listed may show a member twice
    this.#seen[index >>> 5] = word | bit;
    this.#found++;
  }

  /** Some of what differs: `+` stands in the kernel and is not meant, `-` is missing. */
  examples(): readonly string[] {
    const examples = [...this.#examples];
    for (const index of this.#unseen(Math.min(this.missing, mostExamples))) {
      examples.push(`-${this.#expected.describe(index)}`);
    }
    return examples;
  }

  /** The first so many of those that are missing. */
  *#unseen(wanted: number): Iterable<number> {
    let left = wanted;
    for (let index = 0; index < this.#expected.size && left > 0; index++) {
      if (((this.#seen[index >>> 5] as number) & (1 << (index & 31))) !== 0) continue;
      yield index;
      left--;
    }
  }

  #readAddress(address: AttributeReader): boolean {
    const words = this.#words;
    while (address.next()) {
      if (address.type === IPSET_ATTR_IPADDR_IPV4 && words.length === 1) {
        words[0] = address.be32();
        return true;
      }
      if (address.type === IPSET_ATTR_IPADDR_IPV6 && words.length === 4) {
        address.be128(words);
        return true;
      }
    }
    return false;
  }
}
