import type { Family, ProgramSet } from "@antenna/sdk";

/** What a kernel set is, once and for all. */
export interface SetType {
  readonly family: Family;
  readonly kind: ProgramSet["kind"];
  /** `hosts`: only whole addresses fit; `blocks`: prefixes too. */
  readonly shape: "hosts" | "blocks";
}

/** ipset's name of the type, see ipset(8). */
export function typeName({ kind, shape }: SetType): string {
  const address = shape === "hosts" ? "hash:ip" : "hash:net";
  return kind === "pairs" ? `${address},port` : address;
}

/**
 * The newest revision of a type whose listing is understood here (and by ipset 7.17): newer ones of the kernel are not
 * asked for.
 */
export function newestRevision({ kind, shape }: SetType): number {
  if (kind === "pairs") return shape === "hosts" ? 7 : 8;
  return shape === "hosts" ? 6 : 7;
}

/** Protocols whose ports a set holds (ip_set_getport.h, ip_set_proto_with_ports): tcp, udp, sctp, udplite. */
export function knowsPorts(protocol: number): boolean {
  return protocol === 6 || protocol === 17 || protocol === 132 || protocol === 136;
}

/** The smallest hash that the kernel makes, and what its buckets hold (ip_set_hash_gen.h, AHASH_MAX_SIZE). */
const smallestHash = 64;
const largestHash = 2 ** 24;

/**
 * Buckets for so many members, so that the table does not have to grow while it is filled: the first bucket that needs
 * more than 12 makes the kernel rehash everything at once (40 ms at 500,000 members). At two members a bucket on
 * average, that happens to one set in a hundred; at four, to every large one.
 */
export function hashSize(members: number): number {
  let size = smallestHash;
  while (size * 2 < members && size < largestHash) size *= 2;
  return size;
}
