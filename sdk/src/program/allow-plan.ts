import type { PortRange, Rule, Service } from "../policy/model.js";

/** Packets of a stretch of ports (of ICMP types and codes: `type * 256 + code`) that a peer may send. */
export interface Claim {
  readonly from: number;
  readonly to: number;
  /** Name of a set; null: anyone. */
  readonly peer: string | null;
}

export interface ProtocolClaims {
  readonly protocol: number;
  /** Names of sets that may use the whole protocol, in order. */
  readonly whole: readonly string[];
  /** Anyone may. */
  readonly open: boolean;
  /** Of one peer: ascending, apart. Nobody claims what he may already. */
  readonly claims: readonly Claim[];
}

/** Who may what, where it does not matter which rule says so. */
export interface AllowPlan {
  /** Names of sets that may everything, in order. */
  readonly everything: readonly string[];
  /** Anyone may everything. */
  readonly open: boolean;
  /** TCP first, then UDP, then by number: what connections use most is asked first. */
  readonly protocols: readonly ProtocolClaims[];
}

export function planAllow(rules: readonly Rule[]): AllowPlan {
  const everything = new Set<string>();
  const protocols = new Map<number, { whole: Set<string>; ranges: Map<string, PortRange[]> }>();
  for (const rule of rules) {
    for (const service of rule.services ?? [null]) {
      if (service === null) {
        for (const name of rule.peers) everything.add(name);
        continue;
      }
      const claimed = protocols.get(service.protocol) ?? { whole: new Set(), ranges: new Map() };
      protocols.set(service.protocol, claimed);
      const ranges = rangesOf(service);
      for (const name of rule.peers) {
        if (ranges === null) claimed.whole.add(name);
        else claimed.ranges.set(name, [...(claimed.ranges.get(name) ?? []), ...ranges]);
      }
    }
  }
  const named = (names: ReadonlySet<string>, known: ReadonlySet<string>): readonly string[] =>
    [...names].filter((name) => name !== "any" && !known.has(name)).sort();
  return {
    everything: named(everything, new Set()),
    open: everything.has("any"),
    protocols: [...protocols].sort(byFrequency).map(([protocol, { whole, ranges }]) => ({
      protocol,
      whole: named(whole, everything),
      open: whole.has("any"),
      claims: [...ranges]
        .filter(([name]) => !everything.has(name) && !whole.has(name))
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .flatMap(([name, each]) =>
          joinRanges(each).map(({ from, to }) => ({ from, to, peer: name === "any" ? null : name })),
        ),
    })),
  };
}

/** null: the whole protocol. */
function rangesOf({ ports, icmpType, icmpCode }: Service): readonly PortRange[] | null {
  if (icmpType === null) return ports;
  const from = icmpType * 256;
  return [icmpCode === null ? { from, to: from + 255 } : { from: from + icmpCode, to: from + icmpCode }];
}

/** Ascending, apart; what touches becomes one. */
function joinRanges(ranges: readonly PortRange[]): readonly PortRange[] {
  const joined: PortRange[] = [];
  for (const range of [...ranges].sort((a, b) => a.from - b.from)) {
    const last = joined.at(-1);
    if (last === undefined || range.from > last.to + 1) joined.push(range);
    else if (range.to > last.to) joined[joined.length - 1] = { from: last.from, to: range.to };
  }
  return joined;
}

function byFrequency([a]: readonly [number, unknown], [b]: readonly [number, unknown]): number {
  return rank(a) - rank(b) || a - b;
}

function rank(protocol: number): number {
  if (protocol === 6) return 0;
  return protocol === 17 ? 1 : 2;
}

/** The peers of claims with the same ranges together: ranges by peer, told apart by their text. */
export interface ClaimGroup {
  readonly ranges: readonly PortRange[];
  /** In order. */
  readonly names: readonly string[];
  readonly open: boolean;
}

export function groupClaims(claims: readonly Claim[]): readonly ClaimGroup[] {
  const byPeer = new Map<string | null, PortRange[]>();
  for (const { peer, from, to } of claims) {
    const ranges = byPeer.get(peer);
    if (ranges === undefined) byPeer.set(peer, [{ from, to }]);
    else ranges.push({ from, to });
  }
  const groups = new Map<string, { ranges: readonly PortRange[]; names: string[]; open: boolean }>();
  for (const [peer, ranges] of byPeer) {
    const text = ranges.map(({ from, to }) => `${from}-${to}`).join();
    const group = groups.get(text) ?? { ranges, names: [], open: false };
    groups.set(text, group);
    if (peer === null) group.open = true;
    else group.names.push(peer);
  }
  return [...groups.values()];
}

/** Claims of single ports or of few at once, by somebody known: those that a set of pairs can answer. */
export function isNarrow(claim: Claim): boolean {
  return claim.peer !== null && claim.to - claim.from < 16;
}

/** Who claims which port, ports with the same names together. */
export function portsByNames(
  claims: readonly Claim[],
): readonly { readonly names: readonly string[]; readonly ports: readonly number[] }[] {
  const names = new Map<number, string[]>();
  for (const { peer, from, to } of claims) {
    if (peer === null) continue;
    for (let port = from; port <= to; port++) {
      const known = names.get(port);
      if (known === undefined) names.set(port, [peer]);
      else known.push(peer);
    }
  }
  const groups = new Map<string, { names: readonly string[]; ports: number[] }>();
  for (const [port, each] of [...names].sort(([a], [b]) => a - b)) {
    const text = JSON.stringify(each);
    const group = groups.get(text);
    if (group === undefined) groups.set(text, { names: each, ports: [port] });
    else group.ports.push(port);
  }
  return [...groups.values()];
}
