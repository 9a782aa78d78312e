import {
  AddressSet,
  type Command,
  type Installed,
  type Packet,
  type Policy,
  type RuleProgram,
} from "@antenna/sdk";
import { compile } from "@antenna/sdk/internal/program/compile.js";
import { planRemove, planSafe } from "@antenna/sdk/internal/reconcile/plan.js";
import type { TracedPacket } from "../tracer/traced-packet.js";
import { changedPolicy, randomPolicy, randomSet, showPacket, showPolicy } from "../unit/arbitrary-policy.js";
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
    const circumstances = randomCircumstances(random);
    let policy = randomPolicy(random, { modes: ["full", "selective", "visibility", "idle"], maxRules: 10 });
    const model = new KernelModel();
    let installed = execute(model, null, programOf(policy, circumstances), () => undefined);
    for (let step = 0; step < 4; step++) {
      const next = nextPolicy(random, policy);
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

/** Another mode, other rules, or other members under the same rules: a few, or in every set. */
function nextPolicy(random: Random, policy: Policy): Policy {
  if (random.chance(0.05)) return { ...policy, mode: policy.mode === "idle" ? "full" : "idle" };
  if (random.chance(0.1)) return randomPolicy(random);
  if (random.chance(0.35)) return changedPolicy(random, policy);
  const names = [...policy.sets.keys()];
  if (names.length === 0) return changedPolicy(random, policy);
  const sets = new Map(policy.sets);
  const touched = random.chance(0.3) ? names : random.picks(random.between(1, 3), names);
  for (const name of touched) {
    const from = sets.get(random.pick(names)) ?? AddressSet.empty;
    // What comes in is often what another set has or loses at the same moment.
    const moved = random.chance(0.5) ? oneOf(random, from) : randomSet(random, 2);
    const own = sets.get(name) ?? AddressSet.empty;
    const lost = random.chance(0.5) ? oneOf(random, own) : AddressSet.empty;
    sets.set(name, random.chance(0.3) ? own.with(AddressSet.empty, lost) : own.with(moved, lost));
  }
  return { ...policy, sets };
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
  return Array.from({ length: packetsEach }, (_, index) => {
    const policy = policies[index % 2] as Policy;
    const packet = aimedPacket(random, policy, essentialsOf(policy, circumstances));
    const traced = random.pick(tracedVariants(packet, random));
    return { packet, traced, before: verdict(model, traced) };
  });
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
