import type { PolicyDocument, RuleDocument } from "@antenna/sdk";
import type { Random } from "../unit/random.js";
import { inPorts, outPorts, peers } from "./probes.js";

type Sets = Readonly<Record<string, readonly string[]>>;

/** A policy whose sets can be changed one by one. */
export interface ProbedPolicy extends PolicyDocument {
  readonly sets: Sets;
  readonly rules: readonly RuleDocument[];
}

const names = ["a", "b", "c", "d"] as const;
const addresses: readonly string[] = [...peers[4], ...peers[6]];
const blocks = ["10.78.0.0/28", "10.78.0.12/31", "fd00:78::/124", "fd00:78::10/124", "0.0.0.0/0"];

const opposed: readonly RuleDocument[] = [
  { id: "some", direction: "in", action: "allow", peers: ["a"] },
  { id: "not-those", direction: "in", action: "override-deny", peers: ["b"] },
];

/** A policy over the probes' addresses and ports. */
export function randomPolicy(random: Random, modes: readonly PolicyDocument["mode"][]): ProbedPolicy {
  const sets = Object.fromEntries(names.map((name) => [name, randomMembers(random)]));
  const rules = Array.from({ length: random.between(1, 5) }, (_, index) => randomRule(random, index));
  // Most policies let some in and keep some of these out: then it matters in which order two sets change.
  if (random.chance(0.7)) rules.push(...opposed);
  return withMode(random, modes, { sets, rules });
}

/** A policy that differs from another as policies do from one day to the next. */
export function neighbour(
  random: Random,
  modes: readonly PolicyDocument["mode"][],
  policy: ProbedPolicy,
): ProbedPolicy {
  switch (random.below(6)) {
    case 0:
      return randomPolicy(random, modes);
    case 1: {
      const rules = [...policy.rules];
      rules[random.below(rules.length)] = randomRule(random, random.between(100, 10_000));
      return { ...policy, rules };
    }
    case 2:
      return withMode(random, modes, { sets: policy.sets, rules: policy.rules });
    default:
      return { ...policy, sets: changedMembers(random, policy.sets) };
  }
}

function withMode(
  random: Random,
  modes: readonly PolicyDocument["mode"][],
  rest: { readonly sets: Sets; readonly rules: readonly RuleDocument[] },
): ProbedPolicy {
  const mode = modes[random.below(modes.length)] ?? "full";
  const enforce = [{ protocol: "udp", ports: ["7000-7003"] }];
  return { mode, ...rest, ...(mode === "selective" ? { enforce } : {}) };
}

function randomMembers(random: Random): readonly string[] {
  const members = addresses.filter(() => random.chance(0.45));
  const block = blocks[random.below(blocks.length)];
  if (block !== undefined && random.chance(0.2)) members.push(block);
  return random.chance(0.3) ? [...members, ...crowd(random)] : members;
}

/** Members that no probe meets, so many that writing them takes its time: packets see the states in between. */
function crowd(random: Random): readonly string[] {
  const [network, count] = [random.below(250), random.between(500, 3000)];
  return Array.from({ length: count }, (_, index) => `11.${network}.${index >> 8}.${index & 255}`);
}

/** Without the crowd, or with one more. */
function crowded(random: Random, members: Iterable<string>): readonly string[] {
  const kept = [...members];
  return random.chance(0.5)
    ? [...kept, ...crowd(random)]
    : kept.filter((member) => addresses.includes(member) || member.includes("/"));
}

/** Some members come, go, or move to another set. */
function changedMembers(random: Random, sets: Sets): Sets {
  const changed = new Map(Object.entries(sets).map(([name, members]) => [name, new Set(members)]));
  for (let changes = random.between(1, 6); changes > 0; changes--) {
    const address = addresses[random.below(addresses.length)] ?? "";
    for (const members of changed.values()) {
      if (!random.chance(0.5)) continue;
      if (!members.delete(address)) members.add(address);
    }
  }
  return Object.fromEntries(
    [...changed].map(([name, members]) => [
      name,
      random.chance(0.3) ? crowded(random, members) : [...members],
    ]),
  );
}

function randomRule(random: Random, index: number): RuleDocument {
  const direction = random.chance(0.65) ? "in" : "out";
  const ports = direction === "in" ? inPorts : outPorts;
  const chosen = ports.filter(() => random.chance(0.5));
  const peer = random.chance(0.1) ? "any" : (names[random.below(names.length)] ?? "a");
  const second = names[random.below(names.length)] ?? "a";
  const roll = random.below(10);
  return {
    id: `rule-${index}`,
    direction,
    action: roll < 6 ? "allow" : roll < 8 ? "override-deny" : "deny",
    peers: random.chance(0.3) && peer !== "any" && peer !== second ? [peer, second] : [peer],
    ...(chosen.length === 0 ? {} : { services: [{ protocol: "udp", ports: chosen }] }),
  };
}
