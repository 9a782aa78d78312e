import type { Claim } from "./allow-plan.js";

/**
 * A stretch of ports. A claim stands as high as it covers a whole stretch, so that it stands in few places, however many
 * ports it spans; on the way down to a port, every claim to it is met once.
 */
export interface PortTree {
  readonly from: number;
  readonly to: number;
  /** Who claims all of the stretch: names of sets, in order. */
  readonly names: readonly string[];
  /** Anyone may. */
  readonly open: boolean;
  /** Parts of the stretch, ascending, apart; empty below the last branching. */
  readonly branches: readonly PortTree[];
  /** Few enough to be asked one after another. */
  readonly leaves: readonly Claim[];
}

/**
 * @param leastFanOut Branches or leaves of one stretch, at most; more where the tree would otherwise be too high.
 * @param levels How many stretches may lie in one another, the whole one not counted.
 */
export function growPortTree(claims: readonly Claim[], leastFanOut: number, levels: number): PortTree | null {
  if (claims.length === 0) return null;
  const edges = new Set<number>();
  for (const { from, to } of claims) edges.add(from).add(to + 1);
  const starts = [...edges].sort((a, b) => a - b);
  const fanOut = fanOutFor(starts.length - 1, leastFanOut, levels);
  return grow(claims, starts, 0, starts.length - 1, fanOut);
}

/** The least fan-out at which `cells` are told apart by `levels` levels below the first. */
export function fanOutFor(cells: number, leastFanOut: number, levels: number): number {
  return Math.max(leastFanOut, Math.ceil(cells ** (1 / (levels + 1)) - 1e-9));
}

/** The stretch from `starts[first]` to the port before `starts[last]`; every claim meets it. */
function grow(
  claims: readonly Claim[],
  starts: readonly number[],
  first: number,
  last: number,
  fanOut: number,
): PortTree {
  const [from, to] = [starts[first] as number, (starts[last] as number) - 1];
  const covering = new Set<string | null>();
  for (const claim of claims) if (claim.from <= from && claim.to >= to) covering.add(claim.peer);
  const open = covering.delete(null);
  const names = [...covering].filter((name) => name !== null).sort();
  const stretch = { from, to, names, open };
  const rest = open ? [] : names.length === 0 ? claims : claims.filter((claim) => !covering.has(claim.peer));
  if (rest.length <= fanOut) return { ...stretch, branches: [], leaves: rest };

  const branches: PortTree[] = [];
  const cells = last - first;
  for (let part = 0; part < fanOut; part++) {
    const low = first + Math.floor((cells * part) / fanOut);
    const high = first + Math.floor((cells * (part + 1)) / fanOut);
    if (low === high) continue;
    const [start, end] = [starts[low] as number, starts[high] as number];
    const inside = rest.filter((claim) => claim.from < end && claim.to >= start);
    if (inside.length > 0) branches.push(grow(inside, starts, low, high, fanOut));
  }
  return { ...stretch, branches, leaves: [] };
}
