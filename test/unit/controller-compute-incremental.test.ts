import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { WorkloadFacts } from "@antenna/controller/internal/compute/facts.js";
import { FleetPolicies } from "@antenna/controller/internal/compute/fleet-policies.js";
import { deltaBetween } from "@antenna/controller/internal/compute/shared-delta.js";
import { labelPolicyFrom, parseLabelPolicy } from "@antenna/controller/internal/policy/parse.js";
import { applyDelta, type Policy, policyChunks, policyDigest, policyFrom } from "@antenna/sdk";
import { controllerFacts, randomFacts, randomLabelPolicy } from "./controller-fleet-arbitrary.js";
import { Random, runSeed } from "./random.js";

const seed = runSeed("controller-compute-incremental");

function digestsOf(fleet: FleetPolicies): ReadonlyMap<string, string> {
  return new Map(
    Array.from(fleet.workloads())
      .sort()
      .map((id) => [id, policyDigest(fleet.policyOf(id) as Policy)]),
  );
}

function asRead(policy: Policy): string {
  return policyDigest(policyFrom(JSON.parse([...policyChunks(policy)].join(""))));
}

describe("a fleet's policies, kept up to date", () => {
  test("are those computed from scratch, over random histories, and exactly the changed ones are told", () => {
    for (let run = 0; run < 30; run++) {
      const random = new Random(seed + run);
      const facts = new Map<string, WorkloadFacts>();
      let policy = labelPolicyFrom(randomLabelPolicy(random));
      let fleet = new FleetPolicies({ policy, controller: controllerFacts });
      for (let step = 0; step < 25; step++) {
        const before = new Map(Array.from(fleet.workloads()).map((id) => [id, fleet.policyOf(id)]));
        if (random.chance(0.1)) {
          policy = labelPolicyFrom(randomLabelPolicy(random));
          fleet = fleet.withLabelPolicy(policy);
        } else {
          const put = Array.from({ length: random.between(0, 3) }, () => change(random, facts));
          const gone = random.chance(0.3) ? [`w-${random.below(12)}`] : [];
          for (const id of gone) facts.delete(id);
          for (const each of put) facts.set(each.id, each);
          const changes = fleet.update({ put, gone });
          for (const { workload, before: old, after } of changes) {
            assert.equal(after, fleet.policyOf(workload));
            assert.notEqual(old, after);
            if (old !== null)
              assert.equal(policyDigest(applyDelta(old, deltaBetween(old, after))), policyDigest(after));
          }
          const told = new Map(changes.map((each) => [each.workload, each.before]));
          for (const id of fleet.workloads()) {
            const isNew = !before.has(id);
            const changed = isNew || fleet.policyOf(id) !== before.get(id);
            assert.equal(told.has(id), changed, `${id} in run ${run}, step ${step}`);
          }
        }
        const scratch = new FleetPolicies({
          policy,
          controller: controllerFacts,
          workloads: Array.from(facts.values()).sort(() => (random.chance(0.5) ? 1 : -1)),
        });
        assert.deepEqual(digestsOf(fleet), digestsOf(scratch), `run ${run}, step ${step}`);
        for (const id of fleet.workloads()) {
          const [old, now] = [before.get(id), fleet.policyOf(id)];
          if (old && now && policyDigest(old) === policyDigest(now))
            assert.equal(old, now, `${id} is another object`);
        }
      }
      for (const id of fleet.workloads()) {
        const now = fleet.policyOf(id) as Policy;
        assert.equal(asRead(now), policyDigest(now), "a policy is not in normal form");
      }
    }
  });

  test("stay as they are where a change is none of their business", () => {
    const fleet = shop(60);
    const changes = fleet.join(workload(900, "other", "none"));
    assert.deepEqual(
      changes.map(({ workload: id, before }) => [id, before]),
      [["w-900", null]],
    );
    const web = fleet.join(workload(901, "shop", "web"));
    const told = web.map(({ workload: id }) => fleet.factsOf(id)?.labels.get("role"));
    assert.deepEqual([...new Set(told)].sort(), ["app", "web"]);
    assert.equal(told.filter((role) => role === "web").length, 1);
  });

  test("are one object, and one delta, for all that the same rules apply to", () => {
    const fleet = shop(60);
    const policies = new Set(Array.from(fleet.workloads()).map((id) => fleet.policyOf(id)));
    assert.equal(policies.size, 3);
    const changes = fleet.join(workload(901, "shop", "web")).filter(({ before }) => before !== null);
    assert.equal(changes.length, 20);
    assert.equal(new Set(changes.map(({ before, after }) => before && deltaBetween(before, after))).size, 1);
  });

  test("share their sets with those of the label policy after it, and stay the same object where nothing changes", () => {
    const fleet = shop(60);
    const next = fleet.withLabelPolicy(
      parseLabelPolicy(`${shopText}      - { from: { role: db }, to: { ipList: any } }\n`),
    );
    for (const id of fleet.workloads()) {
      const [before, after] = [fleet.policyOf(id) as Policy, next.policyOf(id) as Policy];
      if (fleet.factsOf(id)?.labels.get("role") === "db") assert.notEqual(before, after);
      else assert.equal(before, after);
      for (const [name, set] of before.sets) assert.equal(after.sets.get(name), set);
    }
  });

  test("take nothing in when an address is none", () => {
    const fleet = shop(3);
    const before = digestsOf(fleet);
    const bad = {
      ...workload(901, "shop", "web"),
      addresses: [{ address: "10.0.0.999", scope: "routable" as const }],
    };
    assert.throws(() => fleet.update({ put: [workload(900, "shop", "web"), bad] }));
    assert.deepEqual(digestsOf(fleet), before);
  });

  test("name rules and sets by the label policy alone, and no rule by its place", () => {
    const [one, other] = [shop(3), shop(60)];
    const namesOf = (fleet: FleetPolicies) =>
      ["w-0", "w-1", "w-2"].map((id) => {
        const policy = fleet.policyOf(id) as Policy;
        return [policy.rules.map((rule) => rule.id), [...policy.sets.keys()]];
      });
    assert.deepEqual(namesOf(one), namesOf(other));
    assert.deepEqual(namesOf(one), [
      [["shop: role=web to role=app, http (out)".replace(/role/g, "app=shop role")], ["app=shop role=app"]],
      [
        [
          "shop: app=shop role=web to app=shop role=app, http (in)",
          "shop: secure app=shop role=app to app=shop role=db, {tcp 5432} (out)",
        ],
        ["app=shop role=db", "app=shop role=web"],
      ],
      [["shop: secure app=shop role=app to app=shop role=db, {tcp 5432} (in)"], ["app=shop role=app"]],
    ]);
  });

  test("know who answers at the peers of secure rules", () => {
    const fleet = shop(6);
    assert.deepEqual(
      [...(fleet.policyOf("w-1") as Policy).identities],
      [
        ["10.0.0.2", "w-2.antenna"],
        ["10.0.0.5", "w-5.antenna"],
      ],
    );
    assert.equal((fleet.policyOf("w-0") as Policy).identities.size, 0);
    // The address stays in the set, and somebody else answers.
    const moved = {
      ...workload(7, "shop", "db"),
      addresses: [{ address: "10.0.0.2", scope: "routable" as const }],
    };
    const changes = fleet.update({ put: [moved], gone: ["w-2"] });
    assert.deepEqual(changes.map((each) => each.workload).sort(), ["w-1", "w-4", "w-7"]);
    assert.equal((fleet.policyOf("w-1") as Policy).identities.get("10.0.0.2"), "w-7.antenna");
  });
});

const shopText = `
services: { http: [{ protocol: tcp, ports: [80] }] }
enforcement: [{ match: { app: shop }, mode: full }]
rulesets:
  - name: shop
    scope: { app: shop }
    rules:
      - { from: { role: web }, to: { role: app }, services: [http] }
      - { from: { role: app }, to: { role: db }, services: [{ protocol: tcp, ports: [5432] }], secure: true }
`;

function shop(count: number): FleetPolicies {
  const roles = ["web", "app", "db"];
  const workloads = Array.from({ length: count }, (_, at) => workload(at, "shop", roles[at % 3] as string));
  return new FleetPolicies({ policy: parseLabelPolicy(shopText), controller: null, workloads });
}

function workload(number: number, app: string, role: string): WorkloadFacts {
  return {
    id: `w-${number}`,
    labels: new Map([
      ["app", app],
      ["role", role],
    ]),
    addresses: [{ address: `10.0.${number >> 8}.${number & 255}`, scope: "routable" }],
    host: null,
  };
}

/** A join, a move, other labels, or all of it at once. */
function change(random: Random, facts: ReadonlyMap<string, WorkloadFacts>): WorkloadFacts {
  const number = random.below(12);
  const next = randomFacts(random, number);
  const old = facts.get(`w-${number}`);
  if (old === undefined || random.chance(0.2)) return next;
  return random.chance(0.5) ? { ...old, addresses: next.addresses } : { ...old, labels: next.labels };
}
