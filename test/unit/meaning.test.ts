import assert from "node:assert/strict";
import { test } from "node:test";
import { evaluate } from "@antenna/sdk/internal/evaluate/evaluate.js";
import { CoverageTable } from "../meaning/coverage-table.js";
import { comparePairs, type MeaningFailure } from "../meaning/pairs.js";
import { runSeed } from "./random.js";

// The rendered text means what the policy means: a tracer that shares nothing with compile and render reads it.

const pairs = Number(process.env.ANTENNA_PAIRS ?? 150_000);
const leastInCell = 50;
const special = [
  ...["untracked", "invalid", "related", "cut", "reply", "later fragment", "discovery from afar"],
  ...[
    "authentication header",
    "settling",
    "reject",
    "onAllow accept",
    "secure",
    "essential by original destination",
  ],
  ...["over the limit", "long rule id", "a set of pairs", "a union of sets", "a tree of tiers"],
];

test(`tracer(render(compile(policy)), packet) is evaluate(policy, packet), ${pairs} pairs`, () => {
  const coverage = new CoverageTable();
  const started = performance.now();
  const result = comparePairs({ seed: runSeed("meaning"), pairs, coverage, evaluate });
  coverage.print(
    `${result.pairs} pairs, ${result.policies} policies, ${Math.round(performance.now() - started)} ms`,
  );
  assert.equal(result.failure, null, explain(result.failure));
  if (pairs >= 50_000) assert.deepEqual(coverage.poor(leastInCell, special), []);
});

function explain(failure: MeaningFailure | null): string {
  return failure === null ? "" : failure.text;
}
