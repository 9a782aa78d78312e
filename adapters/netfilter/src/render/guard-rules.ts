import type { Guard, ProgramEssential } from "@antenna/sdk";
import { essentialConditions } from "./essential-conditions.js";
import { matchConditions } from "./set-condition.js";
import type { StageContext } from "./stage-rules.js";
import { allowVerdict, denialChain } from "./verdict-chains.js";

/**
 * The guards of one chain, for packets outside IPsec. A hit goes to a chain that first exempts essentials and then
 * looks for the rule that hit again: packets that no guard covers pay for the guards only, and essentials stand in the
 * text once, not once a rule.
 */
export function guardRules(
  guards: readonly Guard[],
  essentials: readonly ProgramEssential[],
  of: Guard["of"],
  context: StageContext,
): readonly string[] {
  const { book, family, direction, installed, options, miss } = context;
  const view = { direction, of };
  const hits = guards.flatMap((guard) => {
    const conditions = matchConditions(guard.match, installed, family, view);
    if (conditions.length === 0) return [];
    const source = { kind: "secure", rule: guard.rule } as const;
    const denial = denialChain(book, family, installed.program, options, source);
    return conditions.map((condition) => ({ condition, denial }));
  });
  const last = hits[hits.length - 1];
  if (last === undefined) return [miss];

  // An essential that opens is allowed sooner or later; its answer is only exempt from guards.
  const verdict = of === "original" ? allowVerdict(installed.program) : miss;
  const exempt = book.content([
    ...essentials
      .flatMap((essential) => essentialConditions(essential, installed, family, view))
      .map((text) => text + verdict),
    ...hits.slice(0, -1).map((hit) => `${hit.condition}-g ${hit.denial}`),
    // Reached only by what some guard hit: when all others miss it was the last one.
    `-g ${last.denial}`,
  ]);
  return [...hits.map((hit) => `${hit.condition}-g ${exempt}`), miss];
}
