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
  { part: "compile", file: `${program}/service-map.js`, functions: ["claim", "sweep", "entryOf"] },
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
        line: /\.filter\(|known\.has/,
        why: "leaves out whoever may the same already; who is asked twice may twice",
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
        line: /./,
        operators: ["swap neighbours"],
        why: "any of the steps of an allow stage will do: their order is free",
      },
    ],
  },
  {
    part: "compile",
    file: `${program}/deny-layout.js`,
    functions: ["#oneByOne", "#dispatch", "#icmpSteps", "#portSteps", "#askInside", "#ask", "#askOne"],
    harmless: [asksTwice],
  },
  { part: "compile", file: `${program}/port-tree.js`, functions: ["grow"] },
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
    functions: ["renderRules", "renderDirection", "relatedConditions"],
    harmless: [
      {
        line: /answers\.length|openings\.length/,
        operators: ["shift bound"],
        why: "one chain more that only goes on",
      },
      { line: /relatedConditions/, operators: ["swap neighbours"], why: "both allow: their order is free" },
    ],
  },
  {
    part: "render",
    file: `${render}/restore-text.js`,
    functions: ["switchText", "removalText"],
    harmless: [{ line: /./, operators: ["filter nothing"], why: "writes once more what stands already" }],
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
      { line: /slots \+ takes/, operators: ["shift bound"], why: "shorter lists, more of them" },
      { line: /chunk\.length/, operators: ["shift bound"], why: "no service has an empty list of ports" },
    ],
  },
  {
    part: "render",
    file: `${render}/set-condition.js`,
    functions: ["matchConditions", "seenService", "setCondition"],
    harmless: [{ line: /const port = /, why: "no guard asks a set of pairs: answers never get there" }],
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
      "planRemove",
      "changesInPlace",
      "fits",
      "conflicts",
      "pushOf",
      "addCommand",
      "deleteCommand",
      "isEmpty",
    ],
    harmless: [
      { line: /room/, why: "how full a set may get before it moves" },
      { line: /slice\(index \+ 1\)/, why: "a change compared with itself only errs towards moving" },
      { line: /names\.add|\.\.\.live/, why: "sets have names by their keys: two never ask for one" },
    ],
  },
  {
    part: "plan",
    file: `${program}/set-change.js`,
    functions: ["changeOf", "changeOfPairs", "byPort"],
    harmless: [
      { line: /\.kind === /, why: "both are of one kind: the caller saw to it" },
      { line: /diffs\.set|known\.set/, why: "what is not remembered is computed again" },
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
        why: "errs towards moving: the last tier shadows nothing",
      },
      { line: /return false;/, operators: ["swap answers"], why: "errs towards moving: they do not meet" },
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
