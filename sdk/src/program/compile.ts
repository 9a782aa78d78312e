import { createHash } from "node:crypto";
import type { Essential } from "../evaluate/essential.js";
import { builtinEssentials } from "../evaluate/essentials.js";
import type { Direction, Policy, Rule, Service } from "../policy/model.js";
import { AllowLayout } from "./allow-layout.js";
import { type CostModel, measuredCosts } from "./cost-model.js";
import { DenyLayout } from "./deny-layout.js";
import { fillSets, unionOf } from "./fill-sets.js";
import { layGuards } from "./guards.js";
import { PeerLookup } from "./peer-lookup.js";
import { describeEssential, placeEssentials } from "./place-essentials.js";
import type { DirectionProgram, RuleProgram, SetKey, StageProgram } from "./program.js";
import { SetCatalogue, type SetRecipe } from "./set-catalogue.js";
import { weighSet } from "./set-weight.js";
import { nestedTiers } from "./step.js";

export interface CompileOptions {
  /** What always passes; default: `builtinEssentials(policy)`. */
  readonly essentials?: readonly Essential[];
  /** True while tracking settles: the program tells and drops nothing. Default: false. */
  readonly settling?: boolean;
  /** Default: `return`. */
  readonly onAllow?: "return" | "accept";
  /** Members that the kernel may hold for this policy, those that a layout repeats included. Default: 500,000. */
  readonly maxMembers?: number;
  /** Default: `measuredCosts`. */
  readonly costs?: CostModel;
}

export const defaultMaxMembers = 500_000;

/**
 * The rule program that means what the policy means: `decide(compile(p), k)` is `evaluate(p, k)`. null: `idle`, nothing
 * to program.
 *
 * A pure function of its arguments: the same policy gives the same program on every run. How rules are laid out depends on
 * the members of sets only through powers of two of their number, so that members come and go without touching rules; a
 * change of members alone costs no layout.
 */
export function compile(policy: Policy, options: CompileOptions = {}): RuleProgram | null {
  if (policy.mode === "idle") return null;
  const { onAllow = "return", maxMembers = defaultMaxMembers, costs = measuredCosts } = options;
  const layout = layoutOf(policy, maxMembers, costs);
  const { essentials, sets: essentialSets } = placeEssentials(
    options.essentials ?? builtinEssentials(policy),
    policy,
  );
  const head = {
    drops: policy.mode !== "visibility" && options.settling !== true,
    reject: policy.reject,
    onAllow,
  };
  return {
    ...head,
    rulesDigest: digest([head, essentials.map(describeEssential), layout.digest]),
    essentials,
    sets: new Map([...fillSets(layout.recipes, policy), ...essentialSets]),
    directions: layout.directions,
  };
}

/** Everything of a program that does not depend on the members of sets. */
interface Layout {
  readonly directions: Readonly<Record<Direction, DirectionProgram>>;
  readonly recipes: ReadonlyMap<SetKey, SetRecipe>;
  readonly digest: string;
}

interface KnownLayout {
  readonly rules: readonly Rule[];
  readonly enforce: readonly Service[];
  readonly circumstances: string;
  readonly costs: CostModel;
  readonly layout: Layout;
}

/** By first rule. One layout is kept for each; policies share their rules by reference from version to version. */
const knownLayouts = new WeakMap<Rule, KnownLayout>();

function layoutOf(policy: Policy, maxMembers: number, costs: CostModel): Layout {
  const { rules, enforce } = policy;
  const weights = new Map(usedNames(rules).map((name) => [name, weighSet(unionOf([name], policy))]));
  const circumstances = JSON.stringify([policy.mode === "selective", maxMembers, [...weights]]);
  const known = rules[0] === undefined ? undefined : knownLayouts.get(rules[0]);
  if (
    known?.circumstances === circumstances &&
    known.costs === costs &&
    sameItems(known.rules, rules) &&
    sameItems(known.enforce, enforce)
  ) {
    return known.layout;
  }
  const layout = lay(policy, () => new SetCatalogue(weights, costs, maxMembers), costs);
  if (rules[0] !== undefined) knownLayouts.set(rules[0], { rules, enforce, circumstances, costs, layout });
  return layout;
}

/** How many tiers deny and allow stages may nest: the first that keeps to the limit for all stages of a direction together. */
const levelChoices = [
  { deny: 5, allow: 5 },
  { deny: 2, allow: 3 },
  { deny: 1, allow: 3 },
] as const;

function lay(policy: Policy, makeCatalogue: () => SetCatalogue, costs: CostModel): Layout {
  const [first, ...lower] = levelChoices;
  let draft = layAt(policy, makeCatalogue(), costs, first);
  for (const levels of lower) {
    if (deepest(draft.directions) <= costs.mostNestedTiers) break;
    draft = layAt(policy, makeCatalogue(), costs, levels);
  }
  const kinds = [...draft.recipes].map(([key, recipe]) => [key, recipe.kind]);
  return { ...draft, digest: digest([draft.directions, kinds]) };
}

function deepest(directions: Layout["directions"]): number {
  const depths = Object.values(directions).map(({ stages }) =>
    stages.reduce((sum, stage) => sum + nestedTiers(stage.tier), 0),
  );
  return Math.max(...depths);
}

function layAt(
  policy: Policy,
  catalogue: SetCatalogue,
  costs: CostModel,
  levels: (typeof levelChoices)[number],
): Omit<Layout, "digest"> {
  const lookup = new PeerLookup(catalogue, costs);
  const allows = new AllowLayout(lookup, catalogue, costs, levels.allow);
  const denies = new DenyLayout(lookup, catalogue, costs, levels.deny);
  const layDirection = (direction: Direction): DirectionProgram => {
    const [overriding, allowing, denying] = (["override-deny", "allow", "deny"] as const).map((action) =>
      policy.rules.filter((rule) => rule.direction === direction && rule.action === action),
    ) as [Rule[], Rule[], Rule[]];
    const stages: StageProgram[] = [];
    if (overriding.length > 0)
      stages.push({ stage: "override-deny", action: "deny", tier: denies.lay(overriding) });
    if (allowing.length > 0) {
      stages.push({
        stage: "allow",
        action: "allow",
        tier: allows.lay(allowing, `pairs:${direction}:allow`),
      });
    }
    if (denying.length > 0) stages.push({ stage: "deny", action: "deny", tier: denies.lay(denying) });
    const denied = deniedByDefault(policy, direction);
    if (denied !== null) {
      stages.push({
        stage: "default",
        action: "deny",
        tier: allows.lay([denied], `pairs:${direction}:default`),
      });
    }
    return { guards: layGuards(direction, policy.rules, catalogue), stages };
  };
  const directions = { in: layDirection("in"), out: layDirection("out") };
  return { directions, recipes: catalogue.recipes };
}

/** The default of the mode, as a rule without a name. null: nothing is denied by default. */
function deniedByDefault({ mode, enforce }: Policy, direction: Direction): Rule | null {
  const everything: Rule = {
    id: "",
    direction,
    action: "deny",
    peers: ["any"],
    services: null,
    secure: false,
  };
  if (mode !== "selective") return everything;
  return direction === "in" && enforce.length > 0 ? { ...everything, services: enforce } : null;
}

/** Names of sets that rules mention, in order. */
function usedNames(rules: readonly Rule[]): readonly string[] {
  const names = new Set<string>();
  for (const rule of rules) for (const name of rule.peers) names.add(name);
  names.delete("any");
  return [...names].sort();
}

function sameItems<T>(a: readonly T[], b: readonly T[]): boolean {
  return a === b || (a.length === b.length && a.every((item, index) => item === b[index]));
}

function digest(content: unknown): string {
  return createHash("sha256").update(JSON.stringify(content)).digest("hex");
}
