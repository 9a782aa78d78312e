import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { AntennaError, Policy, RuleProgram } from "@antenna/sdk";
import { AddressSet } from "@antenna/sdk/internal/policy/address-set.js";
import { compile } from "@antenna/sdk/internal/program/compile.js";
import { predictCost, requireAffordable } from "@antenna/sdk/internal/program/cost.js";

function policyOf(members: number): Policy {
  const builder = AddressSet.builder();
  for (let index = 0; index < members; index++) builder.add4(0x0b00_0000 + index);
  return {
    version: null,
    mode: "full",
    visibility: "off",
    reject: false,
    sets: new Map([["web", builder.build()]]),
    rules: [
      { id: "r", direction: "in", action: "allow", peers: ["web"], services: null, secure: false },
      { id: "s", direction: "out", action: "deny", peers: ["web"], services: null, secure: false },
    ],
    enforce: [],
    identities: new Map(),
  };
}

describe("predictCost", () => {
  test("idle costs nothing", () => {
    assert.deepEqual(predictCost(null), { rules: 0, members: 0, memoryKiB: 0, applyMs: 0 });
  });

  test("a set counts once however many rules name it, and more members cost more", () => {
    const [small, large] = [1000, 100_000].map((members) => predictCost(compile(policyOf(members))));
    assert.equal(small?.members, 1000);
    assert.equal(large?.members, 100_000);
    assert.equal(small?.rules, large?.rules);
    assert.ok(
      (large?.memoryKiB ?? 0) > (small?.memoryKiB ?? 0) && (large?.applyMs ?? 0) > (small?.applyMs ?? 0),
    );
  });

  test("half a million members are admitted, one more is refused with the reason", () => {
    const fits = predictCost(compile(policyOf(500_000)) as RuleProgram);
    requireAffordable(fits, 500_000);
    assert.throws(
      () => requireAffordable({ ...fits, members: 500_001 }, 500_000),
      (error: AntennaError) => error.code === "over-budget" && error.problems[0]?.path === "sets",
    );
  });
});
