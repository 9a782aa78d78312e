import {
  AddressSet,
  type Command,
  type Installed,
  type Packet,
  type Policy,
  type Rule,
  type RuleProgram,
  type Service,
} from "@antenna/sdk";
import { compile } from "@antenna/sdk/internal/program/compile.js";
import { measuredCosts } from "@antenna/sdk/internal/program/cost-model.js";
import { planRemove, planSafe } from "@antenna/sdk/internal/reconcile/plan.js";
import type { TracedPacket } from "../tracer/traced-packet.js";
import {
  changedPolicy,
  nearMember,
  randomPolicy,
  randomSet,
  showPacket,
  showPolicy,
} from "../unit/arbitrary-policy.js";
import { Random } from "../unit/random.js";
import { aimedPacket } from "./aimed-packet.js";
import { KernelModel } from "./kernel-model.js";
import { type Circumstances, essentialsOf, randomCircumstances } from "./pairs.js";
import { tracedVariants } from "./traced-variants.js";

export interface TransitionsOptions {
  readonly seed: number;
  readonly transitions: number;
}

export interface TransitionsResult {
  readonly transitions: number;
  readonly commands: Readonly<Record<Command["kind"], number>>;
  /** States that packets were followed through. */
  readonly states: number;
  readonly crashes: number;
  readonly packets: number;
  readonly failure: string | null;
}

const packetsEach = 24;

/**
 * From one random policy to another, command by command, members one by one: in every state that the kernel goes
 * through, each packet's verdict is that of the old rules or that of the new ones. Sometimes the agent dies between two
 * commands, and the next start has to keep the same promise.
 */
export function checkTransitions(options: TransitionsOptions): TransitionsResult {
  const random = new Random(options.seed);
  const commands = {
    ...{ "create-set": 0, "add-members": 0, "delete-members": 0 },
    ...{ "switch-rules": 0, "remove-rules": 0, "destroy-set": 0 },
  };
  const result = { transitions: 0, states: 0, crashes: 0, packets: 0 };
  while (result.transitions < options.transitions) {
    const contesting = random.chance(0.6);
    const drawn = randomCircumstances(random);
    // Laid out plainly, rules stay when members change, and the members are changed in place.
    const circumstances = contesting && random.chance(0.8) ? { ...drawn, costs: measuredCosts } : drawn;
    let policy = contesting ? contestedPolicy(random) : randomPolicy(random, startingShape(random));
    const model = new KernelModel();
    let installed = execute(model, null, programOf(policy, circumstances), () => undefined);
    for (let step = 0; step < 4; step++) {
      const next = contesting ? contestedStep(random, policy) : nextPolicy(random, policy);
      const changed: Circumstances = random.chance(0.9)
        ? circumstances
        : { ...circumstances, settling: !circumstances.settling };
      const program = programOf(next, changed);
      const followed = follow(random, [policy, next], circumstances, model);
      const after = new KernelModel();
      execute(after, null, program, () => undefined);
      const news = followed.map(({ traced }) => verdict(after, traced));
      result.transitions += 1;
      result.packets += followed.length;
      let problem: string | null = null;
      const look = (command: Command): void => {
        result.states += 1;
        for (const [index, { traced, before, packet }] of followed.entries()) {
          const now = verdict(model, traced);
          if (now === before || now === news[index]) continue;
          problem ??= `old ${before}, new ${news[index]}, on the way ${now}, at ${command.kind}\n${showPacket(packet)}`;
        }
      };
      const crashAt = random.chance(0.3) ? random.below(8) : null;
      installed = execute(model, installed, program, look, (command, index) => {
        commands[command.kind] += 1;
        if (index !== crashAt) return false;
        result.crashes += 1;
        return true;
      });
      for (const [index, { traced, packet }] of followed.entries()) {
        const now = verdict(model, traced);
        if (now !== news[index]) problem ??= `at the end ${now}, not ${news[index]}\n${showPacket(packet)}`;
      }
      if (problem !== null) {
        const failure = [problem, "from", showPolicy(policy), "to", showPolicy(next)].join("\n");
        return { ...result, commands, failure };
      }
      policy = next;
    }
  }
  return { ...result, commands, failure: null };
}

/** Few sets under many rules, so that they are asked by the same packets for different reasons. */
function startingShape(random: Random): Parameters<typeof randomPolicy>[1] {
  const modes = ["full", "full", "selective", "selective", "visibility", "idle"] as const;
  return {
    modes,
    maxSets: random.pick([2, 3, 4, 6]),
    maxRules: random.pick([6, 10, 14]),
    secure: random.pick([0, 0.15, 0.6]),
  };
}

/** Services that overlap, touch and lie apart, of one protocol each. */
const contested: readonly (readonly Service[])[] = [
  [service(6, [80, 80]), service(6, [80, 80]), service(6, [80, 90]), service(6, [90, 100])],
  [service(17, null), service(17, [80, 80]), service(17, [81, 81])],
  [icmpService(1, null), icmpService(1, 8), icmpService(1, 8), icmpService(1, 3)],
  [icmpService(58, null), icmpService(58, 128), icmpService(58, 1)],
];

function service(protocol: number, ports: readonly [number, number] | null): Service {
  const ranges = ports === null ? null : [{ from: ports[0], to: ports[1] }];
  return { protocol, ports: ranges, icmpType: null, icmpCode: null };
}

function icmpService(protocol: number, icmpType: number | null): Service {
  return { protocol, ports: null, icmpType, icmpCode: null };
}

/** Two or three sets about which rules of different actions say different things for the same few services. */
function contestedPolicy(random: Random): Policy {
  const names = random.chance(0.5) ? ["a", "b"] : ["b", "a", "c"];
  const services = random.chance(0.2) ? contested.flat() : random.pick(contested);
  const direction = random.pick(["in", "out"] as const);
  const both = random.chance(0.5) ? random.pick(services) : null;
  const rules = Array.from({ length: random.pick([2, 2, 2, 3, 4, 8]) }, (_, index): Rule => {
    // The first two contradict each other.
    const action =
      (["allow", "override-deny"] as const)[index] ??
      random.pick(["override-deny", "allow", "deny"] as const);
    const asked = index < 2 && both !== null ? both : random.pick(services);
    return {
      id: `rule-${index}`,
      direction,
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
function contestedStep(random: Random, policy: Policy): Policy {
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
function nextPolicy(random: Random, policy: Policy): Policy {
  if (random.chance(0.05)) return { ...policy, mode: policy.mode === "idle" ? "full" : "idle" };
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

interface Followed {
  readonly packet: Packet;
  readonly traced: TracedPacket;
  readonly before: string;
}

function follow(
  random: Random,
  policies: readonly [Policy, Policy],
  circumstances: Circumstances,
  model: KernelModel,
): readonly Followed[] {
  const moving = changedMembers(policies);
  return Array.from({ length: packetsEach }, (_, index) => {
    const policy = policies[index % 2] as Policy;
    const aimed = aimedPacket(random, policy, essentialsOf(policy, circumstances));
    const packet = random.chance(0.7) ? withPeer(aimed, nearMember(random, moving, aimed.family)) : aimed;
    const traced = random.pick(tracedVariants(packet, random));
    return { packet, traced, before: verdict(model, traced) };
  });
}

/** Every address whose membership in some set changes. */
function changedMembers([before, after]: readonly [Policy, Policy]): AddressSet {
  let moving = AddressSet.empty;
  for (const [name, set] of after.sets) {
    const { added, removed } = (before.sets.get(name) ?? AddressSet.empty).diff(set);
    moving = moving.union(added, removed);
  }
  return moving;
}

function withPeer(packet: Packet, peer: Packet["source"]): Packet {
  const tracked = packet.originalDestination !== null && !packet.reply;
  if (packet.direction === "in") return { ...packet, source: peer };
  return { ...packet, destination: peer, originalDestination: tracked ? peer : packet.originalDestination };
}

function verdict(model: KernelModel, packet: TracedPacket): string {
  const { verdict, rejectedWith } = model.trace(packet);
  return `${verdict} ${rejectedWith ?? ""}`;
}

function programOf(policy: Policy, circumstances: Circumstances): RuleProgram | null {
  const { settling, onAllow, costs } = circumstances;
  return compile(policy, { essentials: essentialsOf(policy, circumstances), settling, onAllow, costs });
}

/** `dies`: true before a command is executed: the agent is killed there, and a new one starts without a memory. */
function execute(
  model: KernelModel,
  installed: Installed | null,
  program: RuleProgram | null,
  look: (command: Command) => void,
  dies: (command: Command, index: number) => boolean = () => false,
): Installed | null {
  const plan = planned(installed, program, model.instances());
  for (const [index, command] of plan.commands.entries()) {
    if (dies(command, index)) {
      model.forgetBaselines();
      const again = planned(program === null ? installed : null, program, model.instances());
      for (const each of again.commands) {
        if (program !== null || !isDone(each, model)) model.execute(each, () => look(each));
      }
      sweep(model, again.installed);
      return again.installed;
    }
    model.execute(command, () => look(command));
  }
  return plan.installed;
}

function planned(
  installed: Installed | null,
  program: RuleProgram | null,
  live: ReadonlySet<string>,
): { readonly commands: readonly Command[]; readonly installed: Installed | null } {
  if (program !== null) return planSafe(installed, program, live);
  return { commands: installed === null ? [] : planRemove(installed), installed: null };
}

/** Of a removal that was cut short: what is gone already. */
function isDone(command: Command, model: KernelModel): boolean {
  return command.kind === "destroy-set" && !model.instances().has(command.instance.name);
}

/** What a crash left over is destroyed once the rules stand, as PacketFilter.sweep does. */
function sweep(model: KernelModel, installed: Installed | null): void {
  const named = new Set([...(installed?.instances.values() ?? [])].map((instance) => instance.name));
  for (const name of model.instances()) if (!named.has(name)) model.sweep(name);
}
