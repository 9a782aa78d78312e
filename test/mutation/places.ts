import type { Region } from "./source-mask.js";

/** A module and those of its functions in which every change of a condition, an order or a value changes some verdict. */
export interface Place {
  readonly part: "compile" | "render" | "plan";
  readonly file: string;
  readonly functions: readonly string[];
  /** Changes that cannot change a verdict, and why. */
  readonly harmless?: readonly Harmless[];
}

interface Harmless {
  readonly line: RegExp;
  /** Only of these operators; absent: of all. */
  readonly operators?: readonly string[];
  /** Only where this comes of the line; absent: whatever it becomes. */
  readonly becomes?: RegExp;
  readonly why: string;
}

const program = "sdk/dist/program";
const render = "adapters/netfilter/dist/render";

const asksTwice: Harmless = {
  line: /\b(?:seen|asked)\b/,
  operators: ["drop what is added"],
  why: "what is asked a second time was answered the first time, or is answered the same",
};

/**
 * What decides between layouts of one meaning (costs, budgets, limits), what names and caches, and what only merges
 * neighbours is left out: a change there is no change of meaning.
 */
export const places: readonly Place[] = [
  {
    part: "compile",
    file: `${program}/guards.js`,
    functions: ["layGuards", "isAnswered"],
    harmless: [asksTwice],
  },
  { part: "compile", file: `${program}/fill-sets.js`, functions: ["fillSets", "unionOf"] },
  {
    part: "compile",
    file: `${program}/service-map.js`,
    functions: ["claim", "sweep", "entryOf"],
    harmless: [
      {
        line: /sorted\[next\]\?\.at/,
        operators: ["shift bound"],
        why: "one further there is nothing: undefined stands at no place",
      },
    ],
  },
  {
    part: "compile",
    file: `${program}/deny-plan.js`,
    functions: ["planDeny", "askInOrder"],
    harmless: [asksTwice],
  },
  {
    part: "compile",
    file: `${program}/allow-plan.js`,
    functions: ["planAllow", "rangesOf", "groupClaims", "portsByNames"],
    harmless: [
      {
        line: /everything\.has\(name\) && !whole\.has\(name\)/,
        operators: ["filter nothing", "swap and/or"],
        why: "leaves out whoever may more already; who is asked twice may twice",
      },
    ],
  },
  {
    part: "compile",
    file: `${program}/allow-layout.js`,
    functions: [
      ...["#plain", "#dispatch", "#askWhole", "#askGroups", "#rootSteps", "#stretchSteps", "#ask"],
      ...["splitPairs", "servicesOf"],
    ],
    harmless: [
      {
        line: /#ask\(null, plan\)/,
        operators: ["swap neighbours"],
        why: "without tiers any of the steps of an allow stage will do: their order is free",
      },
    ],
  },
  {
    part: "compile",
    file: `${program}/deny-layout.js`,
    functions: ["#oneByOne", "#dispatch", "#icmpSteps", "#portSteps", "#askInside", "#ask", "#askOne"],
    harmless: [
      asksTwice,
      {
        line: /const narrowed/,
        operators: ["swap and/or"],
        why: "a code is never asked for without its service, and no code is what a service has anyway",
      },
    ],
  },
  {
    part: "compile",
    file: `${program}/port-tree.js`,
    functions: ["grow"],
    harmless: [
      {
        line: /inside\.length/,
        operators: ["shift bound"],
        why: "a branch that nobody claims answers nobody",
      },
      {
        line: /rest\.length <= fanOut/,
        operators: ["shift bound"],
        why: "told apart by one stretch more, down to single cells: the same claims on the way to each port",
      },
      {
        line: /part < fanOut/,
        operators: ["shift bound"],
        why: "the part past the last lies outside of the stretch, whose tier no such port enters",
      },
    ],
  },
  {
    part: "render",
    file: `${render}/essential-conditions.js`,
    functions: [
      "essentialConditions",
      "beforeDnat",
      "servicesOf",
      "protocolsOf",
      "typesOf",
      "portsOf",
      "hopLimit",
      "peerTexts",
    ],
  },
  { part: "render", file: `${render}/guard-rules.js`, functions: ["guardRules"] },
  { part: "render", file: `${render}/log-prefix.js`, functions: ["logPrefix", "logName"] },
  {
    part: "render",
    file: `${render}/render-rules.js`,
    functions: [
      "renderRules",
      "renderDirection",
      "judgedRules",
      "stageChains",
      "allowanceRules",
      "relatedConditions",
    ],
    harmless: [
      {
        line: /if \(openings\.length/,
        operators: ["shift bound"],
        why: "one chain more that only goes on",
      },
      { line: /relatedConditions/, operators: ["swap neighbours"], why: "both allow: their order is free" },
      {
        line: /const (?:aboutIcmp|others|aboutAny) =/,
        operators: ["filter nothing"],
        why: "rules about other protocols where only ICMP comes, or about ICMP where none comes",
      },
    ],
  },
  {
    part: "render",
    file: `${render}/restore-text.js`,
    functions: ["switchText", "removalText"],
  },
  {
    part: "render",
    file: `${render}/service-conditions.js`,
    functions: [
      "serviceConditions",
      "protocolCondition",
      "portConditions",
      "multiportChunks",
      "portText",
      "icmpCondition",
      "icmpReplyType",
    ],
    harmless: [
      { line: /chunk\.length/, operators: ["shift bound"], why: "no service has an empty list of ports" },
    ],
  },
  {
    part: "render",
    file: `${render}/set-condition.js`,
    functions: ["matchConditions", "seenService", "setCondition"],
    harmless: [
      {
        line: /const port = /,
        operators: ["swap sides"],
        becomes: /"dst" : "dst"/,
        why: "the port of answers, and no guard asks a set of pairs",
      },
    ],
  },
  { part: "render", file: `${render}/stage-rules.js`, functions: ["tierRules", "hitVerdict"] },
  {
    part: "render",
    file: `${render}/verdict-chains.js`,
    functions: ["denialChain", "refusal", "allowVerdict"],
  },
  {
    part: "plan",
    file: "sdk/dist/reconcile/plan.js",
    functions: [
      "planSafe",
      "planChanges",
      "planRemove",
      "changesInPlace",
      "fits",
      "replacesHalves",
      "conflicts",
      "pushOf",
      "addCommand",
      "deleteCommand",
      "isEmpty",
    ],
    harmless: [
      { line: /room >= 2/, operators: ["shift bound"], why: "a set moves when it is one member less full" },
      {
        line: /added\.hasFamily/,
        operators: ["swap and/or"],
        why: "errs towards moving: a whole family that comes or goes alone",
      },
      {
        line: /slice\(index \+ 1\)/,
        operators: ["off by one"],
        why: "compared with itself as well, a change only errs towards moving",
      },
      { line: /\.\.\.live/, operators: ["swap neighbours"], why: "names that are taken, in any order" },
      {
        line: /names\.add/,
        operators: ["drop what is added"],
        why: "sets have names by their keys: two that are created together never ask for one",
      },
    ],
  },
  {
    part: "plan",
    file: `${program}/set-change.js`,
    functions: ["changeOf", "changeOfPairs", "byPort"],
    harmless: [
      {
        line: /from\.kind === ".*" && to\.kind === /,
        operators: ["swap and/or"],
        why: "both are of one kind: the caller saw to it",
      },
      {
        line: /(?:diffs|known)\.set\(/,
        operators: ["drop what is added"],
        why: "what is not remembered is computed again",
      },
    ],
  },
  {
    part: "plan",
    file: `${program}/set-use.js`,
    functions: ["placesInRules", "noteTier", "note", "servicesMeet", "rangesMeet"],
    harmless: [
      {
        line: /const shadows/,
        operators: ["shift bound", "off by one"],
        why: "errs towards moving: the last step shadows nothing",
      },
      {
        line: /return false;/,
        operators: ["swap answers"],
        why: "errs towards moving: services that do not meet",
      },
      {
        line: /known\.set\(/,
        operators: ["drop what is added"],
        why: "what is not remembered is computed again",
      },
    ],
  },
];

/** Where a function or method of that name begins and ends; null: there is none. */
export function extentOf(
  name: string,
  source: string,
  regions: readonly Region[],
): readonly [number, number] | null {
  const escaped = name.replaceAll("$", "\\$");
  const head = new RegExp(
    `^(?:(?:export )?(?:async )?function ${escaped}\\(| {4}(?:async )?${escaped}\\(.*\\) \\{$)`,
    "m",
  ).exec(source);
  if (head === null) return null;
  let [depth, parentheses] = [0, 0];
  for (let at = head.index; at < source.length; at++) {
    if (regions[at] !== "code") continue;
    const character = source[at];
    if (character === "(") parentheses += 1;
    if (character === ")") parentheses -= 1;
    if (parentheses > 0) continue;
    if (character === "{") depth += 1;
    if (character === "}") depth -= 1;
    if (character === "}" && depth === 0) return [head.index, at + 1];
  }
  return null;
}
