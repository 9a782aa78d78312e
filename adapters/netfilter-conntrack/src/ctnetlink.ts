/**
 * Numbers of the kernel's ctnetlink interface.
 * Sources: linux/netfilter/nfnetlink.h, nfnetlink_conntrack.h, nf_conntrack_common.h.
 */
export const subsystem = 1;

export const message = { new: 0, get: 1, delete: 2 } as const;

/** Multicast groups (NFNLGRP_CONNTRACK_*). */
export const group = { new: 1, update: 2, destroy: 3 } as const;

/** CTA_* */
export const attribute = {
  tupleOriginal: 1,
  tupleReply: 2,
  status: 3,
  protocolInfo: 4,
  timeout: 7,
  mark: 8,
  countersOriginal: 9,
  countersReply: 10,
  id: 12,
  zone: 18,
  markMask: 21,
} as const;

/** CTA_TUPLE_* */
export const tupleAttribute = { address: 1, protocol: 2, zone: 3 } as const;

/** CTA_IP_* */
export const addressAttribute = { source4: 1, destination4: 2, source6: 3, destination6: 4 } as const;

/** CTA_PROTO_* */
export const protocolAttribute = {
  number: 1,
  sourcePort: 2,
  destinationPort: 3,
  icmpId: 4,
  icmpType: 5,
  icmpCode: 6,
  icmpv6Id: 7,
  icmpv6Type: 8,
  icmpv6Code: 9,
} as const;

/** CTA_PROTOINFO_* */
export const protocolInfoAttribute = { tcp: 1, sctp: 3 } as const;

/** CTA_PROTOINFO_TCP_* */
export const tcpAttribute = {
  state: 1,
  windowScaleOriginal: 2,
  windowScaleReply: 3,
  flagsOriginal: 4,
  flagsReply: 5,
} as const;

/** CTA_PROTOINFO_SCTP_* */
export const sctpAttribute = { state: 1, verificationTagOriginal: 2, verificationTagReply: 3 } as const;

/** CTA_COUNTERS_* */
export const counterAttribute = { packets: 1, bytes: 2 } as const;

/** AF_INET and AF_INET6 as nfgenmsg carries them. */
export const addressFamily = { any: 0, inet: 2, inet6: 10 } as const;

/** struct nfgenmsg: family, version, resource id. */
export const headerLength = 4;
