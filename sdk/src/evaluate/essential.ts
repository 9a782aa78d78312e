import type { AddressSet } from "../policy/address-set.js";
import type { Direction, Family, PortRange } from "../policy/model.js";

/**
 * One thing that always passes (contract, "Essentials"), resolved: names are already addresses.
 * A packet matches when every field that is not null matches.
 */
export interface Essential {
  /** For people: `dns`, `ntp`, `dhcpv4`, `controller`, `operator`… */
  readonly name: string;
  readonly direction: Direction;
  /** null: both. */
  readonly family: Family | null;
  /** null: every protocol. */
  readonly protocol: number | null;
  /** The other side: source for `in`, destination for `out`; null: anyone, multicast and broadcast included. */
  readonly peers: AddressSet | null;
  readonly sourcePorts: PortRange | null;
  readonly destinationPorts: readonly PortRange[] | null;
  /** Inclusive ranges of ICMP or ICMPv6 types. */
  readonly icmpTypes: readonly PortRange[] | null;
  /** 255 for neighbour discovery (RFC 4861, 7.1): a packet that crossed a router is no discovery. */
  readonly hopLimit: number | null;
  /** True: peers and ports may also match the destination before the host's own DNAT. */
  readonly originalDestination: boolean;
}
