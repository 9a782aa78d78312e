import type { Region } from "./source-mask.js";

/** One change of a source: the characters from `start` to `end` become `replacement`. */
export interface Edit {
  readonly operator: string;
  readonly start: number;
  readonly end: number;
  readonly replacement: string;
}

interface Operator {
  readonly name: string;
  readonly edits: (source: string, regions: readonly Region[]) => readonly Edit[];
}

/** Every place of the source that some operator can change. */
export function allEdits(source: string, regions: readonly Region[]): readonly Edit[] {
  return operators.flatMap((operator) => operator.edits(source, regions));
}

/** Replaces what a pattern finds in one region. */
function swap(
  name: string,
  region: Region,
  pattern: RegExp,
  replace: (found: RegExpExecArray) => string,
): Operator {
  return {
    name,
    edits: (source, regions) =>
      [...source.matchAll(pattern)]
        .filter((found) => regions[found.index] === region)
        .map((found) => ({
          operator: name,
          start: found.index,
          end: found.index + found[0].length,
          replacement: replace(found as RegExpExecArray),
        })),
  };
}

function table(pairs: Readonly<Record<string, string>>): (found: RegExpExecArray) => string {
  return (found) => pairs[found[0]] ?? found[0];
}

const operators: readonly Operator[] = [
  { name: "negate condition", edits: negatedConditions },
  swap("swap equality", "code", /===|!==/g, table({ "===": "!==", "!==": "===" })),
  swap("swap and/or", "code", /&&|\|\|/g, table({ "&&": "||", "||": "&&" })),
  swap(
    "shift bound",
    "code",
    / (?:<=|>=|<|>) /g,
    table({ " < ": " <= ", " <= ": " < ", " > ": " >= ", " >= ": " > " }),
  ),
  swap("off by one", "code", / [+-] 1\b(?!\.)/g, () => ""),
  swap(
    "swap sides",
    "string",
    /\b(?:src|dst|sport|dport|REPLY|ORIGINAL)\b|(?<=["`])(?:in|out|-s|-d|-i|-o)(?=["`])/g,
    table({
      ...{ src: "dst", dst: "src", sport: "dport", dport: "sport", REPLY: "ORIGINAL", ORIGINAL: "REPLY" },
      ...{ in: "out", out: "in", "-s": "-d", "-d": "-s", "-i": "-o", "-o": "-i" },
    }),
  ),
  swap(
    "swap verdict",
    "string",
    /-j (?:DROP|RETURN|ACCEPT)/g,
    table({ "-j DROP": "-j RETURN", "-j RETURN": "-j DROP", "-j ACCEPT": "-j RETURN" }),
  ),
  swap("swap action", "string", /(?<=")(?:allow|deny)(?=")/g, table({ allow: "deny", deny: "allow" })),
  swap("skip a family", "code", /\[4, 6\]/g, () => "[4]"),
  swap("some for every", "code", /\.(?:some|every)\(/g, table({ ".some(": ".every(", ".every(": ".some(" })),
  swap("filter nothing", "code", /\.filter\(/g, () => ".filter(() => true, "),
  swap("forget to reverse", "code", /\.reverse\(\)/g, () => ""),
  swap("forget the last", "code", /(?<=\[(?:\d+, )*\d+), \d+(?=\])/g, () => ""),
  swap("drop what is added", "code", /^ +[\w.#[\]]+\.(?:push|add|set|delete)\(.*\);$/gm, () => ";"),
  swap("drop an element", "code", /^ +\.\.\.\(?[^;{}]*,$/gm, () => ""),
  swap("swap neighbours", "code", /^( +\.\.\.[^;{}]*,)\n( +\.\.\.[^;{}]*,)$/gm, ([, a, b]) => `${b}\n${a}`),
  swap(
    "swap answers",
    "code",
    /\breturn (?:true|false);/g,
    table({ "return true;": "return false;", "return false;": "return true;" }),
  ),
];

function negatedConditions(source: string, regions: readonly Region[]): readonly Edit[] {
  return [...source.matchAll(/\bif \(/g)]
    .filter((found) => regions[found.index] === "code")
    .map((found) => {
      const start = found.index + found[0].length - 1;
      const end = closingParenthesis(source, regions, start);
      return { operator: "negate condition", start, end, replacement: `(!${source.slice(start, end)})` };
    });
}

function closingParenthesis(source: string, regions: readonly Region[], from: number): number {
  let depth = 0;
  for (let at = from; at < source.length; at++) {
    if (regions[at] !== "code") continue;
    if (source[at] === "(") depth += 1;
    if (source[at] === ")") depth -= 1;
    if (depth === 0) return at + 1;
  }
  throw new Error("an open parenthesis");
}
