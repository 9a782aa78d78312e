import { type Blocks, type Family, formatAddress, formatBlock, type ProgramSet } from "@antenna/sdk";

/** Members with the same services: every block with every port. */
interface Part {
  readonly blocks: Blocks;
  /** 0: a set without services. */
  readonly protocol: number;
  readonly ports: readonly number[];
  /** Index of its first member. */
  readonly first: number;
}

/** One member as a kernel set holds it. */
export interface KernelMember {
  /** One word for IPv4, four for IPv6, the most significant first. */
  readonly words: Uint32Array;
  readonly prefix: number;
  /** 0: of a set without services. */
  readonly protocol: number;
  readonly port: number;
}

const noPorts: readonly number[] = [0];
const portsOfProtocol = 0x10000;

/**
 * The members of a program's set as a kernel set of one family holds them, numbered from 0 without being spelled out.
 * `hash:net` refuses a prefix of length 0: /0 stands as its two halves.
 */
export class KernelMembers {
  readonly family: Family;
  readonly size: number;
  readonly parts: readonly Part[];
  readonly #byService = new Map<number, { readonly part: Part; readonly port: number }>();

  constructor(set: ProgramSet, family: Family) {
    this.family = family;
    const parts: Part[] = [];
    let first = 0;
    const services =
      set.kind === "peers" ? [{ members: set.members, protocol: 0, ports: noPorts }] : set.parts;
    for (const { members, protocol, ports } of services) {
      const blocks = withoutZero(members.blocks(family));
      const part: Part = { blocks, protocol, ports, first };
      first += blocks.prefix.length * ports.length;
      parts.push(part);
      for (const [index, port] of ports.entries()) {
        this.#byService.set(protocol * portsOfProtocol + port, { part, port: index });
      }
    }
    this.parts = parts;
    this.size = first;
  }

  /** The member's number; -1: it is none. `words`: one for IPv4, four for IPv6, the most significant first. */
  find(words: Uint32Array, prefix: number, protocol: number, port: number): number {
    const service = this.#byService.get(protocol * portsOfProtocol + port);
    if (service === undefined) return -1;
    const { blocks, ports, first } = service.part;
    const block = findBlock(blocks, words, prefix);
    return block < 0 ? -1 : first + block * ports.length + service.port;
  }

  /** `find` for an IPv4 address in a set without services, as most members are. */
  find4(address: number, prefix: number): number {
    const part = this.#byService.get(0)?.part;
    if (part === undefined || part.blocks.width !== 1) return -1;
    const { address: addresses, prefix: prefixes } = part.blocks;
    let from = 0;
    let to = prefixes.length - 1;
    while (from <= to) {
      const middle = (from + to) >>> 1;
      const found = addresses[middle] as number;
      if (found === address) return prefixes[middle] === prefix ? part.first + middle : -1;
      if (found < address) from = middle + 1;
      else to = middle - 1;
    }
    return -1;
  }

  /** The member of that number; null: there is none. */
  member(index: number): KernelMember | null {
    const part = this.parts.findLast(({ first }) => first <= index);
    if (part === undefined || index >= this.size) return null;
    const { blocks, protocol, ports, first } = part;
    const block = Math.floor((index - first) / ports.length);
    const { address, prefix, width } = blocks;
    return {
      words: address.subarray(block * width, block * width + width),
      prefix: prefix[block] ?? 0,
      protocol,
      port: ports[(index - first) % ports.length] ?? 0,
    };
  }

  /** `10.0.0.0/8,6:443`: as ipset writes it, the protocol by number. */
  describe(index: number): string {
    const member = this.member(index);
    return member === null ? `member ${index}` : memberText(member);
  }
}

export function memberText({ words, prefix, protocol, port }: KernelMember): string {
  const bytes = new Uint8Array(words.length * 4);
  const view = new DataView(bytes.buffer);
  for (const [index, word] of words.entries()) view.setUint32(index * 4, word, false);
  const block = prefix === bytes.length * 8 ? formatAddress(bytes) : formatBlock(bytes, prefix);
  return protocol === 0 ? block : `${block},${protocol}:${port}`;
}

function withoutZero(blocks: Blocks): Blocks {
  if (blocks.prefix[0] !== 0) return blocks;
  const { width } = blocks;
  const address = new Uint32Array(width * 2);
  address[width] = 0x80000000;
  return { width, address, prefix: Uint8Array.of(1, 1) };
}

/** Blocks are sorted by address, and in normal form no two have the same one. */
function findBlock(blocks: Blocks, words: Uint32Array, prefix: number): number {
  const { address, width } = blocks;
  let from = 0;
  let to = blocks.prefix.length - 1;
  while (from <= to) {
    const middle = (from + to) >>> 1;
    let order = 0;
    for (let word = 0; word < width && order === 0; word++) {
      order = (address[middle * width + word] as number) - (words[word] as number);
    }
    if (order === 0) return blocks.prefix[middle] === prefix ? middle : -1;
    if (order < 0) from = middle + 1;
    else to = middle - 1;
  }
  return -1;
}
