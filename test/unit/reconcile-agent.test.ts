import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AddressSet, type Agent, type PolicyDelta, policyDigest } from "@antenna/sdk";
import { createRig, during, flow, packet, type Rig, until, webPolicy } from "./reconcile-fixture.js";

const verdict = (rig: Rig, from: string, port = 80): string => rig.kernel.decide(packet(from, port)).verdict;

function settling(agent: Agent): Promise<void> {
  return until(() => agent.status().state === "settling", "settling");
}

function addTo(
  agent: Agent,
  name: string,
  added: readonly string[],
  removed: readonly string[] = [],
): PolicyDelta {
  const policy = agent.policy();
  assert.ok(policy !== null);
  const version =
    policy.version === null ? null : { ...policy.version, sequence: policy.version.sequence + 1 };
  const sets = new Map([[name, { added: AddressSet.from(added), removed: AddressSet.from(removed) }]]);
  return { base: policyDigest(policy), version, sets, removedSets: [], rest: null };
}

describe("applying", () => {
  test("a policy is in force when apply resolves, counted on and stored", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    assert.equal(agent.status().state, "starting");
    assert.equal(agent.status().problems[0]?.code, "policy-missing");
    const result = await agent.apply(webPolicy(["10.0.0.2"]));
    assert.deepEqual(
      { version: result.version, state: result.state, changed: result.changed, inForce: result.inForce },
      { version: "1.1", state: "in-sync", changed: true, inForce: true },
    );
    assert.equal(verdict(rig, "10.0.0.2"), "allowed");
    assert.equal(verdict(rig, "10.0.0.3"), "blocked");
    const status = agent.status();
    assert.equal(status.policyVersion, "1.1");
    assert.equal(status.mode, "full");
    assert.deepEqual(status.problems, []);
    assert.equal(status.points[0]?.stored, true);
    assert.deepEqual((await agent.apply(webPolicy(["10.0.0.2"]))).changed, false);
    assert.equal((await agent.apply(webPolicy(["10.0.0.3"]))).version, "1.2");
    assert.deepEqual(
      rig.of("policy").map((event) => event.version),
      ["1.1", "1.1", "1.2"],
    );
  });

  test("one member more writes one command, and nothing is verified or dumped for it", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2"]));
    const before = rig.kernel.history.length;
    const calls: string[] = [];
    rig.filter().beforeCall = (method) => void calls.push(method);
    const dumps = rig.kernel.connections.dumps;
    await agent.apply(addTo(agent, "web", ["10.0.0.9"]));
    assert.deepEqual(
      rig.kernel.history.slice(before).map((command) => command.kind),
      ["add-members"],
    );
    assert.deepEqual(calls, ["execute"]);
    assert.equal(rig.kernel.connections.dumps, dumps);
    assert.equal(verdict(rig, "10.0.0.9"), "allowed");
  });

  test("a burst of policies coalesces, and the latest wins", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2"]));
    const results = await Promise.all(
      Array.from({ length: 50 }, (_, index) => agent.apply(webPolicy([`10.0.1.${index}`]))),
    );
    assert.equal(verdict(rig, "10.0.1.49"), "allowed");
    assert.equal(verdict(rig, "10.0.1.20"), "blocked");
    assert.equal(results.at(-1)?.inForce, true);
    assert.ok(results.filter((result) => result.inForce).length < 5);
    await agent.close();
    const again = await rig.start();
    assert.equal(again.status().policyVersion, results.at(-1)?.version);
  });

  test("a bad document, a lower version and another content under the same version are refused, the old policy kept", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    const version = "2.7";
    await agent.apply(webPolicy(["10.0.0.2"], { version }));
    const refused = ["mode: fulll", '{"mode":"full","rules":[{}]}', "\u0000"];
    for (const text of refused) {
      await assert.rejects(agent.apply(Buffer.from(text)), { code: "input-refused" });
      assert.match(
        agent
          .status()
          .problems.map(({ code }) => code)
          .join(),
        /policy-refused/,
      );
    }
    await assert.rejects(agent.apply(webPolicy(["10.0.0.2"], { version: "2.6" })), {
      code: "version-refused",
    });
    await assert.rejects(agent.apply(webPolicy(["10.0.0.3"], { version })), { code: "version-refused" });
    assert.equal(verdict(rig, "10.0.0.2"), "allowed");
    assert.equal((await agent.apply(webPolicy(["10.0.0.2"], { version }))).changed, false);
    assert.deepEqual(agent.status().problems, []);
  });

  test("a second life keeps the version floor, also where the policy of the first never came into force", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2"], { version: 9 }));
    await agent.close();
    const again = await rig.start();
    await assert.rejects(again.apply(webPolicy(["10.0.0.5"], { version: 8 })), { code: "version-refused" });
    assert.equal((await again.apply(webPolicy(["10.0.0.5"]))).version, "1.10");
  });

  test("a version counts from its acceptance on: it holds after a kill before it came into force", async () => {
    await using rig = await createRig();
    const agent = await rig.start({ settleMs: 30_000 });
    agent.apply(webPolicy(["10.0.0.2"], { version: 9 })).catch(() => {});
    await settling(agent);
    await agent.close();
    const again = await rig.start({ settleMs: 0 });
    assert.equal(again.status().policyVersion, null, "it never was in force");
    await assert.rejects(again.apply(webPolicy(["10.0.0.2"], { version: 8 })), { code: "version-refused" });
    await assert.rejects(again.apply(webPolicy(["10.0.0.3"], { version: 9 })), { code: "version-refused" });
    assert.equal((await again.apply(webPolicy(["10.0.0.2"], { version: 9 }))).version, "1.9");
    assert.equal((await again.apply(webPolicy(["10.0.0.4"]))).version, "1.10");
  });

  test("a policy that the kernel refused may be offered again in the next life, and nothing below it", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2"], { version: 3 }));
    const next = webPolicy(["10.0.0.3"], { version: 5, reject: true });
    rig.kernel.refuseWhen((command) => (command.kind === "switch-rules" ? "no" : null));
    await assert.rejects(during(rig.clock, agent.apply(next), 100), { code: "kernel-refused" });
    await agent.close();
    rig.kernel.refuseWhen(null);
    const again = await rig.start();
    await until(() => again.status().state === "in-sync", "in-sync");
    assert.equal(again.status().policyVersion, "1.3", "the last known good one is in force");
    await assert.rejects(again.apply(webPolicy(["10.0.0.4"], { version: 4 })), { code: "version-refused" });
    assert.equal((await again.apply(next)).version, "1.5");
  });

  test("the floor is not lowered by an older policy that comes into force after a newer one was accepted", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2"], { version: 1, reject: true }));
    rig.kernel.refuseWhen((command) =>
      command.kind === "switch-rules" && !command.installed.program.reject ? "no" : null,
    );
    let newer: Promise<unknown> | null = null;
    rig.kernel.afterCommand = () => {
      newer ??= agent.apply(webPolicy(["10.0.0.4"], { version: 9 })).catch(() => {});
    };
    await agent.apply(webPolicy(["10.0.0.2", "10.0.0.3"], { version: 7, reject: true }));
    assert.ok(newer !== null);
    await agent.close();
    rig.kernel.refuseWhen(null);
    const again = await rig.start();
    await assert.rejects(again.apply(webPolicy(["10.0.0.5"], { version: 8 })), { code: "version-refused" });
  });

  test("closing rejects what waits, keeps the rules, and happens once", async () => {
    await using rig = await createRig();
    const agent = await rig.start({ settleMs: 30_000 });
    const waiting = agent.apply(webPolicy(["10.0.0.2"]));
    waiting.catch(() => {});
    await rig.clock.settle();
    await Promise.all([agent.close(), agent.close()]);
    await assert.rejects(waiting, { code: "closed" });
    await assert.rejects(agent.apply(webPolicy([])), { code: "closed" });
    assert.ok(rig.kernel.rules(4) !== null);
    assert.equal(rig.clock.pending, 0, "a timer is left");
  });

  test("an aborted wait ends the wait and not the work", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    const abort = new AbortController();
    const waiting = agent.apply(webPolicy(["10.0.0.2"]), { signal: abort.signal });
    abort.abort();
    await assert.rejects(waiting, { code: "aborted" });
    await until(() => agent.status().state === "in-sync", "in-sync");
    assert.equal(verdict(rig, "10.0.0.2"), "allowed");
  });

  test("options that contradict themselves throw before anything starts", async () => {
    await using rig = await createRig();
    for (const options of [
      { settleMs: -1 },
      { kernel: { cutMark: 3 } },
      { kernel: { nflogGroup: 0 } },
      { kernel: { nflogRate: 5 } },
      { workload: "" },
    ]) {
      await assert.rejects(rig.start(options), TypeError);
    }
  });
});

describe("starting again", () => {
  test("the same policy writes nothing, whoever gives it", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    const policy = webPolicy(["10.0.0.2", "fd00::/64"], { version: 3 });
    await agent.apply(policy);
    await agent.close();
    const written = rig.kernel.history.length;
    const again = await rig.start({ settleMs: 30_000 });
    await until(() => again.status().state === "in-sync", "in-sync");
    await again.apply(webPolicy(["10.0.0.2", "fd00::/64"], { version: 3 }));
    assert.equal(rig.kernel.history.length, written);
    assert.equal(again.status().policyVersion, "1.3");
  });

  test("with other rules of ours in the kernel it switches safely, at once, and sweeps", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2"]));
    await agent.close();
    const [name = ""] = rig.kernel.setNames;
    rig.kernel.addEntry(name, "10.0.0.66");
    const verdicts = new Set<string>();
    rig.kernel.afterCommand = () => void verdicts.add(verdict(rig, "10.0.0.2"));
    const again = await rig.start({ settleMs: 30_000 });
    await until(() => again.status().state === "in-sync", "in-sync");
    assert.deepEqual([...verdicts], ["allowed"]);
    assert.equal(verdict(rig, "10.0.0.66"), "blocked");
    assert.ok(!rig.kernel.setNames.has(name), "a leftover was not swept");
    assert.ok(!rig.of("state").some((event) => event.state === "settling"));
  });

  test("a flow that a dead agent had no time to cut is cut", async () => {
    await using rig = await createRig();
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2"]));
    await agent.close();
    const denied = flow("10.0.0.66");
    rig.kernel.connections.track(denied);
    const again = await rig.start();
    await until(() => again.status().state === "in-sync", "in-sync");
    assert.deepEqual(rig.kernel.connections.cutIds(), [denied.id]);
  });

  test("damage in the state directory is told, and the state before is used", async () => {
    const { readdir, writeFile } = await import("node:fs/promises");
    await using rig = await createRig();
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2"]));
    await agent.apply(webPolicy(["10.0.0.3"]));
    await agent.close();
    const files = (await readdir(`${rig.stateDir}/policy`))
      .filter((name) => name.endsWith(".snapshot"))
      .sort();
    await writeFile(`${rig.stateDir}/policy/${files.at(-1)}`, "rotten");
    const again = await rig.start();
    await until(() => again.status().state === "in-sync", "in-sync");
    assert.equal(again.status().policyVersion, "1.1");
    assert.equal(again.status().problems[0]?.code, "state-corrupt");
  });

  test("boot: closed passes only essentials, visibility drops nothing, until a policy arrives", async () => {
    for (const [boot, expected] of [
      ["closed", "blocked"],
      ["visibility", "potentially-blocked"],
    ] as const) {
      await using rig = await createRig();
      const agent = await rig.start({ boot });
      await until(() => agent.status().state === "in-sync", "in-sync");
      assert.equal(verdict(rig, "10.0.0.2"), expected);
      assert.equal(agent.status().policyVersion, null);
      await agent.apply(webPolicy(["10.0.0.2"]));
      assert.equal(verdict(rig, "10.0.0.2"), "allowed");
    }
  });
});

describe("settling on a live host", () => {
  test("nothing is dropped meanwhile; then denied flows are marked before the rules drop, and allowed ones never", async () => {
    await using rig = await createRig();
    const allowed = flow("10.0.0.2");
    const denied = flow("10.0.0.66");
    const silentAllowed = flow("10.0.0.3");
    const silentDenied = flow("10.0.0.67");
    const mirrored = flow("10.0.0.68", 80, { openingSeen: false });
    const forwarded = flow("10.0.0.69", 80, { direction: "forwarded" });
    const { connections } = rig.kernel;
    for (const each of [allowed, denied, mirrored, forwarded]) connections.track(each);
    connections.silent.push(silentAllowed, silentDenied);
    let late: ReturnType<typeof flow> | null = null;
    const wrong: string[] = [];
    rig.kernel.afterCommand = (command) => {
      if (rig.kernel.rules(4)?.installed.program.drops !== true) return;
      // From the very moment at which the rules drop, what was there before is cut.
      for (const each of [denied, silentDenied]) {
        if (rig.kernel.passes(connections.get(each.id) ?? each))
          wrong.push(`${command.kind}: a denied flow passes`);
      }
      for (const each of [allowed, silentAllowed]) {
        if (!rig.kernel.passes(connections.get(each.id) ?? each))
          wrong.push(`${command.kind}: an allowed flow is cut`);
      }
      if (late === null && command.kind === "switch-rules") {
        // Born between marking and dropping.
        late = flow("10.0.0.70");
        connections.track(late);
      }
    };
    const agent = await rig.start({ settleMs: 30_000 });
    const applied = agent.apply(webPolicy(["10.0.0.2", "10.0.0.3"]));
    await settling(agent);
    await rig.clock.advance(29_000);
    assert.equal(agent.status().state, "settling");
    assert.equal(agent.status().points[0]?.settlesInMs, 1_000);
    assert.equal(verdict(rig, "10.0.0.66"), "potentially-blocked");
    assert.equal(
      agent.explain({ direction: "in", protocol: 6, peer: packet("10.0.0.66").source, port: 80 }).verdict,
      "potentially-blocked",
    );
    assert.deepEqual(connections.cutIds(), []);
    const result = await during(rig.clock, applied);
    assert.equal(result.state, "in-sync");
    assert.deepEqual(wrong, []);
    const lateId = (late as ReturnType<typeof flow> | null)?.id;
    // mirrored: its local end does not listen, so it was opened here, outbound, which full denies.
    assert.deepEqual(
      [...connections.cutIds()].sort(),
      [denied.id, silentDenied.id, mirrored.id, lateId].sort(),
    );
    assert.ok(rig.of("cut").every((event) => event.reason === "settled"));
  });

  test("a flow whose opening was not seen is inbound where its local end listens", async () => {
    await using rig = await createRig();
    const { connections } = rig.kernel;
    const server = flow("10.0.0.2", 80, { openingSeen: false });
    // The first packet seen was ours: the kernel takes the flow for an outbound one.
    const pushed = flow("10.0.0.2", 80, {
      openingSeen: false,
      direction: "out",
      original: flow("10.0.0.2").reply,
      reply: flow("10.0.0.2").original,
    });
    for (const each of [server, pushed]) {
      connections.track(each);
      connections.listening.add(each.id);
    }
    const agent = await rig.start({ settleMs: 30_000 });
    await during(rig.clock, agent.apply(webPolicy(["10.0.0.2"])));
    assert.deepEqual(connections.cutIds(), []);
  });

  test("a newer policy while settling is judged at the end, in the time that was left", async () => {
    await using rig = await createRig();
    const agent = await rig.start({ settleMs: 30_000 });
    const first = agent.apply(webPolicy(["10.0.0.2"]));
    await settling(agent);
    await rig.clock.advance(20_000);
    const second = agent.apply(webPolicy(["10.0.0.3"]));
    await rig.clock.advance(9_000);
    assert.equal(agent.status().state, "settling");
    await rig.clock.advance(1_500);
    assert.equal((await first).inForce, false);
    assert.equal((await second).inForce, true);
    assert.equal(verdict(rig, "10.0.0.2"), "blocked");
  });

  test("killed while settling, the next life settles anew and writes nothing first", async () => {
    await using rig = await createRig();
    const agent = await rig.start({ settleMs: 30_000 });
    const policy = webPolicy(["10.0.0.2"], { version: 1 });
    agent.apply(policy).catch(() => {});
    await settling(agent);
    await rig.clock.advance(10_000);
    await agent.close();
    const written = rig.kernel.history.length;
    const again = await rig.start({ settleMs: 30_000 });
    const applied = again.apply(policy);
    await rig.clock.advance(25_000);
    assert.equal(again.status().state, "settling");
    assert.equal(rig.kernel.history.length, written);
    assert.equal((await during(rig.clock, applied)).state, "in-sync");
  });

  test("killed while settling, and then given another policy: that one settles too", async () => {
    await using rig = await createRig();
    const agent = await rig.start({ settleMs: 30_000 });
    agent.apply(webPolicy(["10.0.0.2"])).catch(() => {});
    await settling(agent);
    await rig.clock.advance(10_000);
    await agent.close();
    const silentAllowed = flow("10.0.0.3");
    rig.kernel.connections.silent.push(silentAllowed);
    const again = await rig.start({ settleMs: 30_000 });
    const applied = again.apply(webPolicy(["10.0.0.3"], { reject: true }));
    await settling(again);
    await rig.clock.advance(25_000);
    assert.equal(again.status().state, "settling");
    assert.equal(verdict(rig, "10.0.0.66"), "potentially-blocked");
    assert.equal((await during(rig.clock, applied)).state, "in-sync");
    assert.equal(verdict(rig, "10.0.0.66"), "blocked");
    assert.ok(rig.kernel.connections.get(silentAllowed.id) !== null, "silent connections are entered");
    await again.close();

    const settled = await rig.start({ settleMs: 30_000 });
    await settled.apply(webPolicy(["10.0.0.4"], { reject: true }));
    assert.equal(verdict(rig, "10.0.0.3"), "blocked", "what has settled once does not settle again");
  });

  test("killed in visibility before tracking settled: enforcement still waits; long after, it does not", async () => {
    for (const [trackedMs, settles] of [
      [5_000, true],
      [31_000, false],
    ] as const) {
      await using rig = await createRig();
      const agent = await rig.start({ settleMs: 30_000 });
      await agent.apply(webPolicy(["10.0.0.2"], { mode: "visibility" }));
      await rig.clock.advance(trackedMs);
      await agent.close();
      const again = await rig.start({ settleMs: 30_000 });
      const applied = again.apply(webPolicy(["10.0.0.2"]));
      await during(rig.clock, applied);
      const states = rig.of("state").map(({ state }) => state);
      assert.equal(states.includes("settling"), settles, `after ${trackedMs} ms`);
    }
  });

  test("visibility does not settle; from there enforcement begins once tracking has run long enough", async () => {
    await using rig = await createRig();
    const agent = await rig.start({ settleMs: 30_000 });
    assert.equal((await agent.apply(webPolicy(["10.0.0.2"], { mode: "visibility" }))).state, "in-sync");
    await rig.clock.advance(10_000);
    const soon = agent.apply(webPolicy(["10.0.0.2"]));
    await rig.clock.advance(19_000);
    assert.equal(agent.status().state, "settling");
    await during(rig.clock, soon);
    await agent.apply(webPolicy(["10.0.0.2"], { mode: "visibility" }));
    await rig.clock.advance(60_000);
    const states = rig.of("state").length;
    await agent.apply(webPolicy(["10.0.0.2"]));
    assert.ok(
      !rig
        .of("state")
        .slice(states)
        .some((event) => event.state === "settling"),
    );
  });

  test("silent connections that cannot be entered are a problem, not an end", async () => {
    await using rig = await createRig();
    rig.kernel.connections.enterSilent = () => Promise.reject(new Error("EPERM"));
    const agent = await rig.start({ settleMs: 1_000 });
    const { state } = await during(rig.clock, agent.apply(webPolicy(["10.0.0.2"])));
    assert.equal(state, "in-sync");
    assert.equal(agent.status().problems[0]?.code, "settle-incomplete");
  });
});

describe("cutting", () => {
  test("a revoked rule cuts the flows it allowed, and no other; allowed again, they may pass", async () => {
    await using rig = await createRig();
    const { connections } = rig.kernel;
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2", "10.0.0.3"]));
    const kept = Array.from({ length: 40 }, () => flow("10.0.0.2"));
    const gone = Array.from({ length: 40 }, () => flow("10.0.0.3"));
    const closing = flow("10.0.0.3", 80, { closing: true });
    for (const each of [...kept, ...gone, closing]) connections.track(each);
    await agent.apply(addTo(agent, "web", [], ["10.0.0.3"]));
    assert.deepEqual([...connections.cutIds()].sort(), [...gone, closing].map(({ id }) => id).sort());
    const [event] = rig.of("cut");
    assert.equal(event?.cut, 40, "flows that were closing do not count");
    assert.equal(event?.examples.length, 20);
    assert.deepEqual(
      [...(event?.examples[0]?.original.source ?? [])],
      [10, 0, 0, 3],
      "an example outlives its batch",
    );
    assert.equal(agent.status().points[0]?.flowsCut, 41);
    await agent.apply(addTo(agent, "web", ["10.0.0.3"]));
    assert.deepEqual(connections.cutIds(), []);
  });

  test("visibility and idle restore marks, and back in full they are judged anew", async () => {
    await using rig = await createRig();
    const { connections } = rig.kernel;
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2"]));
    const denied = flow("10.0.0.66");
    connections.track(denied);
    await agent.apply(webPolicy(["10.0.0.2", "10.0.0.4"], { reject: true }));
    assert.deepEqual(connections.cutIds(), [denied.id]);
    for (const mode of ["visibility", "idle"] as const) {
      await agent.apply(webPolicy(["10.0.0.2"], { mode }));
      assert.deepEqual(connections.cutIds(), []);
      assert.equal(agent.status().state, mode === "idle" ? "idle" : "in-sync");
      await agent.apply(webPolicy(["10.0.0.2"]));
      assert.deepEqual(connections.cutIds(), [denied.id]);
    }
  });

  test("a newer policy breaks a long judgement off, but not for ever", async () => {
    await using rig = await createRig();
    const { connections } = rig.kernel;
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2"]));
    const flows = Array.from({ length: 64 }, () => flow("10.0.0.2"));
    for (const each of flows) connections.track(each);
    let sequence = 0;
    const pending: Promise<unknown>[] = [];
    connections.beforeBatch = async () => {
      if (sequence < 40) pending.push(agent.apply(webPolicy([`10.0.1.${sequence++}`])));
      await rig.clock.advance(100);
    };
    await during(rig.clock, agent.apply(webPolicy(["10.0.0.3"])), 0);
    // More of them may come while these are waited for.
    while (pending.length > 0) await during(rig.clock, Promise.all(pending.splice(0)), 0);
    assert.equal(connections.cutIds().length, 64);
    assert.equal(verdict(rig, "10.0.1.39"), "allowed");
  });

  test("a dump that fails is a problem; the policy is in force, and flows are judged when it works", async () => {
    await using rig = await createRig();
    const { connections } = rig.kernel;
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2", "10.0.0.66"]));
    const denied = flow("10.0.0.66");
    connections.track(denied);
    connections.beforeBatch = () => {
      throw new Error("ENOBUFS");
    };
    const { state } = await agent.apply(webPolicy(["10.0.0.2"]));
    assert.equal(state, "degraded");
    assert.equal(agent.status().problems[0]?.code, "cut-failed");
    connections.beforeBatch = () => {};
    await rig.clock.advance(10_000);
    assert.deepEqual(connections.cutIds(), [denied.id]);
    assert.equal(agent.status().state, "in-sync");
  });

  test("an overwritten mark is told and stands as a problem for a minute", async () => {
    await using rig = await createRig();
    const { connections } = rig.kernel;
    const agent = await rig.start();
    const denied = flow("10.0.0.66");
    connections.track(denied);
    await agent.apply(webPolicy(["10.0.0.2"]));
    connections.overwrite(denied.id);
    assert.equal(rig.of("cut").at(-1)?.reason, "mark-overwritten");
    assert.equal(agent.status().problems[0]?.code, "cut-mark-overwritten");
    assert.equal(agent.status().state, "in-sync");
    await rig.clock.advance(61_000);
    assert.deepEqual(agent.status().problems, []);
  });

  test("a preview says what would be cut and cuts nothing", async () => {
    await using rig = await createRig();
    const { connections } = rig.kernel;
    const agent = await rig.start();
    await agent.apply(webPolicy(["10.0.0.2", "10.0.0.3"]));
    for (let count = 0; count < 25; count++) connections.track(flow("10.0.0.3"));
    connections.track(flow("10.0.0.3", 80, { closing: true }));
    connections.track(flow("10.0.0.2"));
    const writes = connections.writes;
    const report = await agent.preview(webPolicy(["10.0.0.2", "10.0.0.8"]));
    assert.deepEqual([report.from, report.to], ["1.1", "1.2"]);
    assert.deepEqual({ ...report.sets }, { web: { added: 1, removed: 1 } });
    assert.deepEqual(report.rules, { added: [], removed: [], changed: [] });
    assert.equal(report.cuts.flows, 25);
    assert.equal(report.cuts.examples.length, 20);
    assert.deepEqual(report.cuts.examples[0], {
      source: "10.0.0.3",
      sourcePort: 40_000,
      destination: "10.0.0.1",
      protocol: "tcp",
      port: 80,
      direction: "in",
      rule: "web-in",
    });
    assert.equal(connections.writes, writes);
    assert.equal(agent.status().policyVersion, "1.1");
  });
});

describe("the host's budget", () => {
  test("refuses a policy that is too large before any work, and keeps the old one", async () => {
    await using rig = await createRig();
    const agent = await rig.start({ budget: { memoryMiB: 48.01 } });
    await agent.apply(webPolicy(["10.0.0.2"]));
    const written = rig.kernel.history.length;
    const many = Array.from({ length: 200 }, (_, index) => `10.1.0.${index}`);
    await assert.rejects(agent.apply(webPolicy(many)), { code: "over-budget" });
    assert.equal(rig.kernel.history.length, written);
    assert.equal(agent.status().problems[0]?.code, "policy-refused");
    assert.equal(agent.status().policyVersion, "1.1");
    assert.equal((await agent.preview(webPolicy(many))).cost.members, 200);
    await assert.rejects(rig.start({ budget: { memoryMiB: 0 } }), TypeError);
  });
});
