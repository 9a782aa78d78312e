/**
 * Protocol names that a policy may use, by IANA's registry ("Assigned Internet Protocol Numbers"), in lower case. A number
 * has at most one name here, so that writing and reading agree; any other protocol goes by its number.
 */
const numbers: ReadonlyMap<string, number> = new Map([
  ["icmp", 1],
  ["igmp", 2],
  ["ipencap", 4],
  ["tcp", 6],
  ["udp", 17],
  ["dccp", 33],
  ["ipv6", 41],
  ["rsvp", 46],
  ["gre", 47],
  ["esp", 50],
  ["ah", 51],
  ["icmpv6", 58],
  ["eigrp", 88],
  ["ospf", 89],
  ["etherip", 97],
  ["pim", 103],
  ["ipcomp", 108],
  ["vrrp", 112],
  ["l2tp", 115],
  ["isis", 124],
  ["sctp", 132],
  ["udplite", 136],
]);

const names: ReadonlyMap<number, string> = new Map(Array.from(numbers, ([name, number]) => [number, name]));

/** 1–255, or null for a name that is not known (names are in lower case). */
export function protocolNumber(name: string): number | null {
  return numbers.get(name) ?? null;
}

/** The name of a protocol; its number, in decimal, when it has none here. */
export function protocolName(protocol: number): string {
  return names.get(protocol) ?? String(protocol);
}
