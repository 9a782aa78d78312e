import {
  AddressSet,
  type Command,
  type Family,
  type Installed,
  type Packet,
  type Policy,
  type RuleProgram,
} from "@antenna/sdk";
import { compile } from "@antenna/sdk/internal/program/compile.js";
import { measuredCosts } from "@antenna/sdk/internal/program/cost-model.js";
import { planRemove, planSafe } from "@antenna/sdk/internal/reconcile/plan.js";
import type { TracedPacket } from "../tracer/traced-packet.js";
import { nearMember, randomPolicy, showPacket, showPolicy } from "../unit/arbitrary-policy.js";
import { Random } from "../unit/random.js";
import { aimedPacket } from "./aimed-packet.js";
import { KernelModel } from "./kernel-model.js";
import { type Circumstances, essentialsOf, randomCircumstances } from "./pairs.js";
import { contested, contestedPolicy, contestedStep, nextPolicy, startingShape } from "./policy-steps.js";
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
      // Who is told that nothing narrows does not look for connections that are denied now.
      const narrows = program !== null && planSafe(installed, program, model.instances()).narrows;
      const denied = followed.find(
        ({ before }, index) => before.startsWith("accepted") && before !== news[index],
      );
      if (!narrows && denied !== undefined) problem = `it narrows unsaid\n${showPacket(denied.packet)}`;
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
    const packet = random.chance(0.3)
      ? aimed
      : random.chance(0.5)
        ? withPeer(aimed, nearMember(random, moving, aimed.family))
        : (opening(random, policy, moving) ?? aimed);
    const traced = random.pick(tracedVariants(packet, random));
    return { packet, traced, before: verdict(model, traced) };
  });
}

/** The first packet of a flow to a service that some rule speaks of, between here and an address that moves. */
function opening(random: Random, { rules }: Policy, moving: AddressSet): Packet | null {
  if (rules.length === 0) return null;
  const { direction, services } = random.pick(rules);
  const asked = random.pick(services ?? contested.flat());
  const family: Family = asked.protocol === 1 ? 4 : asked.protocol === 58 ? 6 : random.pick([4, 6]);
  const peer = nearMember(random, moving, family);
  const local = Uint8Array.from({ length: peer.length }, (_, index) => [172, 16, 0, 9][index] ?? 0);
  const [source, destination] = direction === "in" ? [peer, local] : [local, peer];
  const icmp = asked.protocol === 1 || asked.protocol === 58;
  const ported = !icmp && [6, 17, 33, 132, 136].includes(asked.protocol);
  const range = random.pick(asked.ports ?? [{ from: 80, to: 443 }]);
  const port = ported ? random.pick([range.from, range.to]) : null;
  return {
    ...{ direction, family, source, destination, protocol: asked.protocol, hopLimit: 64 },
    ...{ sourcePort: ported ? 40_000 : null, destinationPort: port },
    icmpType: icmp ? (asked.icmpType ?? random.pick([8, 13, 128])) : null,
    icmpCode: icmp ? (asked.icmpCode ?? random.below(2)) : null,
    ...{ loopback: false, state: "new", reply: false, reset: false, cut: false },
    ...{ protected: random.chance(0.2), originalDestination: destination, originalPort: port },
  };
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
