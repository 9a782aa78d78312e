import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { multiportChunks } from "@antenna/netfilter/internal/render/service-conditions.js";
import type { PortRange, Rule, Service, ServiceTest, Tier } from "@antenna/sdk";
import { AllowLayout } from "@antenna/sdk/internal/program/allow-layout.js";
import { type CostModel, measuredCosts } from "@antenna/sdk/internal/program/cost-model.js";
import { DenyLayout } from "@antenna/sdk/internal/program/deny-layout.js";
import { type DenyPlan, planDeny } from "@antenna/sdk/internal/program/deny-plan.js";
import { PeerLookup } from "@antenna/sdk/internal/program/peer-lookup.js";
import { mapServices, type ServiceMap } from "@antenna/sdk/internal/program/service-map.js";
import { SetCatalogue } from "@antenna/sdk/internal/program/set-catalogue.js";
import { nestedTiers } from "@antenna/sdk/internal/program/step.js";
import { randomPorts } from "./arbitrary-policy.js";
import { Random, runSeed } from "./random.js";

// What a layout promises beside its meaning: it keeps to its limits, and meets them exactly.

describe("a plan of questions", () => {
  test("is complete, or is not there when it would be longer than its limit", () => {
    const random = new Random(runSeed("meaning-limits"));
    for (let round = 0; round < 200; round++) {
      const rules = Array.from({ length: random.between(1, 6) }, (_, index) =>
        rule(index, [`set-${index}`], random.chance(0.1) ? null : [randomService(random)]),
      );
      const whole = planDeny(rules, Number.POSITIVE_INFINITY) as DenyPlan;
      const lists = whole.protocols.flatMap((each) => [each.whole, ...each.cells.map((c) => c.questions)]);
      const questions = [...lists, whole.everything].reduce((sum, list) => sum + list.length, 0);
      for (let limit = 0; limit < questions; limit++) assert.equal(planDeny(rules, limit), null);
      assert.deepEqual(planDeny(rules, questions), whole);
    }
  });
});

describe("a map of services", () => {
  test("has cells apart from each other, and what lies side by side differs", () => {
    const random = new Random(runSeed("meaning-limits cells"));
    for (let round = 0; round < 500; round++) {
      const claims = Array.from({ length: random.between(1, 8) }, () => ({
        service: randomService(random),
        claimant: random.below(3),
      }));
      const { protocols } = mapServices(claims, Number.POSITIVE_INFINITY) as ServiceMap;
      for (const { cells } of protocols.values()) {
        for (const [index, cell] of cells.entries()) {
          const next = cells[index + 1];
          if (next === undefined) continue;
          assert.ok(next.from > cell.to, JSON.stringify(cells));
          if (next.from === cell.to + 1) assert.notEqual(next.signature, cell.signature);
        }
      }
    }
  });
});

describe("a match of ports", () => {
  test("is one as long as it holds them: fifteen, a range counting as two", () => {
    const single = (count: number) =>
      Array.from({ length: count }, (_, index) => ({ from: index * 3, to: index * 3 }));
    const range = { from: 60_000, to: 60_001 };
    const matches = (ports: readonly PortRange[]) => multiportChunks(ports, "destination").length;
    assert.deepEqual([single(15), single(16)].map(matches), [1, 2]);
    assert.deepEqual(
      [
        [...single(13), range],
        [...single(14), range],
      ].map(matches),
      [1, 2],
    );
  });
});

describe("a stage", () => {
  const shapes = [
    { name: "short lists", names: ["a"], listBudgetNs: measuredCosts.listBudgetNs },
    { name: "lists behind a union", names: ["a", "b", "c"], listBudgetNs: 0 },
  ];
  for (const { name, names, listBudgetNs } of shapes) {
    test(`nests no more tiers than it may, and none of them is longer than its tree branches, ${name}`, () => {
      for (const fanOut of [2, 3, 8]) {
        const costs = { ...measuredCosts, stageBudgetNs: 0, listBudgetNs, memberApplyUs: 1e6, fanOut };
        for (let levels = 1; levels <= 5; levels++) {
          for (let ports = 1; ports <= 40; ports++) {
            const rules = Array.from({ length: ports }, (_, index) =>
              rule(index, names, [service(6, index * 2 + 1)]),
            );
            for (const [action, tier] of Object.entries(layouts(rules, costs, levels))) {
              const depth = nestedTiers(tier);
              const where = `${action}, fan-out ${fanOut}, ${levels} levels, ${ports} ports`;
              assert.ok(depth <= levels, `${where}: ${depth} tiers`);
              const enough = names.length === 1 ? fanOut ** (levels - 1) : 0;
              if (enough >= ports) assert.ok(longest(tier) <= fanOut, `${where}: ${longest(tier)} steps`);
            }
          }
        }
      }
    });
  }
});

describe("an allow stage", () => {
  test("has narrow claims in a set of pairs, where ipset knows the port, and asks only for the rest beside it", () => {
    const costs = { ...measuredCosts, stageBudgetNs: 0, memberApplyUs: 0, ruleApplyUs: 1e6 };
    const wide = { ...service(6, null), ports: [{ from: 1_000, to: 50_000 }] };
    const rules = [service(6, 80), wide, service(33, 80), { ...service(1, null), icmpType: 8, icmpCode: 0 }];
    const catalogue = catalogueOf(costs);
    const layout = new AllowLayout(new PeerLookup(catalogue, costs), catalogue, costs, 3);
    const tier = layout.lay(
      rules.map((each, index) => rule(index, ["a"], [each])),
      "pairs",
    );
    const recipe = catalogue.recipes.get("pairs");
    assert.deepEqual(recipe, { kind: "pairs", parts: [{ names: ["a"], protocol: 6, ports: [80] }] });
    const asked = services(tier).filter(({ protocol, ports }) => protocol === 6 && ports !== null);
    assert.ok(asked.length > 0);
    for (const { ports } of asked) assert.ok(ports?.every(({ from }) => from >= 1_000));
  });

  test("asks for a type of ICMP once, whatever its code", () => {
    const rules = [8, 9].map((icmpType, index) => rule(index, ["a"], [{ ...service(1, null), icmpType }]));
    const asked = services(layouts(rules, measuredCosts, 3).allow);
    assert.deepEqual(
      asked.map(({ icmpType, icmpCode }) => [icmpType, icmpCode]),
      [
        [8, null],
        [9, null],
      ],
    );
  });
});

function services({ steps }: Tier): readonly ServiceTest[] {
  return steps.flatMap(({ match, then: outcome }) => [
    ...(match.service === null ? [] : [match.service]),
    ...(outcome.kind === "tier" ? services(outcome.tier) : []),
  ]);
}

function catalogueOf(costs: CostModel): SetCatalogue {
  const weights = new Map(["a", "b", "c"].map((name) => [name, { members: 8, prefixLengths: 1 }]));
  return new SetCatalogue(weights, costs, 500_000);
}

function layouts(rules: readonly Rule[], costs: CostModel, levels: number): Record<"allow" | "deny", Tier> {
  const catalogue = catalogueOf(costs);
  const lookup = new PeerLookup(catalogue, costs);
  return {
    allow: new AllowLayout(lookup, catalogue, costs, levels).lay(rules, "pairs"),
    deny: new DenyLayout(lookup, catalogue, costs, levels).lay(rules),
  };
}

function longest({ steps }: Tier): number {
  const below = steps.map(({ then: outcome }) => (outcome.kind === "tier" ? longest(outcome.tier) : 0));
  return Math.max(steps.length, ...below);
}

function rule(index: number, peers: readonly string[], services: readonly Service[] | null): Rule {
  return { id: `rule-${index}`, direction: "in", action: "deny", peers, services, secure: false };
}

function service(protocol: number, port: number | null): Service {
  const ports = port === null ? null : [{ from: port, to: port }];
  return { protocol, ports, icmpType: null, icmpCode: null };
}

function randomService(random: Random): Service {
  if (random.chance(0.2)) return service(6, null);
  if (random.chance(0.2))
    return { ...service(1, null), icmpType: random.below(3), icmpCode: random.below(2) };
  return { ...service(6, null), ports: randomPorts(random) };
}
