import assert from "node:assert/strict";
import { test } from "node:test";
import { checkTransitions } from "../meaning/transitions.js";
import { runSeed } from "./random.js";

const transitions = Number(process.env.ANTENNA_TRANSITIONS ?? 2_000);

test(`every state between two policies gives each packet the old verdict or the new one, ${transitions} pairs`, () => {
  const started = performance.now();
  const { failure, commands, ...counts } = checkTransitions({ seed: runSeed("meaning-plan"), transitions });
  console.log(JSON.stringify({ ...counts, ...commands, ms: Math.round(performance.now() - started) }));
  assert.equal(failure, null, failure ?? "");
  if (transitions < 1_000) return;
  for (const [kind, count] of Object.entries(commands)) assert.ok(count >= 50, `${kind}: only ${count}`);
  assert.ok(counts.crashes >= 50);
});
