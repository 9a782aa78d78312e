import { evaluate } from "@antenna/sdk";
import { CoverageTable } from "../meaning/coverage-table.js";
import { comparePairs } from "../meaning/pairs.js";
import { checkTransitions } from "../meaning/transitions.js";

// One mutant: the property tests of meaning and of safe applies, each until its first counterexample. Prints a dot for
// every batch that passed, as a sign of life, then which test failed, if any. Run with `--import replace-module.js`;
// ANTENNA_PART says what was changed, ANTENNA_TRIAL whether it is the `short` trial, in which most mutants die, or the
// `long` one.

const seed = Number(process.env.ANTENNA_SEED);
const coverage = new CoverageTable();

type Batch = (seed: number) => { readonly failure: unknown };
const meaning: Batch = (seed) => comparePairs({ seed, pairs: 4_000, coverage, evaluate });
const plan: Batch = (seed) => checkTransitions({ seed, transitions: 300 });

const plans = process.env.ANTENNA_PART === "plan";
const long = process.env.ANTENNA_TRIAL === "long";
/** Which tests in which order, and how many batches of each. */
const rounds: readonly (readonly [name: string, batch: Batch, count: number])[] = plans
  ? [
      ["meaning-plan", plan, long ? 40 : 5],
      ["meaning", meaning, long ? 2 : 0],
    ]
  : [
      ["meaning", meaning, long ? 40 : 5],
      ["meaning-plan", plan, long ? 2 : 0],
    ];

function catches(batch: Batch, seed: number): boolean {
  try {
    return batch(seed).failure !== null;
  } catch {
    return true;
  }
}

function judge(): string {
  let number = long ? 1_000 : 0;
  for (const [name, batch, count] of rounds) {
    for (let done = 0; done < count; done++) {
      number += 1;
      if (catches(batch, seed + number * 0x9e37)) return name;
      process.stdout.write(".");
    }
  }
  return "";
}

process.stdout.write(judge());
