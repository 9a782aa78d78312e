import { AntennaError } from "../error.js";
import type { Family } from "../policy/model.js";
import { type CostModel, measuredCosts } from "./cost-model.js";
import type { RuleProgram, Tier } from "./program.js";
import { countMembers } from "./set-change.js";

/** What a program will cost the host, before anything is done. */
export interface PolicyCost {
  /** Rules in the kernel, both families together. */
  readonly rules: number;
  /** Members of all sets in the kernel, those that a layout repeats included. */
  readonly members: number;
  /** Kernel memory of sets and rules. */
  readonly memoryKiB: number;
  /** A first apply, with nothing there to build on. */
  readonly applyMs: number;
}

/** null: nothing is programmed, which costs nothing. */
export function predictCost(program: RuleProgram | null, costs: CostModel = measuredCosts): PolicyCost {
  if (program === null) return { rules: 0, members: 0, memoryKiB: 0, applyMs: 0 };
  const families: readonly Family[] = [4, 6];
  const rules = families.reduce((sum, family) => sum + countRules(program, family), 0);
  let [members, bytes] = [0, rules * costs.ruleBytes];
  for (const set of program.sets.values()) {
    for (const family of families) {
      const count = countMembers(set, family);
      members += count;
      bytes += costs.setBytes + count * costs.memberBytes[family];
    }
  }
  const applyUs = members * costs.memberApplyUs + rules * costs.ruleApplyUs;
  return {
    rules,
    members,
    memoryKiB: Math.ceil(bytes / 1024),
    applyMs: Math.ceil(costs.applyBaseMs + applyUs / 1000),
  };
}

/** @throws AntennaError `over-budget` when the kernel would hold more than `maxMembers`. */
export function requireAffordable(cost: PolicyCost, maxMembers: number): void {
  if (cost.members <= maxMembers) return;
  const problem = `${cost.members} members of sets are needed, the host's budget admits ${maxMembers}`;
  throw new AntennaError({
    code: "over-budget",
    operation: "check the cost of the policy",
    message: `${problem}; use fewer or larger blocks, or raise the budget`,
    problems: [{ path: "sets", problem }],
  });
}

/** Loopback, cut, established, related errors and own refusals, and the jumps between them, in each direction. */
const standingRules = 20;

/** One for each step, guard and essential; as many as there are peers where an essential lists them. */
function countRules({ directions, essentials }: RuleProgram, family: Family): number {
  let rules = standingRules;
  for (const { guards, stages } of Object.values(directions)) {
    rules += guards.length + stages.reduce((sum, stage) => sum + 1 + countSteps(stage.tier), 0);
  }
  for (const essential of essentials) {
    if (essential.family !== null && essential.family !== family) continue;
    const listed = essential.peers === null || essential.set !== undefined ? null : essential.peers;
    const peers = listed === null ? 1 : family === 4 ? listed.size4 : listed.size6;
    rules += peers * (essential.originalDestination ? 2 : 1);
  }
  return rules;
}

/** A test of more ports than a rule can list takes several. */
function countSteps(tier: Tier): number {
  return tier.steps.reduce((sum, { match, then: outcome }) => {
    const slots = match.service?.ports?.reduce((all, { from, to }) => all + (from === to ? 1 : 2), 0) ?? 1;
    return (
      sum + Math.max(1, Math.ceil(slots / 15)) + (outcome.kind === "tier" ? countSteps(outcome.tier) : 0)
    );
  }, 0);
}
