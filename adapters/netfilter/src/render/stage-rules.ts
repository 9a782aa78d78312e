import type { Direction, Family, Hit, Installed, StageProgram, Step, Tier } from "@antenna/sdk";
import type { ChainBook } from "./chain.js";
import { matchConditions } from "./set-condition.js";
import { allowVerdict, denialChain, type RenderOptions } from "./verdict-chains.js";

export interface StageContext {
  readonly book: ChainBook;
  readonly family: Family;
  readonly direction: Direction;
  readonly installed: Installed;
  readonly options: RenderOptions;
  /** Where a miss goes: the verdict that every chain of the stage ends with. */
  readonly miss: string;
}

/** The rules of a stage; every miss, at whatever depth, leaves by `context.miss`. */
export function stageRules(stage: StageProgram, context: StageContext): readonly string[] {
  return tierRules(stage, stage.tier, context, false);
}

/**
 * Chains are reached by goto, never by jump: RETURN then leaves ours altogether, and a miss inside a tier goes straight
 * on to the next stage.
 */
function tierRules(
  stage: StageProgram,
  tier: Tier,
  context: StageContext,
  hasPorts: boolean,
): readonly string[] {
  const { book, installed, family, direction } = context;
  const view = { direction, of: "original", hasPorts } as const;
  const rules: string[] = [];
  for (const step of tier.steps) {
    const conditions = matchConditions(step.match, installed, family, view);
    if (conditions.length === 0) continue;
    const verdict =
      step.then.kind === "hit"
        ? hitVerdict(stage, step.then, context)
        : `-g ${book.content(tierRules(stage, step.then.tier, context, hasPortsBehind(step, hasPorts)))}`;
    for (const condition of conditions) rules.push(condition + verdict);
    // Everything ends here; what follows could not be reached.
    if (conditions.includes("")) return rules;
  }
  return [...rules, context.miss];
}

/** Whether all that the step leads on has ports: it asked for them, or whoever led here did. */
function hasPortsBehind({ match }: Step, hasPorts: boolean): boolean {
  return hasPorts || (match.service !== null && match.service.ports !== null);
}

function hitVerdict(stage: StageProgram, hit: Hit, context: StageContext): string {
  const { book, family, installed, options } = context;
  if (stage.action === "allow") return allowVerdict(installed.program);
  const source =
    hit.rule === null ? ({ kind: "default" } as const) : ({ kind: "rule", rule: hit.rule } as const);
  return `-g ${denialChain(book, family, installed.program, options, source)}`;
}
