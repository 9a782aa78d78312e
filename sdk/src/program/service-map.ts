import { icmp, icmpv6, type Service } from "../policy/model.js";

/** Somebody (a set, a rule: a number) wants packets of a service; null: every packet. */
export interface Claim {
  readonly service: Service | null;
  readonly claimant: number;
}

/** A claimant inside a cell; `code` narrows it further, in cells of ICMP types. */
export interface Entry {
  readonly claimant: number;
  readonly code: number | null;
}

/** A stretch of ports, or a stretch of ICMP types, over which the same claimants hold. */
export interface Cell {
  readonly from: number;
  readonly to: number;
  /** Ascending by claimant, then by code; without those that claim the whole protocol. */
  readonly entries: readonly Entry[];
  /** Equal entries, equal text. */
  readonly signature: string;
}

export interface ProtocolMap {
  /** Who claims every packet of the protocol, ascending. */
  readonly whole: readonly number[];
  /** Ascending, disjoint. */
  readonly cells: readonly Cell[];
}

/** Who wants what, with the services cut into disjoint cells. */
export interface ServiceMap {
  /** Who claims everything, ascending. */
  readonly everything: readonly number[];
  readonly protocols: ReadonlyMap<number, ProtocolMap>;
}

/**
 * Cuts the claimed services into disjoint cells. null: that would take more than `limit` entries, as thousands of ranges
 * that overlap in thousands of ways do.
 */
export function mapServices(claims: readonly Claim[], limit: number): ServiceMap | null {
  const everything = new Set<number>();
  const byProtocol = new Map<number, ProtocolClaims>();
  for (const { service, claimant } of claims) {
    if (service === null) {
      everything.add(claimant);
      continue;
    }
    const claimed = byProtocol.get(service.protocol) ?? { whole: new Set(), edges: [] };
    byProtocol.set(service.protocol, claimed);
    claim(claimed, service, claimant);
  }
  const protocols = new Map<number, ProtocolMap>();
  let left = limit;
  for (const protocol of [...byProtocol.keys()].sort(byFrequency)) {
    const { whole, edges } = byProtocol.get(protocol) as ProtocolClaims;
    const cells = sweep(edges, left);
    if (cells === null) return null;
    left -= cells.reduce((sum, cell) => sum + cell.entries.length, 0);
    protocols.set(protocol, { whole: ascending(whole), cells });
  }
  return { everything: ascending(everything), protocols };
}

export function isIcmp(protocol: number): boolean {
  return protocol === icmp || protocol === icmpv6;
}

interface ProtocolClaims {
  readonly whole: Set<number>;
  readonly edges: Edge[];
}

/** Where an entry begins (+1) or ends (-1) to hold. */
interface Edge {
  readonly at: number;
  readonly step: 1 | -1;
  readonly entry: number;
}

/** An entry as one number, so that it can be counted: ascending by claimant, then code, none last. */
const noCode = 256;
const codes = 257;

function claim(claimed: ProtocolClaims, service: Service, claimant: number): void {
  const code = service.icmpCode ?? noCode;
  const ranges =
    service.ports ?? (service.icmpType === null ? null : [{ from: service.icmpType, to: service.icmpType }]);
  if (ranges === null) {
    claimed.whole.add(claimant);
    return;
  }
  for (const { from, to } of ranges) {
    const entry = claimant * codes + code;
    claimed.edges.push({ at: from, step: 1, entry }, { at: to + 1, step: -1, entry });
  }
}

function sweep(edges: readonly Edge[], limit: number): readonly Cell[] | null {
  const sorted = [...edges].sort((a, b) => a.at - b.at);
  const holding = new Map<number, number>();
  const cells: Cell[] = [];
  let entries = 0;
  for (let next = 0; next < sorted.length; ) {
    const from = (sorted[next] as Edge).at;
    for (; next < sorted.length && sorted[next]?.at === from; next++) {
      const { entry, step } = sorted[next] as Edge;
      const count = (holding.get(entry) ?? 0) + step;
      if (count === 0) holding.delete(entry);
      else holding.set(entry, count);
    }
    if (holding.size === 0) continue;
    entries += holding.size;
    if (entries > limit) return null;
    const to = (sorted[next] as Edge).at - 1;
    const keys = [...holding.keys()].sort((a, b) => a - b);
    const signature = keys.join();
    const last = cells.at(-1);
    if (last !== undefined && last.to === from - 1 && last.signature === signature) {
      cells[cells.length - 1] = { ...last, to };
    } else {
      cells.push({ from, to, signature, entries: keys.map(entryOf) });
    }
  }
  return cells;
}

function entryOf(key: number): Entry {
  const code = key % codes;
  return { claimant: (key - code) / codes, code: code === noCode ? null : code };
}

function ascending(numbers: ReadonlySet<number>): readonly number[] {
  return [...numbers].sort((a, b) => a - b);
}

/** TCP, then UDP, then by number: what connections use most is asked first. */
function byFrequency(a: number, b: number): number {
  return rank(a) - rank(b) || a - b;
}

function rank(protocol: number): number {
  if (protocol === 6) return 0;
  return protocol === 17 ? 1 : 2;
}
