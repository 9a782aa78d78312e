import { evaluate } from "@antenna/sdk";
import { CoverageTable } from "../meaning/coverage-table.js";
import { comparePairs } from "../meaning/pairs.js";
import { checkTransitions } from "../meaning/transitions.js";

// One mutant: the property tests of meaning and of safe applies, each until its first counterexample. Prints which
// test failed, or nothing. Run with `--import replace-module.js`.

const seed = Number(process.env.ANTENNA_SEED);
const pairs = Number(process.env.ANTENNA_PAIRS ?? 60_000);
const transitions = Number(process.env.ANTENNA_TRANSITIONS ?? 600);

function caught(test: () => { readonly failure: unknown }): boolean {
  try {
    return test().failure !== null;
  } catch {
    return true;
  }
}

const coverage = new CoverageTable();
const tests = [
  ["meaning", () => comparePairs({ seed, pairs: pairs / 10, coverage, evaluate })],
  ["meaning-plan", () => checkTransitions({ seed, transitions })],
  ["meaning", () => comparePairs({ seed: seed + 1, pairs, coverage, evaluate })],
] as const;
const first = tests.find(([, test]) => caught(test));
process.stdout.write(first?.[0] ?? "");
