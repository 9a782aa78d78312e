/** Protocols by the names that iptables knows by itself (libxtables, xtables_chain_protos) or its man page uses. */
const numbers: ReadonlyMap<string, number> = new Map([
  ["icmp", 1],
  ["tcp", 6],
  ["udp", 17],
  ["dccp", 33],
  ["gre", 47],
  ["esp", 50],
  ["ah", 51],
  ["ipv6-icmp", 58],
  ["icmpv6", 58],
  ["sctp", 132],
  ["ipv6-mh", 135],
  ["mh", 135],
  ["udplite", 136],
]);

/** The names as iptables-save writes them, so that what is read back can be compared as text. */
const names: ReadonlyMap<number, string> = new Map(
  [...numbers].reverse().map(([name, number]) => [number, name] as const),
);

/** `tcp`, or the number as text. */
export function protocolNameOf(number: number): string {
  return names.get(number) ?? String(number);
}

/** A protocol's name or number; null: not known here. */
export function protocolNumberOf(name: string): number | null {
  if (/^\d{1,3}$/.test(name)) return Number(name);
  return numbers.get(name) ?? null;
}
