import type { AddressSet } from "./address-set.js";

export type { Address, Family } from "./family.js";
export type Direction = "in" | "out";

/** What enforcement does: `idle` programs nothing, `visibility` decides as `full` and drops nothing. */
export type EnforcementMode = "idle" | "visibility" | "selective" | "full";
export const enforcementModes: readonly EnforcementMode[] = ["idle", "visibility", "selective", "full"];

export type VisibilityLevel = "off" | "blocked" | "blocked+allowed" | "enhanced";
export const visibilityLevels: readonly VisibilityLevel[] = ["off", "blocked", "blocked+allowed", "enhanced"];

export type RuleAction = "override-deny" | "allow" | "deny";
export const ruleActions: readonly RuleAction[] = ["override-deny", "allow", "deny"];

/** Inclusive range of destination ports, 1–65535. */
export interface PortRange {
  readonly from: number;
  readonly to: number;
}

/** One service: a protocol by its IANA number, narrowed by destination ports or by ICMP type and code. */
export interface Service {
  /** 1–255. */
  readonly protocol: number;
  /** Sorted, disjoint, non-adjacent; null: every port, or a protocol without ports. */
  readonly ports: readonly PortRange[] | null;
  /** ICMP and ICMPv6 only; null: every type. */
  readonly icmpType: number | null;
  /** Only with a type; null: every code. */
  readonly icmpCode: number | null;
}

export interface Rule {
  /** Unique within the policy; 1–128 bytes, printable. */
  readonly id: string;
  readonly direction: Direction;
  readonly action: RuleAction;
  /** Names of sets, sorted, unique; `["any"]` alone when `any` is among them. */
  readonly peers: readonly string[];
  /** null: every protocol and port. */
  readonly services: readonly Service[] | null;
  /** True on `allow` rules only: what it covers passes inside IPsec or not at all. */
  readonly secure: boolean;
}

/** Written `epoch.sequence`; both 1 to 2^53−1; ordered by epoch, then by sequence. */
export interface Version {
  readonly epoch: number;
  readonly sequence: number;
}

/** A policy in normal form (contract, section 1). Immutable; parts that did not change are shared between versions. */
export interface Policy {
  /** null: the document gave none, the agent counts on. */
  readonly version: Version | null;
  readonly mode: EnforcementMode;
  readonly visibility: VisibilityLevel;
  /** True: denials by rule or default are answered instead of dropped in silence. */
  readonly reject: boolean;
  /** By name, in the order of names. */
  readonly sets: ReadonlyMap<string, AddressSet>;
  /** In the order of the document: the first rule of a tier that matches gives its id to the verdict. */
  readonly rules: readonly Rule[];
  /** Selective mode: inbound services that are denied by default. */
  readonly enforce: readonly Service[];
  /** IKE identities by address text, in the order of addresses. */
  readonly identities: ReadonlyMap<string, string>;
}

/** Protocols with ports: tcp, udp, dccp, sctp, udplite (IANA numbers). */
export const portProtocols: ReadonlySet<number> = new Set([6, 17, 33, 132, 136]);
export const icmp = 1;
export const icmpv6 = 58;
