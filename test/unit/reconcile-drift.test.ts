import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AntennaError } from "@antenna/sdk";
import { RepairBudget } from "@antenna/sdk/internal/reconcile/repair-budget.js";
import { createRig, flow, packet, type Rig, webPolicy } from "./reconcile-fixture.js";

const verdict = (rig: Rig, from: string, port = 80): string => rig.kernel.decide(packet(from, port)).verdict;

async function enforced(rig: Rig) {
  const agent = await rig.start();
  await agent.apply(webPolicy(["10.0.0.2", "10.0.0.3", "fd00::2"]));
  const [name = ""] = rig.kernel.setNames;
  return { agent, name };
}

const isRight = (rig: Rig): boolean =>
  verdict(rig, "10.0.0.2") === "allowed" &&
  verdict(rig, "10.0.0.66") === "blocked" &&
  verdict(rig, "fd00::2") === "allowed" &&
  verdict(rig, "fd00::66") === "blocked";

describe("a foreign hand", () => {
  const damages: Readonly<Record<string, (rig: Rig, name: string) => void>> = {
    "flushes the rules of a family": (rig) => rig.kernel.flushRules(6),
    "flushes everything": (rig) => rig.kernel.flushAll(),
    "puts a rule before ours": (rig) => rig.kernel.insertBefore(4),
    "widens a rule of ours": (rig) => rig.kernel.widenRule(4),
    "adds a member": (rig, name) => rig.kernel.addEntry(name, "10.0.0.66"),
    "takes a member": (rig, name) => rig.kernel.dropEntry(name, "10.0.0.2"),
    "swaps a member": (rig, name) => rig.kernel.swapEntry(name, "10.0.0.2", "10.0.0.66"),
  };
  for (const [what, damage] of Object.entries(damages)) {
    test(`${what}: repaired at once, told with its writer, and flows that passed meanwhile are cut`, async () => {
      await using rig = await createRig();
      const { agent, name } = await enforced(rig);
      assert.ok(isRight(rig));
      damage(rig, name);
      assert.ok(!isRight(rig));
      const intruder = flow("10.0.0.66");
      rig.kernel.connections.track(intruder);
      await rig.clock.settle();
      assert.ok(isRight(rig));
      const [event] = rig.of("drift");
      assert.deepEqual(event?.writer, { pid: 4242, name: "foreign" });
      assert.ok((event?.differences.length ?? 0) > 0);
      assert.deepEqual(rig.kernel.connections.cutIds(), [intruder.id]);
      const { drift, state } = agent.status();
      assert.equal(drift.repairs, 1);
      assert.deepEqual(drift.last?.differences, event?.differences);
      assert.equal(state, "in-sync");
      assert.equal((await agent.verify()).ok, true);
      assert.equal(rig.kernel.setNames.size, 1, "leftovers");
    });
  }

  const kindsOf = (rig: Rig, from: number): readonly string[] =>
    rig.kernel.history.slice(from).map(({ kind }) => kind);

  test("members are put right in place, the missing before the foreign, and no other packet sees it", async () => {
    await using rig = await createRig();
    const { name } = await enforced(rig);
    const written = rig.kernel.history.length;
    const verdicts = new Set<string>();
    rig.kernel.afterCommand = () =>
      void verdicts.add(`${verdict(rig, "10.0.0.3")} ${verdict(rig, "10.0.0.99")}`);
    rig.kernel.swapEntry(name, "10.0.0.2", "10.0.0.66");
    await rig.clock.settle();
    assert.deepEqual([...verdicts], ["allowed blocked"]);
    assert.deepEqual(kindsOf(rig, written), ["add-members", "delete-members"]);
    assert.ok(rig.kernel.setNames.has(name));
    assert.ok(isRight(rig));
  });

  test("a set that differs in too much is replaced by a new instance: no packet meets it half-filled", async () => {
    await using rig = await createRig();
    const { name } = await enforced(rig);
    const written = rig.kernel.history.length;
    const verdicts = new Set<string>();
    rig.kernel.afterCommand = () =>
      void verdicts.add(`${verdict(rig, "10.0.0.3")} ${verdict(rig, "10.0.0.99")}`);
    rig.filter().notifies = false;
    for (let foreign = 0; foreign < 1_001; foreign++)
      rig.kernel.addEntry(name, `10.9.${foreign >> 8}.${foreign & 255}`);
    rig.filter().notifies = true;
    rig.kernel.swapEntry(name, "10.0.0.2", "10.0.0.66");
    await rig.clock.settle();
    assert.deepEqual([...verdicts], ["allowed blocked"]);
    assert.deepEqual(kindsOf(rig, written).slice(0, 3), ["create-set", "switch-rules", "switch-rules"]);
    assert.ok(!rig.kernel.setNames.has(name));
    assert.ok(isRight(rig));
    assert.equal(rig.kernel.setNames.size, 1, "leftovers");
  });

  test("members and rules that are wrong at once go over together, by a new instance", async () => {
    await using rig = await createRig();
    const { name } = await enforced(rig);
    const written = rig.kernel.history.length;
    rig.filter().notifies = false;
    rig.kernel.widenRule(4);
    rig.filter().notifies = true;
    rig.kernel.swapEntry(name, "10.0.0.2", "10.0.0.66");
    await rig.clock.settle();
    assert.equal(kindsOf(rig, written)[0], "create-set");
    assert.ok(isRight(rig));
  });

  test("somebody who writes between the reading and the writing, or right after it, is found and undone", async () => {
    const moments: Readonly<Record<string, (rig: Rig, name: string) => void>> = {
      "before the write": (rig, name) => {
        rig.filter().beforeCall = (method) => {
          if (method !== "execute") return;
          rig.filter().beforeCall = () => {};
          rig.kernel.swapEntry(name, "10.0.0.3", "10.0.0.66");
        };
      },
      "after the first command": (rig, name) => {
        rig.kernel.afterCommand = () => {
          rig.kernel.afterCommand = () => {};
          rig.kernel.swapEntry(name, "10.0.0.3", "10.0.0.66");
        };
      },
      "by the same correction": (rig, name) => {
        rig.filter().beforeCall = (method) => {
          if (method !== "execute") return;
          rig.filter().beforeCall = () => {};
          rig.kernel.addEntry(name, "10.0.0.2");
        };
      },
    };
    for (const [moment, interfere] of Object.entries(moments)) {
      await using rig = await createRig();
      const { agent, name } = await enforced(rig);
      interfere(rig, name);
      rig.kernel.dropEntry(name, "10.0.0.2");
      await rig.clock.advance(5_000);
      assert.ok(isRight(rig), moment);
      assert.equal(verdict(rig, "10.0.0.3"), "allowed", moment);
      rig.filter().notifies = false;
      assert.equal((await agent.verify()).ok, true, moment);
      assert.equal(rig.kernel.setNames.size, 1, `leftovers: ${moment}`);
    }
  });

  test("our rule displaced stands as a problem for a minute after it was put back", async () => {
    await using rig = await createRig();
    const { agent } = await enforced(rig);
    rig.kernel.insertBefore(4);
    await rig.clock.settle();
    assert.equal(agent.status().problems[0]?.code, "rule-displaced");
    await rig.clock.advance(61_000);
    assert.deepEqual(agent.status().problems, []);
  });

  test("verify finds what no notice told, and repairs it", async () => {
    await using rig = await createRig();
    const { agent, name } = await enforced(rig);
    rig.filter().notifies = false;
    rig.kernel.swapEntry(name, "10.0.0.2", "10.0.0.66");
    const report = await agent.verify();
    assert.equal(report.ok, false);
    assert.equal(report.points[0]?.differences[0]?.kind, "set-members");
    await rig.clock.settle();
    assert.ok(isRight(rig));
    assert.equal((await agent.verify()).ok, true);
  });

  test("thirty repairs in thirty seconds at full speed, then ever slower, told as a fight, and over when it is calm", async () => {
    await using rig = await createRig();
    const { agent } = await enforced(rig);
    for (let count = 1; count <= 30; count++) {
      rig.kernel.flushRules(4);
      await rig.clock.advance(500);
      assert.equal(agent.status().drift.repairs, count);
    }
    assert.deepEqual(agent.status().problems, []);
    // From now on the other one undoes every repair at once.
    const before = rig.clock.now();
    let undone = 0;
    rig.kernel.afterCommand = (command) => {
      if (command.kind !== "switch-rules" || undone >= 10) return;
      undone += 1;
      setImmediate(() => rig.kernel.flushRules(4));
    };
    rig.kernel.flushRules(4);
    await rig.clock.advance(60_000);
    const repairs = agent.status().drift.repairs - 30;
    assert.ok(repairs >= 3 && repairs <= 8, `${repairs} repairs in ${rig.clock.now() - before} ms`);
    assert.equal(agent.status().problems[0]?.code, "drift-fight");
    assert.equal(agent.status().state, "degraded");
    rig.kernel.afterCommand = () => {};
    await rig.clock.advance(200_000);
    assert.deepEqual(agent.status().problems, []);
    assert.equal(agent.status().state, "in-sync");
    assert.ok(isRight(rig));
    const repaired = agent.status().drift.repairs;
    rig.kernel.flushRules(4);
    await rig.clock.settle();
    assert.equal(agent.status().drift.repairs, repaired + 1, "full speed again");
  });

  test("a kernel that cannot be read is a problem after some tries, and no end", async () => {
    await using rig = await createRig();
    const { agent } = await enforced(rig);
    rig.filter().beforeCall = (method) => {
      if (method === "verify")
        throw new AntennaError({
          code: "busy",
          operation: "verify",
          message: "xtables.lock is held by pid 7",
        });
    };
    rig.kernel.flushRules(4);
    await rig.clock.advance(10_000);
    assert.deepEqual(
      agent.status().problems.map(({ code }) => code),
      ["verify-failed"],
    );
    assert.match(agent.status().problems[0]?.message ?? "", /held by pid 7/);
    assert.equal(agent.status().state, "degraded");
    rig.filter().beforeCall = () => {};
    await rig.clock.advance(60_000);
    assert.ok(isRight(rig));
    assert.equal(agent.status().state, "in-sync");
  });

  test("a repair that fails half-way is finished, and no packet gets a third verdict", async () => {
    for (let n = 0; n < 8; n++) {
      await using rig = await createRig();
      const { agent, name } = await enforced(rig);
      rig.kernel.refuseCommand(n);
      rig.kernel.swapEntry(name, "10.0.0.2", "10.0.0.66");
      const verdicts = new Set<string>();
      rig.kernel.afterCommand = () =>
        void verdicts.add(`${verdict(rig, "10.0.0.3")} ${verdict(rig, "10.0.0.99")}`);
      await rig.clock.advance(20_000);
      assert.deepEqual([...verdicts], ["allowed blocked"]);
      assert.ok(isRight(rig), `refused at ${n}`);
      assert.equal(agent.status().state, "in-sync");
      assert.equal(rig.kernel.setNames.size, 1);
    }
  });
});

describe("the repair budget", () => {
  test("lets thirty through, slows down, and forgets after calm", () => {
    const budget = new RepairBudget();
    for (let count = 0; count < 30; count++) {
      assert.equal(budget.earliest(count * 10, 0), count * 10);
      budget.spent(count * 10);
    }
    assert.equal(budget.fighting, false);
    const waits: number[] = [];
    let now = 300;
    for (let count = 0; count < 8; count++) {
      const at = budget.earliest(now, 0);
      waits.push(at - now);
      now = at;
      budget.spent(now);
    }
    assert.equal(budget.fighting, true);
    assert.ok(
      waits.every((wait, index) => index === 0 || wait >= (waits[index - 1] ?? 0)),
      waits.join(),
    );
    assert.equal(waits.at(-1), 30_000);
    const calm = budget.calmAt();
    assert.ok(calm !== null);
    assert.equal(budget.earliest(calm, 0), calm);
    assert.equal(budget.fighting, false);
  });

  test("one repair a second never counts as a fight", () => {
    const budget = new RepairBudget();
    for (let second = 0; second < 500; second++) {
      assert.equal(budget.earliest(second * 1_001, 0.5), second * 1_001);
      budget.spent(second * 1_001);
    }
  });
});
