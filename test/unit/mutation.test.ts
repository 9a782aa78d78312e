import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseMutants, missingFunctions } from "../mutation/mutants.js";
import { describeVerdict, runMutants, tryUnchanged } from "../mutation/run-mutants.js";
import { Random, runSeed } from "./random.js";

/** ANTENNA_MUTANTS asks for another number, or for `all`: a quarter of an hour on two cores. */
const { ANTENNA_MUTANTS = "20" } = process.env;
const count = ANTENNA_MUTANTS === "all" ? Number.POSITIVE_INFINITY : Number(ANTENNA_MUTANTS);

test("the places that are mutated exist", () => {
  assert.deepEqual(missingFunctions(), []);
});

const seed = runSeed("mutation");

test("what is not mutated is not caught", async () => {
  assert.deepEqual(await tryUnchanged(seed), []);
});

test(`${ANTENNA_MUTANTS} mutants of compile, render and plan are caught`, async () => {
  const mutants = chooseMutants(new Random(seed), count);
  const verdicts = await runMutants(mutants, seed, (verdict) => console.log(describeVerdict(verdict)));
  const survivors = verdicts.filter(({ caughtBy }) => caughtBy === null);
  assert.deepEqual(survivors.map(describeVerdict), []);
});
