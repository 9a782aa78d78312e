import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FleetPolicies } from "@antenna/controller/internal/compute/fleet-policies.js";
import { emptyLabelPolicy } from "@antenna/controller/internal/policy/model.js";
import { labelPolicyFrom } from "@antenna/controller/internal/policy/parse.js";
import { compareVersions, type Policy, policyDigest } from "@antenna/sdk";
import { randomFacts, randomLabelPolicy } from "./controller-fleet-arbitrary.js";
import { ModelFleet } from "./controller-rollout-fleet.js";
import { Random, runSeed } from "./random.js";

const seed = runSeed("controller-rollout-walk");

/** Digests of everyone's policy under a revision, from scratch. */
function digestsUnder(fleet: ModelFleet, revision: number): ReadonlyMap<string, string> {
  const policy = fleet.policies.get(revision) ?? emptyLabelPolicy;
  const scratch = new FleetPolicies({ policy, controller: null, workloads: fleet.facts.values() });
  return new Map(Array.from(scratch.workloads(), (id) => [id, policyDigest(scratch.policyOf(id) as Policy)]));
}

function requireOrder(fleet: ModelFleet): void {
  for (const { offers, workload } of fleet.agents.values()) {
    for (let at = Math.max(1, offers.length - 3); at < offers.length; at++) {
      const [before, after] = [offers[at - 1], offers[at]];
      if (before === undefined || after === undefined) continue;
      const order = compareVersions(after.version, before.version);
      assert.ok(order >= 0, `${workload} got a lower version`);
      if (order === 0)
        assert.equal(after.digest, before.digest, `${workload} got one version with two contents`);
    }
  }
}

/** Whoever is offered something gets the content in force or, on probation or confirmed, that of the revision in waves. */
function requireKnownContent(fleet: ModelFleet): void {
  const { inForce, inWaves } = fleet.rollout;
  const [good, next] = [digestsUnder(fleet, inForce), inWaves === null ? null : digestsUnder(fleet, inWaves)];
  for (const { offer, workload } of fleet.agents.values()) {
    if (offer === null || offer.digest === good.get(workload)) continue;
    assert.equal(offer.digest, next?.get(workload), `${workload} was offered content that nobody asked for`);
  }
  const states = Array.from(fleet.revisions.values());
  assert.ok(states.filter((state) => state === "in-force").length <= 1);
  assert.equal(states.filter((state) => state === "in-waves").length, inWaves === null ? 0 : 1);
  if (inForce !== 0) assert.equal(fleet.revisions.get(inForce), "in-force");
}

function step(fleet: ModelFleet, random: Random): void {
  const ids = [...fleet.facts.keys()];
  const online = ids.filter((id) => fleet.agent(id).online);
  const offered = fleet.offered();
  const choice = random.below(100);
  if (choice < 10) fleet.apply(labelPolicyFrom(randomLabelPolicy(random)));
  else if (choice < 25) fleet.put(randomFacts(random, random.below(14)));
  else if (choice < 28 && ids.length > 4) fleet.leave(random.pick(ids));
  else if (choice < 45) {
    const away = ids.filter((id) => !fleet.agent(id).online);
    if (away.length > 0) fleet.connect(random.pick(away));
  } else if (choice < 50 && online.length > 0) fleet.disconnect(random.pick(online));
  else if (choice < 53) fleet.restart();
  else if (choice < 60) fleet.pass(random.below(20_000));
  else if (choice < 62 && online.length > 0) fleet.report(random.pick(online));
  else if (choice < 63) fleet.raiseEpoch();
  else if (offered.length > 0) {
    const workload = random.pick(offered);
    const { offer } = fleet.agent(workload);
    const bad = offer?.probation === true && random.chance(0.4);
    if (!bad) fleet.confirm(workload);
    else {
      const revision = fleet.issued.get(workload)?.revision;
      const result = random.pick(["rolled-back", "refused", "interrupted"] as const);
      fleet.fail(workload, result);
      if (result !== "interrupted") requireWithdrawn(fleet, workload, revision);
    }
  }
}

/** The first failure ends the waves: nobody is left to get the revision. */
function requireWithdrawn(fleet: ModelFleet, workload: string, revision: number | undefined): void {
  assert.ok(revision !== undefined);
  assert.equal(fleet.revisions.get(revision), "withdrawn", `${workload} failed with revision ${revision}`);
  for (const [id, issued] of fleet.issued) {
    if (fleet.agent(id).online)
      assert.notEqual(issued.revision, revision, `${id} keeps the withdrawn revision`);
  }
}

describe("a rollout, over random histories of a fleet,", () => {
  test("never lowers a version, gives nobody unknown content, and ends with everyone in sync", () => {
    let withdrawn = 0;
    for (let run = 0; run < 40; run++) {
      const random = new Random(seed + run);
      const fleet = new ModelFleet();
      for (let number = 0; number < 10; number++) fleet.put(randomFacts(random, number));
      let restore = fleet.backup();
      for (let count = 0; count < 60; count++) {
        try {
          if (random.chance(0.05)) restore = fleet.backup();
          if (random.chance(0.02)) restore();
          step(fleet, random);
          requireOrder(fleet);
          // From scratch, so it is not done at every step.
          if (count % 4 === 0) requireKnownContent(fleet);
        } catch (reason) {
          throw new Error(`run ${run}, step ${count}: ${String(reason)}`, { cause: reason });
        }
      }
      withdrawn += Array.from(fleet.revisions.values()).filter((state) => state === "withdrawn").length;
      // Everybody comes back, gets beyond what a restored controller does not know of, and confirms: the waves end.
      fleet.pass(fleet.windowMs);
      for (const id of fleet.facts.keys()) if (!fleet.agent(id).online) fleet.connect(id);
      fleet.raiseEpoch();
      fleet.settle();
      assert.equal(fleet.rollout.inWaves, null, `run ${run}: waves without end`);
      const digests = digestsUnder(fleet, fleet.rollout.inForce);
      for (const [id, digest] of digests) {
        assert.equal(fleet.agent(id).applied?.digest, digest, `run ${run}: ${id} is not in sync`);
        assert.equal(fleet.rollout.target(id)?.probation, false);
      }
      assert.equal(fleet.rollout.deadline, null);
    }
    assert.ok(withdrawn > 2, `${withdrawn} revisions were withdrawn`);
  });
});
