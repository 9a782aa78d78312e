import type { AddressBlock } from "./address-block.js";
import { blockContains } from "./address-block.js";
import { headerBytes } from "./header-bytes.js";
import type { KernelSets } from "./kernel-set.js";
import { setHolds } from "./kernel-set.js";
import type { TracedPacket } from "./traced-packet.js";
import { type U32Test, u32Holds } from "./u32.js";

export interface NumberRange {
  readonly from: number;
  readonly to: number;
}

/** One condition of a rule. Every kind here is checked against the kernel by test/host/meaning-tracer.test.ts. */
export type Match =
  | {
      readonly kind: "interface";
      readonly side: "in" | "out";
      readonly name: string;
      readonly negated: boolean;
    }
  | {
      readonly kind: "address";
      readonly side: "src" | "dst";
      readonly block: AddressBlock;
      readonly negated: boolean;
    }
  | { readonly kind: "protocol"; readonly number: number; readonly negated: boolean }
  | { readonly kind: "later-fragment"; readonly negated: boolean }
  | { readonly kind: "authentication" }
  | {
      readonly kind: "ports";
      readonly side: "src" | "dst" | "either";
      readonly ranges: readonly NumberRange[];
      readonly negated: boolean;
      /** Of tcp and udp, and not every port: iptables-nft makes a payload expression of it. */
      readonly payload: boolean;
    }
  | {
      readonly kind: "icmp";
      readonly family: 4 | 6;
      readonly type: number;
      readonly codes: NumberRange;
      readonly negated: boolean;
    }
  | { readonly kind: "tcp-flags"; readonly mask: number; readonly set: number; readonly negated: boolean }
  | {
      readonly kind: "set";
      readonly name: string;
      readonly sides: readonly ("src" | "dst")[];
      readonly negated: boolean;
    }
  | {
      readonly kind: "conntrack";
      readonly states: { readonly names: ReadonlySet<string>; readonly negated: boolean } | null;
      readonly direction: "ORIGINAL" | "REPLY" | null;
      readonly originalDestination: { readonly block: AddressBlock; readonly negated: boolean } | null;
      readonly originalDestinationPort: { readonly range: NumberRange; readonly negated: boolean } | null;
      readonly status: { readonly names: ReadonlySet<string>; readonly negated: boolean } | null;
    }
  | { readonly kind: "connmark"; readonly value: number; readonly mask: number; readonly negated: boolean }
  | { readonly kind: "u32"; readonly tests: readonly U32Test[]; readonly negated: boolean }
  | { readonly kind: "policy"; readonly direction: "in" | "out"; readonly ipsec: boolean }
  | {
      readonly kind: "hop-limit";
      readonly family: 4 | 6;
      readonly relation: "eq" | "lt" | "gt";
      readonly value: number;
      readonly negated: boolean;
    }
  | { readonly kind: "limit" };

export interface MatchContext {
  readonly sets: KernelSets;
  /** What `-m limit` says: true while tokens are left. */
  readonly withinLimit: boolean;
}

export function matches(match: Match, packet: TracedPacket, context: MatchContext): boolean {
  switch (match.kind) {
    case "interface":
      return interfaceMatches(match.name, packet[`${match.side}Interface`]) !== match.negated;
    case "address":
      return blockContains(match.block, addressOf(packet, match.side)) !== match.negated;
    case "protocol":
      return (match.number === 0 || packet.protocol === match.number) !== match.negated;
    case "later-fragment":
      return packet.laterFragment !== match.negated;
    case "authentication":
      return packet.authentication;
    case "ports":
      return portsMatch(match, packet);
    case "icmp":
      return icmpMatches(match, packet);
    case "tcp-flags":
      return tcpFlagsMatch(match, packet);
    case "set":
      return setHolds(context.sets, match.name, match.sides, packet) !== match.negated;
    case "conntrack":
      return conntrackMatches(match, packet);
    case "connmark":
      // connmark_mt: without an entry neither the match nor its negation holds.
      return (
        packet.tracking.kind === "entry" &&
        ((packet.tracking.mark & match.mask) >>> 0 === match.value) !== match.negated
      );
    case "u32":
      return match.tests.every((test) => u32Holds(test, headerBytes(packet))) !== match.negated;
    case "policy":
      return packet.ipsec === match.ipsec;
    case "hop-limit":
      return relationHolds(match.relation, packet.hopLimit, match.value) !== match.negated;
    case "limit":
      return context.withinLimit;
  }
}

function addressOf(packet: TracedPacket, side: "src" | "dst"): Uint8Array {
  return side === "src" ? packet.source : packet.destination;
}

/** A name that ends in `+` stands for every interface that begins so. */
function interfaceMatches(pattern: string, name: string): boolean {
  return pattern.endsWith("+") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

/** Negation never reaches a packet whose ports are not there (`par->fragoff`, xt_tcpudp.c and xt_multiport.c). */
function portsMatch(match: Match & { kind: "ports" }, packet: TracedPacket): boolean {
  const { sourcePort, destinationPort } = (match.payload ? packet.misread : null) ?? packet;
  if (sourcePort === null || destinationPort === null) return false;
  const within = (port: number): boolean =>
    match.ranges.some((range) => port >= range.from && port <= range.to);
  const hit =
    (match.side !== "dst" && within(sourcePort)) || (match.side !== "src" && within(destinationPort));
  return hit !== match.negated;
}

function tcpFlagsMatch(match: Match & { kind: "tcp-flags" }, packet: TracedPacket): boolean {
  const flags = packet.misread?.tcpFlags ?? packet.tcpFlags;
  return flags !== null && ((flags & match.mask) === match.set) !== match.negated;
}

/** icmp_match and icmp6_match: type 255 means every type in IPv4 and only itself in IPv6. */
function icmpMatches(match: Match & { kind: "icmp" }, packet: TracedPacket): boolean {
  const { icmpType, icmpCode } = packet;
  if (icmpType === null || icmpCode === null) return false;
  const any = match.family === 4 && match.type === 255;
  const hit = any || (icmpType === match.type && icmpCode >= match.codes.from && icmpCode <= match.codes.to);
  return hit !== match.negated;
}

/** conntrack_mt: the state is looked at first; without an entry nothing else is. */
function conntrackMatches(match: Match & { kind: "conntrack" }, packet: TracedPacket): boolean {
  const { tracking } = packet;
  if (match.states !== null) {
    const state = tracking.kind === "entry" ? tracking.state : tracking.kind.toUpperCase();
    if (match.states.names.has(state) === match.states.negated) return false;
  }
  if (tracking.kind !== "entry") return match.states !== null;
  if (match.direction !== null && tracking.direction !== match.direction) return false;
  if (match.originalDestination !== null) {
    const { block, negated } = match.originalDestination;
    if (blockContains(block, tracking.originalDestination) === negated) return false;
  }
  if (match.status !== null) {
    const { names, negated } = match.status;
    const any = [...tracking.status].some((name) => names.has(name));
    if ((names.has("NONE") ? tracking.status.size === 0 : any) === negated) return false;
  }
  if (match.originalDestinationPort !== null) {
    const { range, negated } = match.originalDestinationPort;
    const port = tracking.originalDestinationPort;
    if ((port >= range.from && port <= range.to) === negated) return false;
  }
  return true;
}

function relationHolds(relation: "eq" | "lt" | "gt", left: number, right: number): boolean {
  switch (relation) {
    case "eq":
      return left === right;
    case "lt":
      return left < right;
    case "gt":
      return left > right;
  }
}
