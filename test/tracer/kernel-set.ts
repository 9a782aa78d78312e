import { keepPrefix, parseBlock } from "./address-block.js";
import type { TracedPacket } from "./traced-packet.js";

/** The ipset types that the tracer understands. */
export type KernelSetType = "hash:ip" | "hash:net" | "hash:ip,port" | "hash:net,port";

/** One ipset of one family, as `ipset save` writes it. */
export interface KernelSet {
  readonly name: string;
  readonly type: KernelSetType;
  readonly family: 4 | 6;
  /** The members as they were written. */
  readonly texts: ReadonlySet<string>;
  /** Networks by their length; for types with a port, keyed by network, protocol and port. */
  readonly members: ReadonlyMap<number, ReadonlySet<string>>;
}

export type KernelSets = ReadonlyMap<string, KernelSet>;

/**
 * Members in ipset's own words: `10.0.0.1`, `10.0.0.0/8`, `10.0.0.1,tcp:80`, `fd00::/64,udp:53`,
 * `10.0.0.1,icmp:8/0`, `10.0.0.1,47:0`. Throws on what it does not know (`nomatch`, timeouts).
 */
export function kernelSet(
  name: string,
  type: KernelSetType,
  family: 4 | 6,
  members: Iterable<string>,
): KernelSet {
  const byPrefix = new Map<number, Set<string>>();
  const texts = new Set(members);
  for (const member of texts) {
    const [network = "", service] = member.split(",", 2);
    if (/\s/.test(member) || (service !== undefined) !== type.endsWith(",port")) {
      throw new Error(`${name}: not a member of a ${type}: ${member}`);
    }
    const block = parseBlock(network);
    if (block.family !== family) throw new Error(`${name}: not of its family: ${member}`);
    if (!type.startsWith("hash:net") && block.prefix !== block.bytes.length * 8) {
      throw new Error(`${name}: no single address: ${member}`);
    }
    // ip_set_hash_net*.c refuse a prefix of zero.
    if (block.prefix === 0) throw new Error(`${name}: the kernel refuses /0: ${member}`);
    const keys = byPrefix.get(block.prefix) ?? new Set();
    byPrefix.set(block.prefix, keys);
    keys.add(
      service === undefined ? addressKey(block.bytes) : pairKey(block.bytes, ...parseService(service)),
    );
  }
  return { name, type, family, texts, members: byPrefix };
}

/** Reads the output of `ipset save`, or the input of `ipset restore`, made of `create` and `add` lines alone. */
export function parseSets(text: string): KernelSets {
  const drafts = new Map<string, { type: KernelSetType; family: 4 | 6; members: string[] }>();
  for (const line of text.split("\n")) {
    const [verb, name = "", ...rest] = line.trim().split(/\s+/);
    if (verb === "" || verb === undefined) continue;
    if (verb === "create") {
      const [type = "", ...options] = rest;
      drafts.set(name, { type: knownType(type), family: familyOption(options), members: [] });
    } else if (verb === "add") {
      const draft = drafts.get(name);
      const [member = "", ...options] = rest;
      if (draft === undefined) throw new Error(`add to a set that is not there: ${line}`);
      if (options.length > 0) throw new Error(`options of a member: ${line}`);
      draft.members.push(member);
    } else {
      throw new Error(`not understood: ${line}`);
    }
  }
  return new Map(
    [...drafts].map(([name, draft]) => [name, kernelSet(name, draft.type, draft.family, draft.members)]),
  );
}

/** `ip_set_test`: a set of the other family, or one asked with too few sides, holds nothing. */
export function setHolds(
  sets: KernelSets,
  name: string,
  sides: readonly ("src" | "dst")[],
  packet: TracedPacket,
): boolean {
  const set = sets.get(name);
  if (set === undefined) throw new Error(`no such set: ${name}`);
  const paired = set.type.endsWith(",port");
  const [first, second] = sides;
  if (first === undefined || set.family !== packet.family) return false;
  const address = first === "src" ? packet.source : packet.destination;
  if (!paired) {
    return some(set, address, (masked) => addressKey(masked));
  }
  if (second === undefined) return false;
  const { protocol } = packet.behind ?? packet;
  const port = portInSet(packet, second);
  return port !== null && some(set, address, (masked) => pairKey(masked, protocol, port));
}

function some(set: KernelSet, address: Uint8Array, key: (masked: Uint8Array) => string): boolean {
  for (const [prefix, keys] of set.members) {
    if (keys.has(key(keepPrefix(address, prefix)))) return true;
  }
  return false;
}

/**
 * `ip_set_get_ip4_port` and `_ip6_port` (ip_set_getport.c): ports of tcp, udp, udplite and sctp, type and code of ICMP,
 * zero for every other protocol, DCCP among them. Later fragments: IPv6 none at all, IPv4 only of other protocols.
 */
function portInSet(packet: TracedPacket, side: "src" | "dst"): number | null {
  const { protocol, sourcePort, destinationPort, icmpType, icmpCode } = packet.behind ?? packet;
  const carriesPorts = [6, 17, 132, 136].includes(protocol);
  if (packet.laterFragment) {
    return packet.family === 6 || carriesPorts || protocol === 1 ? null : 0;
  }
  if (carriesPorts) return side === "src" ? sourcePort : destinationPort;
  if (protocol !== 1 && protocol !== 58) return 0;
  return icmpType === null ? null : (icmpType << 8) | (icmpCode ?? 0);
}

function parseService(text: string): readonly [protocol: number, port: number] {
  const [word = "", tail] = text.includes(":") ? text.split(":", 2) : ["tcp", text];
  const protocol = protocolNumber(word);
  const icmp = /^(\d{1,3})\/(\d{1,3})$/.exec(tail ?? "");
  if ((protocol === 1 || protocol === 58) && icmp !== null) {
    return [protocol, (Number(icmp[1]) << 8) | Number(icmp[2])];
  }
  if (!/^\d{1,5}$/.test(tail ?? "")) throw new Error(`no service: ${text}`);
  return [protocol, Number(tail)];
}

const protocolNames: Readonly<Record<string, number>> = {
  ...{ icmp: 1, igmp: 2, tcp: 6, udp: 17, dccp: 33, gre: 47, esp: 50, ah: 51 },
  ...{ icmpv6: 58, "ipv6-icmp": 58, ospf: 89, vrrp: 112, sctp: 132, udplite: 136, all: 0 },
};

/** A protocol by number or by one of the names that iptables and ipset write. */
export function protocolNumber(word: string): number {
  const named = protocolNames[word.toLowerCase()];
  if (named !== undefined) return named;
  if (/^\d{1,3}$/.test(word) && Number(word) <= 255) return Number(word);
  throw new Error(`no protocol: ${word}`);
}

function knownType(type: string): KernelSetType {
  switch (type) {
    case "hash:ip":
    case "hash:net":
    case "hash:ip,port":
    case "hash:net,port":
      return type;
    default:
      throw new Error(`a type of set that is not known: ${type}`);
  }
}

function familyOption(options: readonly string[]): 4 | 6 {
  for (const option of options) {
    if (["timeout", "netmask", "bitmask", "markmask"].includes(option)) {
      throw new Error(`an option that changes the meaning of a set: ${option}`);
    }
  }
  return options[options.indexOf("family") + 1] === "inet6" && options.includes("family") ? 6 : 4;
}

function addressKey(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes);
}

function pairKey(bytes: Uint8Array, protocol: number, port: number): string {
  return `${addressKey(bytes)}/${protocol}/${port}`;
}
