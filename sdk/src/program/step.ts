import type { Match, Step, Tier } from "./program.js";

/** A step that decides. */
export function hitStep(match: Match, rule: string | null): Step {
  return makeStep(match, { kind: "hit", rule });
}

/** A step that leads on to others. */
export function tierStep(match: Match, steps: readonly Step[]): Step {
  return makeStep(match, { kind: "tier", tier: { steps } });
}

function makeStep(match: Match, outcome: Step["then"]): Step {
  // biome-ignore lint/suspicious/noThenProperty: an object, never called, never awaited
  return { match, then: outcome };
}

/** How many tiers lie in one another below this one. */
export function nestedTiers(tier: Tier): number {
  let deepest = 0;
  for (const { then: outcome } of tier.steps)
    if (outcome.kind === "tier") deepest = Math.max(deepest, 1 + nestedTiers(outcome.tier));
  return deepest;
}
