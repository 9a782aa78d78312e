/** One direction of an entry: the packets that belong to it. */
export interface EntryTuple {
  /** 4 or 16 bytes in network order, by the entry's family. */
  source: Uint8Array;
  destination: Uint8Array;
  /** 0 where the protocol has none. For ICMP see `icmpType`. */
  sourcePort: number;
  destinationPort: number;
  /** ICMP and ICMPv6 only; else 0. */
  icmpType: number;
  icmpCode: number;
  icmpId: number;
}

/**
 * One entry of connection tracking as the kernel told it.
 *
 * Parsers fill one record again and again: it is valid during the call it is handed to, its addresses too. Keep
 * `copyEntry(entry)` of what must last.
 */
export interface Entry {
  family: 4 | 6;
  /** IANA protocol number. */
  protocol: number;
  original: EntryTuple;
  reply: EntryTuple;
  /**
   * CTA_ID, which tells this entry from a later one of the same tuple. Not a counter; 0 where the kernel gave none.
   */
  id: number;
  /** The zone under which the original tuple is found; 0 is the default zone. */
  zone: number;
  /** Bits as in `status`. */
  status: number;
  /** The connection mark; the kernel leaves it out when it is 0. */
  mark: number;
  /** Seconds until the entry expires unless a packet refreshes it; null: not told (DESTROY events). */
  timeout: number | null;
  /** Bits and states as in `tcpState` and `tcpFlag`; null: no TCP, or not told. */
  tcp: EntryTcp | null;
  /** SCTP_CONNTRACK_*; null: no SCTP, or not told. */
  sctpState: number | null;
  /** null: not counted (nf_conntrack_acct is off), or not told. */
  counters: EntryCounters | null;
}

export interface EntryTcp {
  state: number;
  flagsOriginal: number;
  flagsReply: number;
  windowScaleOriginal: number;
  windowScaleReply: number;
}

/** Exact up to 2^53. */
export interface EntryCounters {
  packetsOriginal: number;
  bytesOriginal: number;
  packetsReply: number;
  bytesReply: number;
}

/** A copy that shares nothing with the record it was made from. */
export function copyEntry(entry: Entry): Entry {
  return {
    ...entry,
    original: copyTuple(entry.original),
    reply: copyTuple(entry.reply),
    tcp: entry.tcp === null ? null : { ...entry.tcp },
    counters: entry.counters === null ? null : { ...entry.counters },
  };
}

function copyTuple(tuple: EntryTuple): EntryTuple {
  return { ...tuple, source: tuple.source.slice(), destination: tuple.destination.slice() };
}
