import type {
  Address,
  Direction,
  Essential,
  Family,
  Packet,
  Policy,
  PortRange,
  Rule,
  Service,
} from "@antenna/sdk";
import { AddressSet } from "@antenna/sdk/internal/policy/address-set.js";
import type { Random } from "./random.js";

/** What a random policy is made of; every field has a default that makes small policies with many overlaps. */
export interface PolicyShape {
  readonly modes?: readonly Policy["mode"][];
  readonly maxSets?: number;
  readonly maxMembers?: number;
  readonly maxRules?: number;
  /** How likely a rule is secure, if it allows. */
  readonly secure?: number;
}

const setNames = ["app", "db", "dev", "edge", "mail", "office", "prod", "web", "-F", "a b", "anyone", "ünï"];
const prefixes4 = [32, 32, 32, 32, 31, 30, 28, 24, 16, 8, 1, 0];
const prefixes6 = [128, 128, 128, 128, 127, 124, 112, 64, 48, 8, 1, 0];
const portPoints = [
  1, 22, 53, 67, 68, 80, 81, 83, 85, 123, 443, 445, 500, 546, 547, 4500, 8000, 8005, 8010, 32768, 65534,
  65535,
];
const withPorts = [6, 6, 6, 17, 17, 33, 132, 136];
const types4 = [0, 3, 5, 8, 11, 12, 13, 14, 15, 16, 17, 18, 42];
const types6 = [1, 2, 3, 4, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 143, 160];

/** A policy in normal form, with shared and overlapping sets, repeated ports, shadowed rules. */
export function randomPolicy(random: Random, shape: PolicyShape = {}): Policy {
  const { modes = ["full", "full", "selective", "visibility", "idle"], maxSets = 6, maxRules = 12 } = shape;
  const names = setNames.slice(0, random.between(0, Math.min(maxSets, setNames.length)));
  for (let extra = setNames.length; extra < maxSets; extra++) names.push(`set-${extra}`);
  const sets = new Map(names.sort().map((name) => [name, randomSet(random, shape.maxMembers ?? 8)]));
  const count = random.between(0, maxRules);
  return {
    version: null,
    mode: random.pick(modes),
    visibility: "blocked+allowed",
    reject: random.chance(0.5),
    sets,
    rules: Array.from({ length: count }, (_, index) => randomRule(random, `rule-${index}`, names, shape)),
    enforce: Array.from({ length: random.below(4) }, () => randomService(random)),
    identities: new Map(),
  };
}

export function randomSet(random: Random, maxMembers = 8): AddressSet {
  const builder = AddressSet.builder();
  for (let count = random.between(0, maxMembers); count > 0; count--) {
    const [address, prefix] = randomBlock(random);
    builder.addAddress(address, prefix);
  }
  return builder.build();
}

/** Addresses from a small universe, so that blocks nest and meet. */
function randomBlock(random: Random): [Address, number] {
  const family: Family = random.chance(0.6) ? 4 : 6;
  const address = randomAddress(random, family);
  const prefix = random.pick(family === 4 ? prefixes4 : prefixes6);
  for (let bit = prefix; bit < address.length * 8; bit++) {
    const byte = bit >> 3;
    address[byte] = (address[byte] as number) & ~(0x80 >> (bit & 7));
  }
  return [address, prefix];
}

function randomAddress(random: Random, family: Family): Address {
  const [third, last] = [
    random.pick([0, 1, 127, 128, 255]),
    random.pick([0, 1, 2, 3, 4, 7, 15, 16, 127, 254, 255]),
  ];
  if (family === 4)
    return Uint8Array.of(random.pick([10, 10, 10, 11, 192]), random.pick([0, 0, 1]), third, last);
  const address = new Uint8Array(16);
  address.set([random.pick([0xfd, 0xfd, 0xfd, 0xfe, 0x20]), random.pick([0, 0, 1])]);
  address.set([random.pick([0, 0, 1])], 7);
  address.set([third, last], 14);
  return address;
}

function randomRule(random: Random, id: string, names: readonly string[], shape: PolicyShape = {}): Rule {
  const action = random.pick(["override-deny", "allow", "allow", "allow", "deny"] as const);
  const some =
    names.length === 0 || random.chance(0.15) ? ["any"] : random.picks(random.between(1, 3), names);
  return {
    id,
    direction: random.pick(["in", "out"] as const),
    action,
    peers: [...new Set(some)].sort(),
    services: random.chance(0.2)
      ? null
      : Array.from({ length: random.between(1, 3) }, () => randomService(random)),
    secure: action === "allow" && random.chance(shape.secure ?? 0.15),
  };
}

function randomService(random: Random): Service {
  const plain = { ports: null, icmpType: null, icmpCode: null };
  if (random.chance(0.15)) {
    const protocol = random.pick([1, 58]);
    const icmpType = random.chance(0.2) ? null : random.pick(protocol === 1 ? types4 : types6);
    const icmpCode = icmpType === null || random.chance(0.6) ? null : random.below(3);
    return { protocol, ports: null, icmpType, icmpCode };
  }
  if (random.chance(0.1)) return { ...plain, protocol: random.pick([47, 50, 51, 2]) };
  const protocol = random.pick(withPorts);
  if (random.chance(0.15)) return { ...plain, protocol };
  return { ...plain, protocol, ports: randomPorts(random) };
}

/** Sorted, disjoint, non-adjacent. */
export function randomPorts(random: Random): readonly PortRange[] {
  const ranges = Array.from({ length: random.between(1, random.chance(0.1) ? 20 : 3) }, () => {
    const from = random.chance(0.8) ? random.pick(portPoints) : random.between(1, 65535);
    const width = random.pick([0, 0, 0, 1, 9, 300, 40_000]);
    return { from, to: Math.min(65535, from + width) };
  }).sort((a, b) => a.from - b.from);
  const merged: PortRange[] = [];
  for (const range of ranges) {
    const last = merged.at(-1);
    if (last === undefined || range.from > last.to + 1) merged.push(range);
    else if (range.to > last.to) merged[merged.length - 1] = { from: last.from, to: range.to };
  }
  return merged;
}

/** A packet that a kernel could show, aimed at the edges of the policy's rules and essentials most of the time. */
export function randomPacket(random: Random, policy: Policy, essentials: readonly Essential[] = []): Packet {
  const flow = aim(random, policy, essentials);
  const state = random.pick([
    "new",
    "new",
    "new",
    "established",
    "established",
    "related",
    "related",
    "untracked",
    "invalid",
  ] as const);
  const tracked = state !== "untracked" && state !== "invalid";
  const reply = (state === "established" || state === "related") && random.chance(0.5);
  const opened: Packet = {
    ...flow,
    loopback: random.chance(0.02),
    hopLimit: random.pick([255, 255, 64, 1, 254]),
    state,
    reply,
    reset: false,
    cut: tracked && random.chance(0.1),
    protected: random.chance(0.3),
    originalDestination: tracked ? flow.originalDestination : null,
    originalPort: tracked ? flow.originalPort : null,
  };
  const packet = reply ? answerTo(opened) : opened;
  if (packet.protocol === 6 && random.chance(0.15)) return { ...packet, reset: true };
  if (!random.chance(0.04)) return packet;
  return { ...packet, sourcePort: null, destinationPort: null, icmpType: null, icmpCode: null };
}

type Flow = Omit<Packet, "loopback" | "hopLimit" | "state" | "reply" | "reset" | "cut" | "protected">;

/** The first packet of a flow near something that the policy speaks of. */
function aim(random: Random, policy: Policy, essentials: readonly Essential[]): Flow {
  const essential = essentials.length > 0 && random.chance(0.15) ? random.pick(essentials) : null;
  const rule = policy.rules.length > 0 && random.chance(0.8) ? random.pick(policy.rules) : null;
  const direction: Direction = essential?.direction ?? rule?.direction ?? random.pick(["in", "out"] as const);
  const family: Family = essential?.family ?? (random.chance(0.6) ? 4 : 6);
  const peers = essential?.peers ?? namedSet(random, policy, rule);
  const peer = nearMember(random, peers, family);
  const local =
    family === 4
      ? Uint8Array.of(172, 16, 0, 9)
      : Uint8Array.of(0xfd, 0x99, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9);
  const point =
    essential === null ? nearService(random, policy, rule, family) : atEssential(random, essential, family);
  const destination = direction === "in" ? local : peer;
  const translated = random.chance(0.1);
  return {
    direction,
    family,
    source: direction === "in" ? peer : local,
    destination,
    ...point,
    originalDestination: translated ? nearMember(random, peers, family) : destination,
    originalPort:
      translated && point.destinationPort !== null ? random.pick(portPoints) : point.destinationPort,
  };
}

function namedSet(random: Random, policy: Policy, rule: Rule | null): AddressSet | null {
  const names = rule !== null && random.chance(0.8) ? rule.peers : [...policy.sets.keys()];
  return names.length === 0 ? null : (policy.sets.get(random.pick(names)) ?? null);
}

/** The first or last address of a member, one before or after it, or any address of the universe. */
export function nearMember(random: Random, set: AddressSet | null, family: Family): Address {
  const count = set === null ? 0 : family === 4 ? set.size4 : set.size6;
  if (set === null || count === 0 || random.chance(0.15)) return randomAddress(random, family);
  const index = random.below(count);
  const prefix = set.blocks(family).prefix[index] as number;
  const address = set.addressAt(family, index);
  if (random.chance(0.5)) fillHostBits(address, prefix);
  const step = random.pick([0, 0, 0, 0, 1, -1] as const);
  return step === 0 ? address : neighbour(address, step);
}

function fillHostBits(address: Address, prefix: number): void {
  for (let bit = prefix; bit < address.length * 8; bit++) {
    const byte = bit >> 3;
    address[byte] = (address[byte] as number) | (0x80 >> (bit & 7));
  }
}

function neighbour(address: Address, step: 1 | -1 | 0): Address {
  const next = address.slice();
  for (let byte = next.length - 1; byte >= 0; byte--) {
    const value = (next[byte] as number) + step;
    next[byte] = value & 0xff;
    if (value >= 0 && value <= 255) break;
  }
  return next;
}

type ServicePoint = Pick<Packet, "protocol" | "sourcePort" | "destinationPort" | "icmpType" | "icmpCode">;

function nearService(random: Random, policy: Policy, rule: Rule | null, family: Family): ServicePoint {
  const services = random.chance(0.15) ? policy.enforce : (rule?.services ?? []);
  const service = services.length > 0 && random.chance(0.9) ? random.pick(services) : randomService(random);
  if (service.protocol === 1 || service.protocol === 58) return icmpPoint(random, service, family);
  if (!withPorts.includes(service.protocol)) return point(service.protocol, null, null);
  const range = service.ports === null ? null : random.pick(service.ports);
  const sourcePort = random.chance(0.8) ? random.between(1024, 65535) : random.pick(portPoints);
  const edge = range === null ? random.pick(portPoints) : nearEdge(random, range);
  return point(service.protocol, sourcePort, edge);
}

/** The first or the last port of a range, or the one before or after it. */
function nearEdge(random: Random, range: PortRange): number {
  const port = random.pick([range.from, range.to]) + random.pick([0, 0, 0, 1, -1]);
  return Math.max(0, Math.min(65535, port));
}

/** Types exist only in the family's own ICMP; the other one's number is a protocol without ports. */
function icmpPoint(random: Random, service: Service, family: Family): ServicePoint {
  if (service.protocol !== (family === 4 ? 1 : 58)) return point(service.protocol, null, null);
  const known = family === 4 ? types4 : types6;
  const icmpType = service.icmpType !== null && random.chance(0.8) ? service.icmpType : random.pick(known);
  const icmpCode = service.icmpCode !== null && random.chance(0.7) ? service.icmpCode : random.below(3);
  return { ...point(service.protocol, null, null), icmpType, icmpCode };
}

function atEssential(random: Random, essential: Essential, family: Family): ServicePoint {
  const protocol = essential.protocol ?? random.pick(withPorts);
  const types = essential.icmpTypes === null ? null : random.pick(essential.icmpTypes);
  if (types !== null) {
    const edges = [types.from, types.to, types.from - 1, types.to + 1];
    const icmpType = random.pick(edges.filter((type) => type >= 0 && type <= 255));
    if (protocol !== (family === 4 ? 1 : 58)) return point(protocol, null, null);
    return { ...point(protocol, null, null), icmpType, icmpCode: 0 };
  }
  if (!withPorts.includes(protocol)) return point(protocol, null, null);
  const edge = (range: PortRange | null): number =>
    range === null ? random.pick(portPoints) : nearEdge(random, range);
  const source = edge(essential.sourcePorts);
  const destination = edge(
    essential.destinationPorts === null ? null : random.pick(essential.destinationPorts),
  );
  return point(protocol, source, destination);
}

function point(protocol: number, sourcePort: number | null, destinationPort: number | null): ServicePoint {
  return { protocol, sourcePort, destinationPort, icmpType: null, icmpCode: null };
}

const answers = new Map<string, number>([
  ...(
    [
      [8, 0],
      [13, 14],
      [15, 16],
      [17, 18],
    ] as const
  ).map(([ask, answer]) => [`1/${ask}`, answer] as const),
  ["58/128", 129] as const,
]);

/** A packet of the same flow that travels the other way. */
function answerTo(packet: Packet): Packet {
  const answer = packet.icmpType === null ? undefined : answers.get(`${packet.protocol}/${packet.icmpType}`);
  return {
    ...packet,
    direction: packet.direction === "in" ? "out" : "in",
    source: packet.destination,
    destination: packet.source,
    sourcePort: packet.destinationPort,
    destinationPort: packet.sourcePort,
    icmpType: answer ?? packet.icmpType,
  };
}

/** A policy a step or a few away: members, rules, sets, mode. Parts that stay are shared by reference. */
export function changedPolicy(random: Random, policy: Policy): Policy {
  let changed = policy;
  for (let steps = random.pick([1, 1, 1, 2, 4]); steps > 0; steps--) changed = changeOnce(random, changed);
  return changed;
}

function changeOnce(random: Random, policy: Policy): Policy {
  const names = [...policy.sets.keys()];
  const what = random.pick([
    "members",
    "members",
    "members",
    "move",
    "move",
    "rule",
    "services",
    "content",
    "mode",
    "order",
  ] as const);
  const sets = new Map(policy.sets);
  const rules = [...policy.rules];
  if (what === "members" && names.length > 0) {
    const name = random.pick(names);
    const set = sets.get(name) as AddressSet;
    sets.set(name, set.with(randomSet(random, random.pick([1, 1, 4])), someOf(random, set)));
    return { ...policy, sets };
  }
  if (what === "move" && names.length > 1) {
    const moved = randomSet(random, 2);
    for (const name of random.picks(2, names)) {
      const set = sets.get(name) as AddressSet;
      sets.set(
        name,
        random.chance(0.5)
          ? set.with(moved, AddressSet.empty)
          : set.with(AddressSet.empty, someOf(random, set)),
      );
    }
    return { ...policy, sets };
  }
  if (what === "content" && names.length > 0) {
    sets.set(random.pick(names), randomSet(random));
    return { ...policy, sets };
  }
  if (what === "rule") {
    const id = `rule-${random.below(1_000_000)}`;
    if (rules.length > 0 && random.chance(0.5)) rules.splice(random.below(rules.length), 1);
    if (random.chance(0.6)) rules.splice(random.below(rules.length + 1), 0, randomRule(random, id, names));
    return { ...policy, rules };
  }
  if (what === "services" && rules.length > 0) {
    // The ports of a rule change and its name does not: in a set of pairs, members change and no rule does.
    const index = random.below(rules.length);
    const services = Array.from({ length: random.between(1, 3) }, () => randomService(random));
    rules[index] = { ...(rules[index] as Rule), services };
    return { ...policy, rules };
  }
  if (what === "order") return { ...policy, rules: rules.reverse() };
  if (what === "mode") return { ...policy, mode: random.pick(["full", "selective", "visibility"] as const) };
  return { ...policy, reject: !policy.reject };
}

function someOf(random: Random, set: AddressSet): AddressSet {
  const builder = AddressSet.builder();
  set.forEachBlock((address, prefix) => {
    if (random.chance(0.3)) builder.addAddress(address.slice(), prefix);
  });
  return builder.build();
}

/** Words for a failure: everything needed to see it without running it again. */
export function showPolicy(policy: Policy): string {
  const sets = Object.fromEntries(
    [...policy.sets].map(([name, set]) => [name, [...set.strings()].join(" ")]),
  );
  return JSON.stringify({ ...policy, sets, identities: undefined }, null, 1);
}

export function showPacket(packet: Packet): string {
  const text = (address: Address | null): string | null =>
    address === null ? null : Array.from(address).join(".");
  return JSON.stringify({
    ...packet,
    source: text(packet.source),
    destination: text(packet.destination),
    originalDestination: text(packet.originalDestination),
  });
}

/** The same failure with fewer rules, sets and services: drops parts for as long as it still fails. */
export function smallerPolicy(policy: Policy, fails: (policy: Policy) => boolean): Policy {
  for (let index = 0; index < policy.rules.length; index++) {
    const without = { ...policy, rules: policy.rules.filter((_, at) => at !== index) };
    if (fails(without)) return smallerPolicy(without, fails);
  }
  const used = new Set(policy.rules.flatMap((rule) => rule.peers));
  return { ...policy, sets: new Map([...policy.sets].filter(([name]) => used.has(name))) };
}
