/**
 * One packet as a netfilter hook sees it: headers, and what the kernel knows beside them. Deliberately not the
 * `Packet` of the SDK: the tracer shares nothing with what it checks.
 */
export interface TracedPacket {
  readonly hook: "INPUT" | "OUTPUT";
  readonly family: 4 | 6;
  /** Empty on OUTPUT. */
  readonly inInterface: string;
  /** Empty on INPUT. */
  readonly outInterface: string;
  /** Network order, 4 or 16 bytes. */
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /**
   * The last header's number: extension headers of IPv6 are skipped as `ipv6_find_hdr` skips them. An authentication
   * header is one of them for iptables-legacy, and the last header for iptables-nft (nft_set_pktinfo_ipv6).
   */
  readonly protocol: number;
  /** IPv6: an authentication header is among its headers. */
  readonly authentication: boolean;
  /** What lies behind an authentication header at which iptables-nft stops; ip_set looks there. Else null. */
  readonly behind: Transport | null;
  /** A fragment with an offset: what follows the network header is no transport header. */
  readonly laterFragment: boolean;
  /**
   * Of a later fragment: what stands where ports and TCP flags would. The ports and flags that iptables-nft writes as
   * payload expressions are read there all the same (nft_payload_fast_eval asks for no offset; seen on 6.18), those of
   * xtables never. null: no later fragment, or iptables-legacy.
   */
  readonly misread: Misread | null;
  /** null: the transport header has none, or is not in this packet. */
  readonly sourcePort: number | null;
  readonly destinationPort: number | null;
  readonly icmpType: number | null;
  readonly icmpCode: number | null;
  /** FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32; null: no TCP header. */
  readonly tcpFlags: number | null;
  /** TTL or hop limit. */
  readonly hopLimit: number;
  readonly tracking: Tracking;
  /** Decapsulated from, or about to be wrapped into, an IPsec security association. */
  readonly ipsec: boolean;
}

interface Transport {
  readonly protocol: number;
  readonly sourcePort: number | null;
  readonly destinationPort: number | null;
  readonly icmpType: number | null;
  readonly icmpCode: number | null;
}

export interface Misread {
  readonly sourcePort: number;
  readonly destinationPort: number;
  readonly tcpFlags: number;
}

/** `skb->_nfct`: an entry and the packet's place in it, or one of the two states without an entry. */
export type Tracking =
  | { readonly kind: "untracked" }
  | { readonly kind: "invalid" }
  | {
      readonly kind: "entry";
      readonly state: "NEW" | "ESTABLISHED" | "RELATED";
      readonly direction: "ORIGINAL" | "REPLY";
      readonly mark: number;
      /** IPS_* of linux/netfilter/nf_conntrack_common.h by the names that `--ctstatus` knows. */
      readonly status: ReadonlySet<string>;
      readonly originalDestination: Uint8Array;
      /** The destination port of the original tuple; for ICMP what the kernel keeps in its place. */
      readonly originalDestinationPort: number;
    };

export const tcpFlagBits: Readonly<Record<string, number>> = {
  FIN: 1,
  SYN: 2,
  RST: 4,
  PSH: 8,
  ACK: 16,
  URG: 32,
};
