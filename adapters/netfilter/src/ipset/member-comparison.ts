import type { AttributeReader } from "@antenna/netlink";
import {
  IPSET_ATTR_CADT_FLAGS,
  IPSET_ATTR_CIDR,
  IPSET_ATTR_IP,
  IPSET_ATTR_IPADDR_IPV4,
  IPSET_ATTR_IPADDR_IPV6,
  IPSET_ATTR_PORT,
  IPSET_ATTR_PROTO,
  IPSET_FLAG_NOMATCH,
} from "./ipset-protocol.js";
import { type KernelMembers, memberText } from "./kernel-members.js";

/** Members shown of each kind. */
const mostExamples = 3;

/**
 * Ticks off the members of a kernel set, in whatever order they come, against those that are meant: one bit for each,
 * nothing else is kept.
 */
export class MemberComparison {
  readonly #expected: KernelMembers;
  readonly #seen: Uint32Array;
  readonly #words: Uint32Array;
  readonly #examples: string[] = [];
  #found = 0;
  #extra = 0;

  constructor(expected: KernelMembers) {
    this.#expected = expected;
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
      this.#extra++;
      if (this.#examples.length < mostExamples) {
        const text = known && prefix <= whole ? memberText(words, prefix, protocol, port) : "a member";
        this.#examples.push(`+${text}${exception ? " nomatch" : ""}`);
      }
      return;
    }
    const bit = 1 << (index & 31);
    const word = this.#seen[index >>> 5] as number;
    if ((word & bit) !== 0) return; // a table that grew while it was listed may show a member twice
    this.#seen[index >>> 5] = word | bit;
    this.#found++;
  }

  /** Some of what differs: `+` stands in the kernel and is not meant, `-` is missing. */
  examples(): readonly string[] {
    const examples = [...this.#examples];
    let wanted = this.missing > 0 ? mostExamples : 0;
    for (let index = 0; index < this.#expected.size && wanted > 0; index++) {
      if (((this.#seen[index >>> 5] as number) & (1 << (index & 31))) !== 0) continue;
      examples.push(`-${this.#expected.describe(index)}`);
      wanted--;
    }
    return examples;
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
