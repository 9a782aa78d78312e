import { evaluate } from "@antenna/sdk";
import { CoverageTable } from "../meaning/coverage-table.js";
import { comparePairs } from "../meaning/pairs.js";
import { checkTransitions } from "../meaning/transitions.js";

// One mutant: the property tests of meaning and of safe applies, each until its first counterexample. Prints which
// test failed, or nothing. Run with `--import replace-module.js`; ANTENNA_PART says what was changed.

const seed = Number(process.env.ANTENNA_SEED);

function caught(test: () => { readonly failure: unknown }): boolean {
  try {
    return test().failure !== null;
  } catch {
    return true;
  }
}

const coverage = new CoverageTable();
const meaning = (pairs: number) => () => comparePairs({ seed: seed + pairs, pairs, coverage, evaluate });
const plan = (transitions: number) => () => checkTransitions({ seed, transitions });
const tests =
  process.env.ANTENNA_PART === "plan"
    ? ([
        ["meaning-plan", plan(3_000)],
        ["meaning", meaning(6_000)],
      ] as const)
    : ([
        ["meaning", meaning(12_000)],
        ["meaning-plan", plan(300)],
        ["meaning", meaning(120_000)],
      ] as const);
const first = tests.find(([, test]) => caught(test));
process.stdout.write(first?.[0] ?? "");
