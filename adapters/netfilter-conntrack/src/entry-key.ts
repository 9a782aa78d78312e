import type { EntryTuple } from "./entry.js";

/** A tuple as callers give it: ports where the protocol has them, type, code and id for ICMP. */
export type TupleInput = Pick<EntryTuple, "source" | "destination"> & Partial<EntryTuple>;

/** Names an entry: its tuple in either direction, and its zone. */
export interface EntryKey {
  readonly family: 4 | 6;
  /** IANA protocol number. */
  readonly protocol: number;
  readonly tuple: TupleInput;
  /** Default 0, the default zone. */
  readonly zone?: number;
}

/** Key of the entry by its original tuple; shares the addresses of the record. */
export function entryKey(entry: {
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly original: EntryTuple;
  readonly zone: number;
}): EntryKey {
  return { family: entry.family, protocol: entry.protocol, tuple: entry.original, zone: entry.zone };
}
