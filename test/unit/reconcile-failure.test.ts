import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AntennaError, type Packet } from "@antenna/sdk";
import { createRig, during, flow, packet, type Rig, until, webPolicy } from "./reconcile-fixture.js";

const verdict = (rig: Rig, from: string, port = 80): string => rig.kernel.decide(packet(from, port)).verdict;
const codes = (problems: readonly { readonly code: string }[]): string[] => problems.map(({ code }) => code);

describe("a kernel that refuses", () => {
  test("once: the apply is repeated and nobody notices", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2"]));
    rig.kernel.refuseCommand(0);
    const { state } = await during(rig.clock, agent.apply(webPolicy(["10.0.0.3"])), 50);
    assert.equal(state, "in-sync");
    assert.equal(verdict(rig, "10.0.0.3"), "allowed");
    assert.deepEqual(
      rig.of("problem").filter(({ problem }) => problem.code === "apply-failed"),
      [],
    );
  });

  test("at every command of an apply: no packet gets a third verdict, and the end is the new policy", async () => {
    const probes: readonly Packet[] = ["10.0.0.2", "10.0.0.3", "10.9.9.9", "fd00::2", "fd00::3"].flatMap(
      (from) => [80, 443].map((port) => packet(from, port)),
    );
    const old = webPolicy(["10.0.0.2", "fd00::2"]);
    const next = webPolicy(["10.0.0.3", "fd00::3"], {
      rules: [
        {
          id: "web-in",
          direction: "in",
          action: "allow",
          peers: ["web"],
          services: [{ protocol: "tcp", ports: [443] }],
        },
        {
          id: "bad",
          direction: "in",
          action: "override-deny",
          peers: ["any"],
          services: [{ protocol: "tcp", ports: [25] }],
        },
      ],
    });
    for (let n = 0; n < 12; n++) {
      await using rig = await createRig();
      const agent = await rig.start();
      await agent.apply(old);
      const before = probes.map((probe) => rig.kernel.decide(probe).verdict);
      const seen = probes.map(() => new Set<string>());
      rig.kernel.afterCommand = () =>
        probes.forEach((probe, index) => void seen[index]?.add(rig.kernel.decide(probe).verdict));
      rig.kernel.refuseCommand(n);
      await during(rig.clock, agent.apply(next), 50);
      const after = probes.map((probe) => rig.kernel.decide(probe).verdict);
      probes.forEach((_, index) => {
        for (const each of seen[index] ?? [])
          assert.ok(each === before[index] || each === after[index], `refused at ${n}`);
      });
      assert.equal(rig.kernel.decide(packet("10.0.0.3", 443)).verdict, "allowed");
      assert.equal(agent.status().state, "in-sync");
      assert.equal((await agent.verify()).ok, true);
      const names = [...(rig.kernel.rules(4)?.installed.instances.values() ?? [])].map(({ name }) => name);
      assert.deepEqual([...rig.kernel.setNames].sort(), names.sort(), "leftovers");
    }
  });

  test("from the first apply on: sets of the tries do not pile up", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    rig.kernel.refuseWhen((command) =>
      command.kind === "switch-rules" && command.family === 6 ? "RULE_INSERT failed" : null,
    );
    await assert.rejects(during(rig.clock, agent.apply(webPolicy(["10.0.0.2"])), 100));
    for (let round = 0; round < 20; round++) {
      await rig.clock.advance(60_000);
      assert.ok(rig.kernel.setNames.size <= 4, [...rig.kernel.setNames].join(" "));
    }
  });

  test("always: bounded tries, then degraded in its exact words, the last good policy kept and repaired; it recovers by itself", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2"]));
    // IPv4 is switched before IPv6 is refused: the last good rules must be put back.
    const next = webPolicy(["10.0.0.3"], { reject: true });
    rig.kernel.refuseWhen((command) =>
      command.kind === "switch-rules" && command.family === 6 && command.installed.program.reject
        ? "RULE_REPLACE failed (Invalid argument)"
        : null,
    );
    await assert.rejects(during(rig.clock, agent.apply(next), 100), {
      code: "kernel-refused",
      detail: "RULE_REPLACE failed (Invalid argument)",
    });
    assert.deepEqual(codes(agent.status().problems), ["apply-failed"]);
    assert.match(agent.status().problems[0]?.message ?? "", /RULE_REPLACE failed \(Invalid argument\)/);
    assert.equal(agent.status().state, "degraded");
    await rig.clock.settle();
    assert.equal(verdict(rig, "10.0.0.2"), "allowed");
    assert.equal(verdict(rig, "10.0.0.3"), "blocked");
    assert.equal(agent.status().policyVersion, "1.1");
    rig.kernel.flushRules(4);
    await rig.clock.settle();
    assert.equal(verdict(rig, "10.0.0.66"), "blocked", "drift is repaired in between");
    const tries = rig.kernel.history.length;
    await rig.clock.advance(120_000);
    assert.ok(rig.kernel.history.length > tries, "it stopped trying");
    rig.kernel.refuseWhen(null);
    await rig.clock.advance(120_000);
    await until(() => agent.status().state === "in-sync", "in-sync");
    assert.equal(verdict(rig, "10.0.0.3"), "allowed");
    assert.equal(agent.status().policyVersion, "1.2");
    assert.deepEqual(agent.status().problems, []);
  });

  test("a policy that is refused makes room for the next one at once", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    rig.kernel.refuseWhen((command) =>
      command.kind === "switch-rules" && command.installed.program.reject ? "no" : null,
    );
    const bad = agent.apply(webPolicy(["10.0.0.2"], { reject: true }));
    bad.catch(() => {});
    await rig.clock.settle();
    const good = await agent.apply(webPolicy(["10.0.0.3"]));
    assert.equal(good.state, "in-sync");
    assert.equal((await bad).inForce, false);
  });

  test("a foreign write during an apply is found before the policy is called in force", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    let meddled = 0;
    rig.kernel.afterCommand = (command) => {
      if (command.kind === "switch-rules" && command.family === 6 && meddled++ === 0) rig.kernel.widenRule(4);
    };
    await during(rig.clock, agent.apply(webPolicy(["10.0.0.2"])), 50);
    assert.equal(verdict(rig, "10.0.0.66"), "blocked");
    assert.equal(agent.status().state, "in-sync");
  });

  test("a program that cannot be opened rejects createAgent and frees the directory", async () => {
    await using rig = await createRig();
    const provider = {
      open: () =>
        Promise.reject(
          new AntennaError({ code: "not-permitted", operation: "open", message: "CAP_NET_ADMIN is missing" }),
        ),
    };
    await assert.rejects(rig.start({ packetFilter: provider }), { code: "not-permitted" });
    await rig.start();
  });
});

describe("what somebody else's rule keeps in the kernel", () => {
  test("is a problem that names it and leaves the state alone, until it is gone", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    const filter = rig.filter();
    const described = filter.describe();
    const leftover = {
      kind: "chain",
      name: "IPv4 ANT-IN-ALLOW",
      reason: "a rule that is not ours leads to it",
    };
    filter.describe = () => ({ ...described, leftovers: [leftover, leftover] });
    assert.equal((await agent.apply(webPolicy(["10.0.0.2"]))).state, "in-sync");
    assert.deepEqual(codes(agent.status().problems), ["leftovers"]);
    const said = agent.status().problems[0]?.message ?? "";
    assert.match(said, /ANT-IN-ALLOW.*a rule that is not ours leads to it; 1 more/);
    filter.describe = () => described;
    await agent.apply(webPolicy(["10.0.0.3"]));
    assert.deepEqual(agent.status().problems, []);
  });
});

describe("a policy that asks for IPsec where there is none", () => {
  test("is enforced and degraded, and the problem goes with the rule", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    const secure = webPolicy(["10.0.0.2"], {
      rules: [{ id: "safe", direction: "in", action: "allow", peers: ["web"], secure: true }],
    });
    const result = await agent.apply(secure);
    assert.equal(result.state, "degraded");
    assert.equal(verdict(rig, "10.0.0.2"), "blocked");
    assert.deepEqual(codes(agent.status().problems), ["not-protected"]);
    assert.match(agent.status().problems[0]?.message ?? "", /rule safe/);
    assert.equal((await agent.apply(webPolicy(["10.0.0.2"]))).state, "in-sync");
  });
});

describe("a state directory that cannot be written", () => {
  test("the policy is enforced all the same, degraded until it is stored", async () => {
    const { rm, writeFile } = await import("node:fs/promises");
    await using rig = await createRig();
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2"]));
    await rm(`${rig.stateDir}/policy`, { recursive: true });
    await writeFile(`${rig.stateDir}/policy`, "in the way");
    await agent.apply(webPolicy(["10.0.0.3"]));
    assert.equal(verdict(rig, "10.0.0.3"), "allowed");
    assert.deepEqual(codes(agent.status().problems), ["storage"]);
    assert.equal(agent.status().state, "degraded");
    assert.equal(agent.status().points[0]?.stored, false);
    await rm(`${rig.stateDir}/policy`);
    const { mkdir } = await import("node:fs/promises");
    await mkdir(`${rig.stateDir}/policy`);
    await during(
      rig.clock,
      until(() => agent.status().state === "in-sync", "stored"),
    );
    await agent.close();
    const again = await rig.start();
    assert.equal(again.status().policyVersion, "1.2");
  });
});

describe("suspending", () => {
  test("takes the rules and marks out, across restarts; resuming settles again", async () => {
    await using rig = await createRig();
    const { connections } = rig.kernel;
    const agent = await rig.start({ settleMs: 30_000 });
    const policy = webPolicy(["10.0.0.2"]);
    const denied = flow("10.0.0.66");
    connections.track(denied);
    await during(rig.clock, agent.apply(policy));
    assert.deepEqual(connections.cutIds(), [denied.id]);
    await agent.suspend();
    assert.equal(agent.status().state, "suspended");
    assert.equal(rig.kernel.rules(4), null);
    assert.equal(rig.kernel.setNames.size, 0);
    assert.deepEqual(connections.cutIds(), []);
    assert.equal((await agent.verify()).ok, true);
    assert.equal(
      agent.explain({ direction: "in", protocol: 6, peer: packet("10.0.0.66").source, port: 80 }).verdict,
      "allowed",
    );
    assert.equal((await agent.apply(webPolicy(["10.0.0.3"]))).state, "suspended");
    assert.equal(rig.kernel.rules(4), null);
    await agent.close();

    const again = await rig.start({ settleMs: 30_000 });
    await until(() => again.status().state === "suspended", "suspended");
    assert.equal(rig.kernel.rules(4), null);
    await again.resume();
    assert.equal(again.status().state, "settling");
    assert.equal(verdict(rig, "10.0.0.66"), "potentially-blocked");
    await rig.clock.advance(30_000);
    await until(() => again.status().state === "in-sync", "in-sync");
    assert.equal(verdict(rig, "10.0.0.3"), "allowed");
    assert.equal(again.status().policyVersion, "1.2", "a policy that came while suspended is kept");
    assert.deepEqual(connections.cutIds(), [denied.id]);
  });

  test("while settling it ends settling", async () => {
    await using rig = await createRig();
    const agent = await rig.start({ settleMs: 30_000 });
    agent.apply(webPolicy(["10.0.0.2"])).catch(() => {});
    await rig.clock.advance(5_000);
    await agent.suspend();
    await rig.clock.advance(60_000);
    assert.equal(agent.status().state, "suspended");
    assert.equal(rig.kernel.rules(4), null);
  });
});

describe("idle and purge", () => {
  test("idle takes everything out, and back to an enforcing mode it settles", async () => {
    await using rig = await createRig();
    const agent = await rig.start({ settleMs: 10_000 });
    await during(rig.clock, agent.apply(webPolicy(["10.0.0.2"])));
    assert.equal((await agent.apply(webPolicy([], { mode: "idle" }))).state, "idle");
    assert.equal(rig.kernel.setNames.size, 0);
    const back = agent.apply(webPolicy(["10.0.0.2"]));
    await until(() => agent.status().state === "settling", "settling");
    await rig.clock.advance(5_000);
    assert.equal(agent.status().state, "settling");
    assert.equal((await during(rig.clock, back)).state, "in-sync");
  });

  test("idle from the first start writes nothing", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    assert.equal((await agent.apply(webPolicy([], { mode: "idle" }))).state, "idle");
    assert.equal(rig.kernel.history.length, 0);
  });

  test("purge leaves neither rules nor sets nor marks nor files, and the agent is closed", async () => {
    const { readdir } = await import("node:fs/promises");
    await using rig = await createRig();
    const agent = await rig.start();
    const denied = flow("10.0.0.66");
    rig.kernel.connections.track(denied);
    await agent.apply(webPolicy(["10.0.0.2"]));
    const [name] = rig.kernel.setNames;
    const removal = await agent.purge();
    assert.ok(removal.removed.some((each) => each.name === name));
    assert.equal(rig.kernel.setNames.size, 0);
    assert.equal(rig.kernel.rules(6), null);
    assert.deepEqual(rig.kernel.connections.cutIds(), []);
    assert.deepEqual(await readdir(`${rig.stateDir}/policy`), []);
    await assert.rejects(agent.apply(webPolicy([])), { code: "closed" });
  });
});
