import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Random } from "../unit/random.js";
import { allEdits } from "./operators.js";
import { extentOf, type Place, places } from "./places.js";
import { maskSource } from "./source-mask.js";

/** One changed place of one compiled module. */
export interface Mutant {
  readonly part: Place["part"];
  /** Absolute path. */
  readonly file: string;
  readonly operator: string;
  /** The whole module, changed. */
  readonly source: string;
  /** 1-based line of the compiled module. */
  readonly line: number;
  readonly before: string;
  readonly after: string;
  /** Why it cannot change a verdict; null: it can. */
  readonly excuse: string | null;
}

/** From dist/mutation to the repository. */
const root = join(import.meta.dirname, "..", "..", "..");

/**
 * In every module: errors, digests, names and costs decide nothing about a packet. One word of each line's vocabulary
 * is enough to leave it alone.
 */
const meaningless =
  /throw|Error|digest|[hH]ash|Ns\b|Us\b|[cC]ost|[bB]udget|[wW]eigh|signature|capacity|allowance|affords|\blimit\b|operation|message|narrows|frequen|\brank\b|most[A-Z]|least[A-Z]|\.sort\(|^\s*const known\b|cached/;

/** Functions of `places` that are not where they are said to be. */
export function missingFunctions(): readonly string[] {
  return places.flatMap(({ file, functions }) => {
    const path = join(root, file);
    if (!existsSync(path)) return [file];
    const source = readFileSync(path, "utf8");
    const regions = maskSource(source);
    return functions
      .filter((name) => extentOf(name, source, regions) === null)
      .map((name) => `${file} ${name}`);
  });
}

/** Every mutant there is, those that are excused too, in a fixed order. */
function allMutants(): readonly Mutant[] {
  return places.filter(({ file }) => existsSync(join(root, file))).flatMap(mutantsOf);
}

/** `count` mutants without an excuse, of compile, render and plan in turn. */
export function chooseMutants(random: Random, count: number): readonly Mutant[] {
  const all = allMutants().filter(({ excuse }) => excuse === null);
  const parts = (["compile", "render", "plan"] as const).map((part) =>
    all.filter((mutant) => mutant.part === part),
  );
  const chosen: Mutant[] = [];
  for (let turn = 0; chosen.length < count && parts.some((part) => part.length > 0); turn++) {
    const part = parts[turn % parts.length] ?? [];
    if (part.length === 0) continue;
    const [mutant] = part.splice(random.below(part.length), 1);
    if (mutant !== undefined) chosen.push(mutant);
  }
  return chosen;
}

function mutantsOf({ part, file, functions, harmless = [] }: Place): readonly Mutant[] {
  const path = join(root, file);
  const source = readFileSync(path, "utf8");
  const regions = maskSource(source);
  const extents = functions.flatMap((name) => {
    const extent = extentOf(name, source, regions);
    return extent === null ? [] : [extent];
  });
  return allEdits(source, regions).flatMap((edit) => {
    if (!extents.some(([from, to]) => edit.start > from && edit.end < to)) return [];
    const from = source.lastIndexOf("\n", edit.start - 1) + 1;
    const to = source.indexOf("\n", edit.end);
    const before = source.slice(from, to).trim();
    if (meaningless.test(before)) return [];
    const { operator, start, replacement } = edit;
    const changed = source.slice(0, start) + replacement + source.slice(edit.end);
    const after = changed.slice(from, to + changed.length - source.length).trim();
    const line = source.slice(0, start).split("\n").length;
    const excused = harmless.find(
      (each) =>
        each.line.test(before) &&
        (each.operators?.includes(operator) ?? true) &&
        (each.becomes?.test(after) ?? true),
    );
    const excuse = excused?.why ?? null;
    return [{ part, file: path, operator, source: changed, line, before, after, excuse }];
  });
}
