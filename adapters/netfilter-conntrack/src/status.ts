/**
 * Bits of an entry's status (enum ip_conntrack_status, linux/netfilter/nf_conntrack_common.h). Their bit numbers are
 * part of the kernel's interface and never change.
 */
export const status = {
  expected: 1 << 0,
  /** Packets went both ways. */
  seenReply: 1 << 1,
  /** Never evicted early when the table is full. */
  assured: 1 << 2,
  /** The first packet left the host or reached a socket: the entry is in the table. */
  confirmed: 1 << 3,
  sourceNat: 1 << 4,
  destinationNat: 1 << 5,
  sequenceAdjust: 1 << 6,
  sourceNatDone: 1 << 7,
  destinationNatDone: 1 << 8,
  dying: 1 << 9,
  fixedTimeout: 1 << 10,
  template: 1 << 11,
  untracked: 1 << 12,
  helper: 1 << 13,
  offload: 1 << 14,
  hardwareOffload: 1 << 15,
} as const;
