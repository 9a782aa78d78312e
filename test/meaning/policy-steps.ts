import { AddressSet, type Policy, type Rule, type Service } from "@antenna/sdk";
import { changedPolicy, randomPolicy, randomSet } from "../unit/arbitrary-policy.js";
import type { Random } from "../unit/random.js";

// Where a transition begins, and how it goes on: policies whose rules contradict each other about members that move.

/** Few sets under many rules, so that they are asked by the same packets for different reasons. */
export function startingShape(random: Random): Parameters<typeof randomPolicy>[1] {
  const modes = ["full", "full", "selective", "selective", "visibility", "idle"] as const;
  return {
    modes,
    maxSets: random.pick([2, 3, 4, 6]),
    maxRules: random.pick([6, 10, 14]),
    secure: random.pick([0, 0.15, 0.6]),
  };
}

/** Two services that some packet may be of, or none, in every way that two can lie to each other. */
export const contested: readonly (readonly [Service, Service])[] = [
  [service(6, [80, 80]), service(6, [80, 80])],
  [service(6, [80, 90]), service(6, [90, 100])],
  [service(6, [80, 100]), service(6, [85, 90])],
  [service(6, [80, 89]), service(6, [90, 100])],
  [service(6, [70, 70], [80, 80]), service(6, [80, 80], [90, 90])],
  [service(6, [70, 75], [80, 85]), service(6, [85, 90], [95, 99])],
  [service(6), service(6, [443, 443])],
  [service(17), service(17)],
  [service(17), service(6)],
  [service(17, [53, 53]), service(17, [54, 54])],
  [icmpService(1, 8), icmpService(1, 8)],
  [icmpService(1, null), icmpService(1, 8)],
  [icmpService(1, 8), icmpService(1, 13)],
  [icmpService(1, 8, 0), icmpService(1, 8)],
  [icmpService(58, 128), icmpService(58, 128)],
  [icmpService(1, null), icmpService(1, 13)],
  [icmpService(58, null), icmpService(58, 128)],
  [icmpService(58, null), icmpService(58, 1)],
  [icmpService(58, 128, 0), icmpService(58, 128, 0)],
];

function service(protocol: number, ...ranges: readonly (readonly [number, number])[]): Service {
  const ports = ranges.map(([from, to]) => ({ from, to }));
  return { protocol, ports: ports.length === 0 ? null : ports, icmpType: null, icmpCode: null };
}

function icmpService(protocol: number, icmpType: number | null, icmpCode: number | null = null): Service {
  return { protocol, ports: null, icmpType, icmpCode };
}

/** Two or three sets about which rules of different actions say different things for the same few services. */
export function contestedPolicy(random: Random): Policy {
  const names = random.chance(0.5) ? ["a", "b"] : ["b", "a", "c"];
  const [mine, theirs] = random.pick(contested);
  const services = random.chance(0.5) ? [mine, theirs] : [theirs, mine];
  const direction = random.pick(["in", "out"] as const);
  const rules = Array.from({ length: random.pick([2, 2, 2, 3, 4, 8]) }, (_, index): Rule => {
    // The first two contradict each other.
    const action =
      (["allow", "override-deny"] as const)[index] ??
      random.pick(["override-deny", "allow", "deny"] as const);
    const asked = services[index] ?? random.pick(random.chance(0.2) ? contested.flat() : services);
    return {
      id: `rule-${index}`,
      direction: index < 2 || random.chance(0.8) ? direction : random.pick(["in", "out"] as const),
      action,
      peers: [names[index] ?? random.pick(names)],
      services: random.chance(0.05) ? null : [asked],
      secure: action === "allow" && random.chance(0.05),
    };
  });
  // Blocks of both families from the start: a set of hosts alone would move for the first block that comes.
  const blocks = AddressSet.from(["10.9.0.0/30", "10.9.1.0/30", "fd09::/126"]);
  const sets = new Map([...names].sort().map((name) => [name, blocks.union(randomSet(random, 4))]));
  const shell = randomPolicy(random, { modes: ["full", "full", "selective"], maxRules: 0, maxSets: 0 });
  return { ...shell, rules, sets };
}

/** One block comes to some of the sets and leaves others; often all gain or all lose it at once. */
export function contestedStep(random: Random, policy: Policy): Policy {
  const [first = AddressSet.empty, ...others] = policy.sets.values();
  const shared = [...first.strings()].filter((text) =>
    others.some((set) => [...set.strings()].includes(text)),
  );
  const known = shared.length > 0 && random.chance(0.6);
  const block = known ? AddressSet.from([random.pick(shared)]) : someBlock(random, policy.sets);
  const all = random.pick(
    known ? (["leaves", "leaves", null] as const) : (["comes", "comes", null] as const),
  );
  const sets = [...policy.sets].map(([name, set]): [string, AddressSet] => {
    const change = all ?? random.pick(["comes", "leaves", "stays"] as const);
    if (change === "stays") return [name, set];
    const [comes, leaves] = change === "comes" ? [block, AddressSet.empty] : [AddressSet.empty, block];
    return [name, set.with(comes, leaves)];
  });
  return { ...policy, sets: new Map(sets) };
}

/** Another mode, other rules, or other members under the same rules: a few, or in every set. */
export function nextPolicy(random: Random, policy: Policy): Policy {
  if (random.chance(0.1)) return { ...policy, mode: policy.mode === "idle" ? "full" : "idle" };
  if (random.chance(0.1)) return randomPolicy(random);
  if (random.chance(0.35)) return changedPolicy(random, policy);
  const names = [...policy.sets.keys()];
  if (names.length === 0) return changedPolicy(random, policy);
  const sets = new Map(policy.sets);
  const touched = random.chance(0.3) ? names : random.picks(random.between(1, 4), names);
  // Sets change apart from each other, or the same address comes to some and leaves others at one moment.
  const together = random.chance(0.6);
  const common = someBlock(random, sets);
  for (const name of touched) {
    const own = sets.get(name) ?? AddressSet.empty;
    const comes = together ? common : someBlock(random, sets);
    const leaves = random.chance(0.5) ? oneOf(random, own) : AddressSet.empty;
    const change = random.pick(["comes", "comes", "leaves", "both"] as const);
    if (change === "comes") sets.set(name, own.with(comes, AddressSet.empty));
    else if (change === "leaves") sets.set(name, own.with(AddressSet.empty, together ? common : leaves));
    else sets.set(name, own.with(comes, leaves));
  }
  return { ...policy, sets };
}

/** A block that some set has, or any other. */
function someBlock(random: Random, sets: ReadonlyMap<string, AddressSet>): AddressSet {
  const set = sets.get(random.pick([...sets.keys()])) ?? AddressSet.empty;
  return random.chance(0.5) ? oneOf(random, set) : randomSet(random, 2);
}

/** A set of one of its blocks; empty: it has none. */
function oneOf(random: Random, set: AddressSet): AddressSet {
  const texts = [...set.strings()];
  return texts.length === 0 ? AddressSet.empty : AddressSet.from([random.pick(texts)]);
}
