import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Decision, Essential, Packet, Policy, RuleProgram, Tier } from "@antenna/sdk";
import { builtinEssentials } from "@antenna/sdk/internal/evaluate/essentials.js";
import { evaluate } from "@antenna/sdk/internal/evaluate/evaluate.js";
import { AddressSet } from "@antenna/sdk/internal/policy/address-set.js";
import { compile } from "@antenna/sdk/internal/program/compile.js";
import { type CostModel, measuredCosts } from "@antenna/sdk/internal/program/cost-model.js";
import { decide } from "@antenna/sdk/internal/program/decide.js";
import { nestedTiers } from "@antenna/sdk/internal/program/step.js";
import {
  randomPacket,
  randomPolicy,
  randomPorts,
  showPacket,
  showPolicy,
  smallerPolicy,
} from "./arbitrary-policy.js";
import { Random, runSeed } from "./random.js";

/** Cost models that lead to each layout, whatever the size of the policy. */
const models: Readonly<Record<string, CostModel>> = {
  measured: measuredCosts,
  dispatch: { ...measuredCosts, stageBudgetNs: 0, memberApplyUs: 1e6 },
  pairs: { ...measuredCosts, stageBudgetNs: 0, memberApplyUs: 0, ruleApplyUs: 1e6 },
  unions: { ...measuredCosts, listBudgetNs: 0 },
  "dispatch of unions": { ...measuredCosts, stageBudgetNs: 0, listBudgetNs: 0, memberApplyUs: 1e6 },
  "narrow dispatch": { ...measuredCosts, stageBudgetNs: 0, memberApplyUs: 1e6, fanOut: 2 },
};

const packetsPerPolicy = 60;
const pairs = 120_000;

/** What a compiled program can say: it does not know which allow rule it was. */
function withoutAllowRule(decision: Decision): Decision {
  return decision.stage === "allow" ? { ...decision, rule: null } : decision;
}

/** null: the same; else both answers. */
function difference(
  policy: Policy,
  packet: Packet,
  settling: boolean,
  essentials: readonly Essential[],
  costs: CostModel,
): string | null {
  const expected = withoutAllowRule(evaluate(policy, packet, { essentials, settling }));
  const program = compile(policy, { essentials, settling, costs });
  const found =
    program === null
      ? { verdict: "allowed", stage: "default", rule: null, refusal: null }
      : decide(program, packet);
  return JSON.stringify(expected) === JSON.stringify(found)
    ? null
    : `evaluate: ${JSON.stringify(expected)}\ndecide:   ${JSON.stringify(found)}`;
}

describe("decide(compile(policy), packet) is evaluate(policy, packet)", () => {
  for (const [name, costs] of Object.entries(models)) {
    test(`laid out for ${name}`, () => {
      const random = new Random(runSeed(`program-decide ${name}`));
      const coverage = new Map<string, number>();
      for (let round = 0; round < pairs / packetsPerPolicy / Object.keys(models).length; round++) {
        const policy = randomPolicy(random, random.chance(0.1) ? { maxSets: 20, maxRules: 80 } : {});
        const settling = random.chance(0.1);
        const essentials = builtinEssentials(policy, {
          resolvers: AddressSet.from(["10.0.0.2", "fd00::1"]),
          controller: { addresses: AddressSet.from(["192.0.0.4", "fe00::2"]), port: 8443 },
          ntp: random.chance(0.5),
        });
        const program = compile(policy, { essentials, settling, costs });
        for (let count = 0; count < packetsPerPolicy; count++) {
          const packet = randomPacket(random, policy, essentials);
          const expected = evaluate(policy, packet, { essentials, settling });
          const found = program === null ? expected : decide(program, packet);
          const key = `${policy.mode} ${expected.stage} ${expected.verdict}`;
          coverage.set(key, (coverage.get(key) ?? 0) + 1);
          if (JSON.stringify(withoutAllowRule(expected)) === JSON.stringify(withoutAllowRule(found)))
            continue;
          const fails = (smaller: Policy): boolean =>
            difference(smaller, packet, settling, essentials, costs) !== null;
          const smallest = smallerPolicy(policy, fails);
          assert.fail(
            [
              difference(smallest, packet, settling, essentials, costs),
              showPacket(packet),
              showPolicy(smallest),
            ].join("\n"),
          );
        }
      }
      for (const stage of [
        "loopback",
        "cut",
        "secure",
        "established",
        "related",
        "essential",
        "override-deny",
        "allow",
        "deny",
        "default",
      ]) {
        const seen = [...coverage]
          .filter(([key]) => key.includes(` ${stage} `))
          .reduce((sum, [, count]) => sum + count, 0);
        assert.ok(seen >= 20, `${stage} was decided only ${seen} times`);
      }
    });
  }
});

describe("compile", () => {
  test("what answers a ping is guarded by the type that it answers, and an answer opens nothing", () => {
    const guardsOf = (icmpType: number) => {
      const service = { protocol: 1, ports: null, icmpType, icmpCode: null };
      const rule = {
        id: "r",
        direction: "out",
        action: "allow",
        peers: ["any"],
        services: [service],
        secure: true,
      } as const;
      const policy: Policy = { ...randomPolicy(new Random(1)), mode: "full", rules: [rule] };
      return compile(policy)?.directions.in.guards;
    };
    const service = { protocol: 1, ports: null, icmpType: 8, icmpCode: null };
    assert.deepEqual(guardsOf(8), [{ of: "reply", match: { service, set: null }, rule: "r" }]);
    assert.deepEqual(guardsOf(0), []);
  });

  test("many peers of an essential become a set; where translated destinations count, they are listed", () => {
    const addresses = AddressSet.from(Array.from({ length: 9 }, (_, index) => `10.0.0.${index}`));
    const policy: Policy = { ...randomPolicy(new Random(1)), mode: "full", rules: [] };
    const essentials = builtinEssentials(policy, { resolvers: addresses, ntp: addresses });
    const program = compile(policy, { essentials }) as RuleProgram;
    const setOf = (name: string) => program.essentials.find((essential) => essential.name === name)?.set;
    assert.equal(setOf("ntp"), "essential:ntp");
    assert.equal(setOf("dns"), undefined);
    assert.deepEqual([...program.sets.keys()], ["essential:ntp"]);
  });

  test("gives the same program for the same policy", () => {
    const seed = runSeed("program-decide same");
    const [a, b] = [seed, seed].map((each) => {
      const policy = randomPolicy(new Random(each), { modes: ["full"], maxRules: 40 });
      return compile(policy);
    });
    assert.deepEqual(a, b);
  });

  test("idle needs no program", () => {
    assert.equal(compile({ ...randomPolicy(new Random(1)), mode: "idle" }), null);
  });

  test("a member more changes one set, by reference, and no rule", () => {
    const policy = largePolicy(new Random(3), { sets: 20, members: 50, rules: 200, wide: 0 });
    const before = compile(policy) as RuleProgram;
    const name = [...policy.sets.keys()][7] as string;
    const grown = (policy.sets.get(name) as AddressSet).with(
      AddressSet.from(["203.0.113.9"]),
      AddressSet.empty,
    );
    const after = compile({ ...policy, sets: new Map(policy.sets).set(name, grown) }) as RuleProgram;
    assert.equal(after.rulesDigest, before.rulesDigest);
    assert.equal(after.directions, before.directions);
    const changed = [...after.sets].filter(([key, set]) => before.sets.get(key) !== set).map(([key]) => key);
    assert.equal(changed.length, 1);
  });

  test("2,000 rules over 200 sets: a new connection passes few steps, and members are not repeated", () => {
    const policy = largePolicy(new Random(4), { sets: 200, members: 500, rules: 2000, wide: 0 });
    const program = compile(policy) as RuleProgram;
    const members = [...policy.sets.values()].reduce((sum, set) => sum + set.size, 0);
    assert.ok(kernelMembers(program) <= members, `${kernelMembers(program)} members of ${members}`);
    const random = new Random(5);
    let most = 0;
    for (let count = 0; count < 2000; count++) {
      const packet = {
        ...randomPacket(random, policy),
        state: "new" as const,
        reply: false,
        loopback: false,
      };
      for (const stage of program.directions[packet.direction].stages) {
        most = Math.max(most, stepsOf(stage.tier, packet));
      }
    }
    assert.ok(most <= 60, `${most} steps`);
  });

  test("tiers of all stages together are never nested deeper than a kernel admits", () => {
    const random = new Random(runSeed("program-decide nested"));
    for (const costs of Object.values(models)) {
      for (const actions of [["allow"], ["deny", "allow"], ["override-deny", "allow", "deny"]] as const) {
        const policy = largePolicy(random, { sets: 30, members: 3, rules: 600, wide: 0.2 });
        const rules = policy.rules.map((rule) => ({ ...rule, action: random.pick(actions) }));
        const program = compile({ ...policy, rules }, { costs }) as RuleProgram;
        const depth = program.directions.in.stages.reduce((sum, stage) => sum + nestedTiers(stage.tier), 0);
        assert.ok(depth <= costs.mostNestedTiers, `${depth} tiers for ${actions.join()}`);
        for (let count = 0; count < 200; count++) {
          const packet = randomPacket(random, policy);
          const expected = withoutAllowRule(evaluate({ ...policy, rules }, packet));
          assert.deepEqual(decide(program, packet), expected);
        }
      }
    }
  });

  test("a host's members are never exceeded by what a layout repeats", () => {
    const random = new Random(runSeed("program-decide bounded"));
    for (const costs of Object.values(models)) {
      for (let round = 0; round < 30; round++) {
        const policy = randomPolicy(random, { modes: ["full"], maxSets: 12, maxRules: 60, secure: 0 });
        const plain = [...policy.sets.values()].reduce(
          (sum, set) => sum + 2 ** Math.ceil(Math.log2(Math.max(1, set.size))),
          0,
        );
        const program = compile(policy, { costs, maxMembers: plain + 40, essentials: [] }) as RuleProgram;
        assert.ok(kernelMembers(program) <= plain + 40);
      }
    }
  });
});

function kernelMembers(program: RuleProgram): number {
  return [...program.sets.values()].reduce(
    (sum, set) =>
      sum +
      (set.kind === "peers"
        ? set.members.size
        : set.parts.reduce((inner, part) => inner + part.members.size * part.ports.length, 0)),
    0,
  );
}

/** Steps that a packet passes, every set missed. */
function stepsOf(tier: Tier, packet: Packet): number {
  let steps = 0;
  for (const step of tier.steps) {
    steps++;
    const { service } = step.match;
    const serves =
      service === null ||
      (service.protocol === packet.protocol &&
        (service.ports === null ||
          service.ports.some(
            ({ from, to }) =>
              packet.destinationPort !== null &&
              from <= packet.destinationPort &&
              packet.destinationPort <= to,
          )));
    if (serves && step.match.set === null && step.then.kind === "tier")
      return steps + stepsOf(step.then.tier, packet);
  }
  return steps;
}

function largePolicy(
  random: Random,
  size: { sets: number; members: number; rules: number; wide: number },
): Policy {
  const names = Array.from({ length: size.sets }, (_, index) => `set-${String(index).padStart(3, "0")}`);
  const sets = new Map(
    names.map((name) => {
      const builder = AddressSet.builder();
      for (let count = 0; count < size.members; count++) builder.add4(random.word());
      return [name, builder.build()] as const;
    }),
  );
  return {
    version: null,
    mode: "full",
    visibility: "blocked+allowed",
    reject: false,
    sets,
    rules: Array.from({ length: size.rules }, (_, index) => ({
      id: `rule-${index}`,
      direction: "in" as const,
      action: "allow" as const,
      peers: [random.pick(names)],
      services: [
        {
          protocol: 6,
          ports: random.chance(size.wide)
            ? randomPorts(random)
            : [{ from: 1 + index * 7, to: 1 + index * 7 }],
          icmpType: null,
          icmpCode: null,
        },
      ],
      secure: false,
    })),
    enforce: [],
    identities: new Map(),
  };
}
