import type { Address, Direction, Family } from "../policy/model.js";

/** Connection tracking's word for the packet (ip_conntrack_info and nf_ct_is_untracked). */
export type ConnectionState = "new" | "established" | "related" | "untracked" | "invalid";

/** What `evaluate` is asked about: one packet as INPUT or OUTPUT of its own namespace sees it. */
export interface Packet {
  readonly direction: Direction;
  /** It arrives on or leaves by the loopback interface. */
  readonly loopback: boolean;
  readonly family: Family;
  /** IANA number of the upper-layer protocol, IPv6 extension headers skipped. */
  readonly protocol: number;
  readonly source: Address;
  readonly destination: Address;
  /** null: the protocol has none, or the packet is a later fragment that does not carry them. */
  readonly sourcePort: number | null;
  readonly destinationPort: number | null;
  /** ICMP in IPv4 and ICMPv6 in IPv6 only, and not in a later fragment; else null. */
  readonly icmpType: number | null;
  readonly icmpCode: number | null;
  /** IPv4 TTL or IPv6 hop limit. */
  readonly hopLimit: number;
  readonly state: ConnectionState;
  /** It travels against the direction in which its flow was opened; false where nothing is tracked. */
  readonly reply: boolean;
  /** TCP with RST set and SYN and FIN clear: what the agent's own refusal looks like. */
  readonly reset: boolean;
  /** Its flow carries the cut mark. */
  readonly cut: boolean;
  /** It arrived inside, or will leave inside, an IPsec security association. */
  readonly protected: boolean;
  /** Destination before the host's own DNAT, of the flow's first packet; null: nothing tracked. */
  readonly originalDestination: Address | null;
  readonly originalPort: number | null;
}

export type Verdict = "allowed" | "blocked" | "potentially-blocked";

/** The step of the contract's order that decided. */
export type Stage =
  | "loopback"
  | "cut"
  | "secure"
  | "established"
  | "related"
  | "essential"
  | "override-deny"
  | "allow"
  | "deny"
  | "default";

export interface Decision {
  readonly verdict: Verdict;
  readonly stage: Stage;
  /** The first rule, in the order of the policy, that decided; null for stages without rules. */
  readonly rule: string | null;
  /** What happens to a denied packet: `reject` answers, `drop` is silent; null when it is not denied. */
  readonly refusal: "drop" | "reject" | null;
}
