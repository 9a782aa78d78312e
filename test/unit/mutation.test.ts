import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseMutants, missingFunctions } from "../mutation/mutants.js";
import { describeVerdict, runMutants } from "../mutation/run-mutants.js";
import { Random, runSeed } from "./random.js";

const count = 20;
/** The same twenty in every run, so that a survivor means that something changed; ANTENNA_SEED asks for others. */
const usualSeed = 3;

test("the places that are mutated exist", () => {
  assert.deepEqual(missingFunctions(), []);
});

test(`${count} mutants of compile, render and plan are caught`, async () => {
  const seed = process.env.ANTENNA_SEED === undefined ? usualSeed : runSeed("mutation");
  const mutants = chooseMutants(new Random(seed), count);
  const verdicts = await runMutants(mutants, seed, (verdict) => console.log(describeVerdict(verdict)));
  const survivors = verdicts.filter(({ caughtBy }) => caughtBy === null);
  assert.deepEqual(survivors.map(describeVerdict), []);
});
