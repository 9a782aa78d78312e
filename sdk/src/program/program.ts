import type { Essential } from "../evaluate/essential.js";
import type { AddressSet } from "../policy/address-set.js";
import type { Direction, PortRange } from "../policy/model.js";

/**
 * What an enforcement point must do, without a word about how: no iptables, no WFP.
 * `compile` makes it, an adapter renders it, `planSafe` compares two of them.
 */
export interface RuleProgram {
  /** Identity of everything but the members of sets: equal rules, equal digest (hex, SHA-256). */
  readonly rulesDigest: string;
  /** False in `visibility` and while settling: denials are told, never done. Cut and secure stages are told too. */
  readonly drops: boolean;
  readonly reject: boolean;
  /** Allowed packets: `return` leaves them to the owner's own rules, `accept` is final. */
  readonly onAllow: "return" | "accept";
  readonly essentials: readonly ProgramEssential[];
  /** Kernel-side sets by key; keys are stable from version to version. */
  readonly sets: ReadonlyMap<SetKey, ProgramSet>;
  readonly directions: Readonly<Record<Direction, DirectionProgram>>;
}

/**
 * An essential as a program carries it. With `set`, its peers are the members of that set and no part of `rulesDigest`:
 * match by the set. Without, `peers` are few, part of the rules, and listed one by one.
 *
 * A guard asks in the direction in which the flow was opened, and so does the exemption from it: a reply is exempt when
 * its mirror image (other direction, addresses and ports swapped) matches.
 */
export interface ProgramEssential extends Essential {
  readonly set?: SetKey;
}

/** Names a set by what it is for, never by what it holds. */
export type SetKey = string & { readonly __brand?: "SetKey" };

/** Addresses, matched against the peer. */
export interface PeerSet {
  readonly kind: "peers";
  readonly members: AddressSet;
}

/** Pairs of peer and destination service: every member of a part with every port of it. */
export interface PairSet {
  readonly kind: "pairs";
  /** Disjoint in (protocol, port). */
  readonly parts: readonly PairPart[];
}

export interface PairPart {
  readonly members: AddressSet;
  readonly protocol: number;
  /** Sorted single ports. */
  readonly ports: readonly number[];
}

export type ProgramSet = PeerSet | PairSet;

/** What a packet's service must be. Fields that are null do not narrow. */
export interface ServiceTest {
  readonly protocol: number;
  readonly ports: readonly PortRange[] | null;
  readonly icmpType: number | null;
  readonly icmpCode: number | null;
}

/** Every part that is not null must hold. `set` is matched by the peer, or by peer and service for pairs. */
export interface Match {
  readonly service: ServiceTest | null;
  readonly set: SetKey | null;
}

/** The first step whose match holds decides; a `tier` is exclusive: a miss inside is a miss of the whole. */
export interface Step {
  readonly match: Match;
  readonly then: Hit | { readonly kind: "tier"; readonly tier: Tier };
}

/** `rule` is null where no id is needed: merged allow rules and defaults. */
export interface Hit {
  readonly kind: "hit";
  readonly rule: string | null;
}

export interface Tier {
  readonly steps: readonly Step[];
}

/** One stage of the contract's order, steps 7 and 8; a miss goes on to the next stage, past the last: allowed. */
export interface StageProgram {
  readonly stage: "override-deny" | "allow" | "deny" | "default";
  readonly action: "allow" | "deny";
  readonly tier: Tier;
}

/**
 * Drops what a secure rule covers and IPsec does not protect. `original`: packets in the direction of the rule,
 * of flows opened that way or not tracked. `reply`: packets of the other direction that answer such a flow;
 * there the service's ports are source ports, ICMP requests stand for their answers (`answerType`), and the peer is the destination
 * or source as the direction of the chain says.
 */
export interface Guard {
  readonly of: "original" | "reply";
  readonly match: Match;
  readonly rule: string;
}

export interface DirectionProgram {
  readonly guards: readonly Guard[];
  /** In the order override-deny, allow, deny, default; stages that cannot hit are left out. */
  readonly stages: readonly StageProgram[];
}
