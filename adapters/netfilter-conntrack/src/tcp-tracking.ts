/**
 * TCP states of connection tracking (enum tcp_conntrack, linux/netfilter/nf_conntrack_tcp.h). They describe what was
 * seen on the wire and are not the states of a socket.
 */
export const tcpState = {
  none: 0,
  synSent: 1,
  synReceived: 2,
  established: 3,
  finWait: 4,
  closeWait: 5,
  lastAck: 6,
  timeWait: 7,
  close: 8,
  /** Both sides sent SYN. */
  synSent2: 9,
} as const;

/** Bits of CTA_PROTOINFO_TCP_FLAGS_ORIGINAL and _REPLY (IP_CT_TCP_FLAG_*). */
export const tcpFlag = {
  windowScale: 0x01,
  selectiveAck: 0x02,
  closeInit: 0x04,
  /** Packets outside the tracked window are not INVALID. */
  liberal: 0x08,
} as const;

/**
 * True when tracking began in the middle of the connection: the kernel then assumes selective acknowledgements and
 * tracks the window liberally for both sides, and it never learns a window scale (net/netfilter/
 * nf_conntrack_proto_tcp.c, tcp_new). An entry made by `create` with `liberalTracking` looks the same.
 */
export function pickedUp(flagsOriginal: number, flagsReply: number): boolean {
  const both = flagsOriginal & flagsReply;
  const assumed = tcpFlag.selectiveAck | tcpFlag.liberal;
  return (both & assumed) === assumed && ((flagsOriginal | flagsReply) & tcpFlag.windowScale) === 0;
}

/** Flags and mask for both directions of an entry whose window scales are not known. */
export const liberalTracking = {
  flagsOriginal: tcpFlag.selectiveAck | tcpFlag.liberal,
  flagsReply: tcpFlag.selectiveAck | tcpFlag.liberal,
} as const;
