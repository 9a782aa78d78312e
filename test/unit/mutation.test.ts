import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseMutants } from "../mutation/mutants.js";
import { describeVerdict, runMutants } from "../mutation/run-mutants.js";
import { Random, runSeed } from "./random.js";

const count = 20;

test(`${count} mutants of compile, render and plan are caught`, async () => {
  const seed = runSeed("mutation");
  const mutants = chooseMutants(new Random(seed), count);
  const verdicts = await runMutants(mutants, seed, (verdict) => console.log(describeVerdict(verdict)));
  const survivors = verdicts.filter(({ caughtBy }) => caughtBy === null);
  assert.deepEqual(survivors.map(describeVerdict), []);
});
