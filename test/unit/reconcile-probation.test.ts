import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  AddressSet,
  type Agent,
  type AgentOptions,
  type Policy,
  policyDelta,
  policyDigest,
} from "@antenna/sdk";
import { FakeLink, proofOf } from "./reconcile-fake-link.js";
import { createRig, during, flow, packet, type Rig, until, webPolicy } from "./reconcile-fixture.js";

const verdict = (rig: Rig, from: string, port = 80): string => rig.kernel.decide(packet(from, port)).verdict;
const [good, bad] = [webPolicy(["10.0.0.2"]), webPolicy(["10.0.0.3"])];
/** Connecting there fails at once and sends nothing (tcp_v4_connect refuses multicast). */
const unreachable = "224.0.0.1";
const canary = { direction: "out", peer: unreachable, protocol: "tcp", port: 5432 } as const;

interface Scene extends AsyncDisposable {
  readonly rig: Rig;
  readonly agent: Agent;
  readonly link: FakeLink;
}

/** An agent whose controller has given it version 1.1, which is in force and good. */
async function linked(options: Partial<AgentOptions> = {}): Promise<Scene> {
  const rig = await createRig();
  const link = new FakeLink();
  const agent = await rig.start({ link, ...options });
  await until(() => link.isOpen, "the link opened");
  await during(rig.clock, link.offer(good, 1, { probation: false }));
  assert.deepEqual(link.agent.report().applied, {
    version: { epoch: 1, sequence: 1 },
    digest: policyDigest(good),
  });
  return { rig, agent, link, [Symbol.asyncDispose]: () => rig[Symbol.asyncDispose]() };
}

/** The agent again, after a kill or a stop. */
async function again(rig: Rig, link: FakeLink, options: Partial<AgentOptions> = {}): Promise<Agent> {
  const agent = await rig.start({ link, ...options });
  await until(() => link.isOpen, "the link opened");
  return agent;
}

const stateOf = (agent: Agent): string => agent.status().state;
const codes = (agent: Agent): readonly string[] => agent.status().problems.map(({ code }) => code);

describe("a policy on trial", () => {
  test("is in force at once, counts as applied when it is confirmed, and is then stored with its proof", async () => {
    await using scene = await linked();
    const { rig, agent, link } = scene;
    link.onProbe = () => "silent";
    const offered = link.offer(bad, 2);
    await until(() => verdict(rig, "10.0.0.3") === "allowed", "in force");
    assert.equal(stateOf(agent), "applying");
    const onTrial = link.agent.report();
    assert.deepEqual(onTrial.applied?.version, { epoch: 1, sequence: 1 });
    assert.deepEqual(onTrial.floor, { epoch: 1, sequence: 2 });
    assert.equal(agent.status().policyVersion, "1.2");
    assert.deepEqual(link.agent.policy()?.version, { epoch: 1, sequence: 2 });
    await rig.clock.advance(1_000);
    link.onProbe = () => "answers";
    link.changes.splice(0);
    await during(rig.clock, offered);
    assert.equal(stateOf(agent), "in-sync");
    assert.deepEqual(link.agent.report().applied?.version, { epoch: 1, sequence: 2 });
    assert.ok(link.changes.includes("report"));
    assert.ok(rig.of("policy").at(-1)?.version === "1.2" && (rig.of("policy").at(-1)?.elapsedMs ?? 0) > 0);
    await agent.close();
    assert.ok(link.isClosed);
    const shown: (Uint8Array | null)[] = [];
    const next = new FakeLink();
    next.isTrusted = (proof) => shown.push(proof) > 0;
    const restarted = await again(rig, next);
    assert.deepEqual(shown, [proofOf(2)]);
    assert.equal(restarted.status().policyVersion, "1.2");
    assert.equal(next.agent.report().refused, null);
  });

  test("is confirmed by each canary too, a refused connection included", async () => {
    const refusing = { ...canary, peer: "127.0.0.1", port: 1 };
    await using scene = await linked({ commitConfirm: { canaries: [refusing] } });
    await during(scene.rig.clock, scene.link.offer(bad, 2));
    assert.equal(stateOf(scene.agent), "in-sync");
  });

  test("that denies a canary is rolled back at once", async () => {
    await using scene = await linked({ commitConfirm: { canaries: [canary], windowMs: 15_000 } });
    const { rig, agent, link } = scene;
    const began = rig.clock.now();
    await during(rig.clock, link.offer(bad, 2), 100);
    assert.ok(rig.clock.now() - began <= 5_000, `${rig.clock.now() - began} ms`);
    assert.equal(stateOf(agent), "rolled-back");
    assert.equal(verdict(rig, "10.0.0.2"), "allowed");
    assert.equal(verdict(rig, "10.0.0.3"), "blocked");
    const report = link.agent.report();
    assert.deepEqual(report.applied?.version, { epoch: 1, sequence: 1 });
    assert.equal(report.refused?.result, "rolled-back");
    assert.deepEqual(report.refused?.version, { epoch: 1, sequence: 2 });
    assert.match(
      report.refused?.reason ?? "",
      /^canary 224\.0\.0\.1:5432\/tcp: the default of mode full denies it/,
    );
    assert.match(
      agent.status().problems.find(({ code }) => code === "rolled-back")?.message ?? "",
      /1\.2 .*1\.1 is in force/,
    );
    // The controller takes the revision back: the good content under a higher version ends it.
    await during(rig.clock, link.offer(good, 3, { probation: false }));
    assert.equal(stateOf(agent), "in-sync");
    assert.deepEqual(codes(agent), []);
    assert.equal(link.agent.report().refused, null);
  });

  test("gives back, when it is rolled back, the flows that it had cut", async () => {
    await using scene = await linked({ commitConfirm: { canaries: [canary] } });
    const { rig, agent, link } = scene;
    const allowed = flow("10.0.0.2");
    rig.kernel.connections.track(allowed);
    const offered = link.offer(bad, 2);
    await until(() => rig.of("cut").length > 0, "cut");
    assert.deepEqual(rig.of("cut")[0]?.cut, 1);
    await during(rig.clock, offered, 100);
    assert.equal(stateOf(agent), "rolled-back");
    await during(
      rig.clock,
      until(() => rig.kernel.connections.cutIds().length === 0, "given back"),
      100,
    );
  });

  test("that denies DNS is rolled back at once where that essential is off and the controller has a name", async () => {
    const essentials = { dns: false, resolvers: AddressSet.from(["192.0.2.53"]) };
    await using scene = await linked({ essentials });
    const { rig, agent, link } = scene;
    link.state = { ...link.state, controller: "controller.invalid:8443" };
    const began = rig.clock.now();
    await during(rig.clock, link.offer(bad, 2), 100);
    assert.equal(stateOf(agent), "rolled-back");
    assert.ok(rig.clock.now() - began <= 5_000, `${rig.clock.now() - began} ms`);
    assert.match(
      link.agent.report().refused?.reason ?? "",
      /^the controller: its name can't be resolved: DNS: the default/,
    );
    // Known without DNS: the hosts file has this one everywhere.
    link.state = { ...link.state, controller: "localhost:8443" };
    await during(rig.clock, link.offer(webPolicy(["10.0.0.4"]), 3), 100);
    assert.equal(stateOf(agent), "in-sync");
    // With the essential nobody waits for a resolver, dead or alive.
    await agent.setEssentials({ ...essentials, dns: true });
    link.state = { ...link.state, controller: "controller.invalid:8443" };
    await during(rig.clock, link.offer(webPolicy(["10.0.0.5"]), 4), 100);
    assert.equal(stateOf(agent), "in-sync");
  });

  test("under which the controller is silent is rolled back when the one before does better", async () => {
    await using scene = await linked();
    const { rig, agent, link } = scene;
    link.onProbe = () => (verdict(rig, "10.0.0.2") === "allowed" ? "answers" : "silent");
    const began = rig.clock.now();
    await during(rig.clock, link.offer(bad, 2), 100);
    const tookMs = rig.clock.now() - began;
    assert.ok(tookMs >= 15_000 && tookMs <= 17_000, `${tookMs} ms`);
    assert.equal(stateOf(agent), "rolled-back");
    assert.match(
      link.agent.report().refused?.reason ?? "",
      /the controller did not answer within 15 s, and did under/,
    );
    assert.deepEqual(link.agent.report().floor, { epoch: 1, sequence: 2 });
  });

  test("stays, applying, while a dead controller is silent under every policy", async () => {
    await using scene = await linked();
    const { rig, agent, link } = scene;
    link.onProbe = () => "silent";
    const offered = link.offer(bad, 2);
    for (let second = 0; second < 40; second++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await rig.clock.advance(1_000);
    }
    assert.equal(stateOf(agent), "applying");
    assert.equal(verdict(rig, "10.0.0.3"), "allowed");
    assert.deepEqual(codes(agent), []);
    assert.equal(link.agent.report().refused, null);
    assert.deepEqual(link.agent.report().applied?.version, { epoch: 1, sequence: 1 });
    link.onProbe = () => "answers";
    await during(rig.clock, offered);
    assert.equal(stateOf(agent), "in-sync");
  });

  test("is never compared when the controller's host refuses: the path is open", async () => {
    await using scene = await linked();
    const { rig, agent, link } = scene;
    link.onProbe = () => "refuses";
    const offered = link.offer(bad, 2);
    await until(() => verdict(rig, "10.0.0.3") === "allowed", "in force");
    const before = rig.kernel.history.length;
    for (let second = 0; second < 40; second++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      await rig.clock.advance(1_000);
    }
    assert.equal(rig.kernel.history.length, before);
    assert.equal(stateOf(agent), "applying");
    link.onProbe = () => "answers";
    await during(rig.clock, offered);
    assert.equal(stateOf(agent), "in-sync");
  });

  test("that the kernel refuses is rolled back, with the kernel's words", async () => {
    await using scene = await linked();
    const { rig, agent, link } = scene;
    const words = "Invalid argument";
    // What was there before can be switched to; what is new can't be made.
    rig.kernel.refuseWhen((command) => (command.kind === "create-set" ? words : null));
    const wider = webPolicy(["10.0.0.3"], {
      sets: { web: ["10.0.0.3"], mail: ["10.1.0.0/16"] },
      rules: [
        {
          id: "mail-in",
          direction: "in",
          action: "allow",
          peers: ["mail"],
          services: [{ protocol: "tcp", ports: [25] }],
        },
      ],
    });
    await during(rig.clock, link.offer(wider, 2));
    assert.equal(stateOf(agent), "rolled-back");
    assert.equal(verdict(rig, "10.0.0.2"), "allowed");
    const report = link.agent.report();
    assert.equal(report.refused?.result, "rolled-back");
    assert.match(report.refused?.reason ?? "", /could not be put in force: .*Invalid argument/);
    rig.kernel.refuseWhen(null);
    await during(rig.clock, link.offer(webPolicy(["10.0.0.7"]), 3));
    assert.equal(stateOf(agent), "in-sync");
    assert.equal(verdict(rig, "10.0.0.7"), "allowed");
  });
});

describe("a trial that is broken off", () => {
  test("by a kill: the last good policy comes back, the controller hears of it, and may offer it again", async () => {
    await using scene = await linked();
    const { rig, agent, link } = scene;
    link.onProbe = () => "silent";
    const offered = link.offer(bad, 2);
    await until(() => verdict(rig, "10.0.0.3") === "allowed", "in force");
    await rig.clock.advance(1_000);
    // Closing writes no more than a kill does: what is good is on disk, the floor too.
    await agent.close();
    await offered;
    const next = new FakeLink();
    const restarted = await again(rig, next);
    await during(
      rig.clock,
      until(() => verdict(rig, "10.0.0.2") === "allowed", "the good one back"),
    );
    assert.equal(verdict(rig, "10.0.0.3"), "blocked");
    const report = next.agent.report();
    assert.equal(report.refused?.result, "interrupted");
    assert.deepEqual(report.refused?.version, { epoch: 1, sequence: 2 });
    assert.deepEqual(report.floor, { epoch: 1, sequence: 2 });
    assert.deepEqual(report.applied?.version, { epoch: 1, sequence: 1 });
    await during(rig.clock, next.offer(bad, 2));
    assert.equal(stateOf(restarted), "in-sync");
    assert.deepEqual(next.agent.report().applied?.version, { epoch: 1, sequence: 2 });
    assert.equal(next.agent.report().refused, null);
  });

  test("by a newer offer, which is judged for itself; what fails then leads to the last good one", async () => {
    await using scene = await linked();
    const { rig, link, agent } = scene;
    link.onProbe = () => "silent";
    const first = link.offer(bad, 2);
    await until(() => verdict(rig, "10.0.0.3") === "allowed", "in force");
    link.onProbe = () => (verdict(rig, "10.0.0.2") === "allowed" ? "answers" : "silent");
    const second = link.offer(webPolicy(["10.0.0.4"]), 3);
    await first;
    await during(rig.clock, second, 500);
    assert.equal(stateOf(agent), "rolled-back");
    assert.equal(verdict(rig, "10.0.0.2"), "allowed");
    assert.deepEqual(link.agent.report().refused?.version, { epoch: 1, sequence: 3 });
  });

  test("by the same offer without a trial: the controller knows by others that it is good", async () => {
    await using scene = await linked();
    const { rig, link, agent } = scene;
    link.onProbe = () => "silent";
    const first = link.offer(bad, 2);
    await until(() => verdict(rig, "10.0.0.3") === "allowed", "in force");
    await during(rig.clock, link.offer(bad, 2, { probation: false }));
    await first;
    assert.equal(stateOf(agent), "in-sync");
    assert.deepEqual(link.agent.report().applied?.version, { epoch: 1, sequence: 2 });
  });

  test("not by the same offer again, nor by one that is refused", async () => {
    await using scene = await linked();
    const { rig, link, agent } = scene;
    link.onProbe = () => "silent";
    const first = link.offer(bad, 2);
    const same = link.offer(bad, 2);
    await assert.rejects(link.offer(good, 1), { code: "version-refused" });
    await until(() => verdict(rig, "10.0.0.3") === "allowed", "in force");
    assert.deepEqual(link.agent.report().refused, {
      version: { epoch: 1, sequence: 1 },
      result: "refused",
      reason: link.agent.report().refused?.reason ?? "",
    });
    link.onProbe = () => "answers";
    await during(rig.clock, Promise.all([first, same]));
    assert.equal(stateOf(agent), "in-sync");
  });

  test("by a file: its policy is nobody's to judge", async () => {
    await using scene = await linked();
    const { rig, link, agent } = scene;
    link.onProbe = () => "silent";
    const offered = link.offer(bad, 2);
    await until(() => verdict(rig, "10.0.0.3") === "allowed", "in force");
    await during(rig.clock, agent.apply(webPolicy(["10.0.0.8"])));
    await offered;
    assert.equal(agent.status().policyVersion, "1.3");
    assert.equal(stateOf(agent), "in-sync");
    await rig.clock.advance(60_000);
    assert.equal(verdict(rig, "10.0.0.8"), "allowed");
  });

  test("by purge: nothing of ours comes back", async () => {
    await using scene = await linked();
    const { rig, link, agent } = scene;
    link.onProbe = () => "silent";
    const offered = link.offer(bad, 2);
    await until(() => verdict(rig, "10.0.0.3") === "allowed", "in force");
    const purging = agent.purge();
    const late = link.offer(webPolicy(["10.0.0.4"]), 3);
    const essentials = agent.setEssentials({ ntp: false });
    await Promise.all([late, essentials].map((call) => assert.rejects(call, { code: "closed" })));
    await during(rig.clock, purging);
    await offered;
    assert.equal(rig.kernel.setNames.size, 0);
    assert.equal(verdict(rig, "10.9.9.9"), "allowed");
  });
});

describe("a trial and", () => {
  test("suspending: nothing is proved without rules, and it begins anew when enforcement does", async () => {
    await using scene = await linked();
    const { rig, link, agent } = scene;
    await during(rig.clock, agent.suspend());
    const probes = link.probes;
    const offered = link.offer(bad, 2);
    await rig.clock.advance(60_000);
    assert.equal(link.probes, probes);
    assert.equal(stateOf(agent), "suspended");
    assert.deepEqual(link.agent.report().applied?.version, { epoch: 1, sequence: 1 });
    link.onProbe = () => "silent";
    await during(rig.clock, agent.resume());
    await until(() => verdict(rig, "10.0.0.3") === "allowed", "in force");
    assert.equal(stateOf(agent), "applying");
    await during(rig.clock, agent.suspend());
    link.onProbe = () => "answers";
    await rig.clock.advance(60_000);
    assert.equal(stateOf(agent), "suspended");
    assert.deepEqual(link.agent.report().applied?.version, { epoch: 1, sequence: 1 });
    await during(rig.clock, agent.resume());
    await during(rig.clock, offered);
    assert.equal(stateOf(agent), "in-sync");
    assert.deepEqual(link.agent.report().applied?.version, { epoch: 1, sequence: 2 });
  });

  test("settling: the window begins when something is dropped", async () => {
    await using scene = await linked({ settleMs: 30_000, commitConfirm: { windowMs: 5_000 } });
    const { rig, link, agent } = scene;
    await during(rig.clock, agent.suspend());
    await during(rig.clock, agent.resume());
    assert.equal(stateOf(agent), "settling");
    const probes = link.probes;
    const offered = link.offer(bad, 2);
    await rig.clock.advance(10_000);
    assert.equal(link.probes, probes);
    assert.equal(stateOf(agent), "settling");
    await during(rig.clock, offered);
    assert.ok(link.probes > probes);
    assert.equal(stateOf(agent), "in-sync");
  });

  test("idle: no rules, every path works", async () => {
    await using scene = await linked();
    const { rig, link, agent } = scene;
    await during(rig.clock, link.offer({ ...good, mode: "idle" }, 2));
    assert.equal(stateOf(agent), "idle");
    assert.deepEqual(link.agent.report().applied?.version, { epoch: 1, sequence: 2 });
  });

  test("new essentials: they go into both policies, and nothing is confirmed by them", async () => {
    await using scene = await linked();
    const { rig, link, agent } = scene;
    link.onProbe = () => "silent";
    const offered = link.offer(bad, 2);
    await until(() => verdict(rig, "10.0.0.3") === "allowed", "in force");
    await during(rig.clock, agent.setEssentials({ ntp: false }), 100);
    await link.agent.reach(AddressSet.from(["192.0.2.9"]), 8443);
    assert.equal(stateOf(agent), "applying");
    assert.equal(verdict(rig, "10.0.0.3"), "allowed");
    assert.deepEqual(link.agent.report().applied?.version, { epoch: 1, sequence: 1 });
    link.onProbe = () => "answers";
    await during(rig.clock, offered);
    assert.equal(stateOf(agent), "in-sync");
    const question = {
      direction: "out",
      protocol: 6,
      peer: Uint8Array.of(192, 0, 2, 9),
      port: 8443,
    } as const;
    assert.equal(agent.explain(question).stage, "essential");
    await during(rig.clock, agent.setEssentials({ ntp: true }));
    assert.equal(agent.explain(question).stage, "essential");
  });

  test("a rollback: the floor stays, deltas are made to the policy that is back", async () => {
    await using scene = await linked({ commitConfirm: { canaries: [canary] } });
    const { rig, link, agent } = scene;
    await during(rig.clock, link.offer(bad, 5), 100);
    assert.equal(stateOf(agent), "rolled-back");
    assert.deepEqual(link.agent.report().floor, { epoch: 1, sequence: 5 });
    await assert.rejects(link.offer(bad, 4), { code: "version-refused" });
    const base = link.agent.policy();
    assert.ok(base !== null);
    assert.equal(policyDigest(base), policyDigest(good));
    const next: Policy = webPolicy(["10.0.0.2", "10.0.0.6"]);
    const delta = policyDelta(base, next);
    const ofTheBad = policyDelta(bad, next);
    const digest = policyDigest(next);
    await assert.rejects(
      link.offerDelta(ofTheBad, 6, { digest }),
      (error: { problems: { path: string }[] }) => error.problems.some(({ path }) => path === "base"),
    );
    assert.notEqual(link.agent.report().refused?.version.sequence, 6);
    const plain = { ...delta, version: { epoch: 1, sequence: 6 } };
    await during(
      rig.clock,
      link.agent.offer({
        policy: plain,
        version: plain.version,
        digest,
        proof: proofOf(6),
        probation: false,
      }),
    );
    assert.equal(stateOf(agent), "in-sync");
    assert.equal(verdict(rig, "10.0.0.6"), "allowed");
    await agent.close();
    const restarted = await again(rig, new FakeLink());
    assert.equal(restarted.status().policyVersion, "1.6");
  });

  test("a delta that leads elsewhere than was signed: refused, the whole policy is asked for", async () => {
    await using scene = await linked();
    const { link, rig } = scene;
    const delta = policyDelta(good, bad);
    await assert.rejects(
      link.offerDelta(delta, 2, { digest: policyDigest(webPolicy(["10.6.6.6"])) }),
      (error: { code: string; problems: { path: string }[] }) =>
        error.code === "input-refused" && error.problems[0]?.path === "base",
    );
    assert.equal(verdict(rig, "10.0.0.2"), "allowed");
    assert.deepEqual(link.agent.report().floor, { epoch: 1, sequence: 1 });
  });
});

describe("a stored policy", () => {
  test("for which the link does not vouch is not enforced, and what stands in the kernel stays", async () => {
    await using scene = await linked();
    const { rig, agent } = scene;
    await agent.close();
    const doubting = new FakeLink();
    doubting.isTrusted = () => false;
    const restarted = await again(rig, doubting);
    assert.equal(restarted.status().policyVersion, null);
    assert.match(
      restarted.status().problems.find(({ code }) => code === "state-corrupt")?.message ?? "",
      /1\.1 does not come from this host's controller/,
    );
    assert.equal(verdict(rig, "10.0.0.2"), "allowed");
    assert.equal(verdict(rig, "10.0.0.3"), "blocked");
    // It was good once; that nobody vouches for it now is no trial that was broken off.
    assert.equal(doubting.agent.report().refused, null);
    assert.equal(doubting.agent.report().applied, null);
    await assert.rejects(doubting.offer(bad, 0), { code: "version-refused" });
    await during(rig.clock, doubting.offer(good, 1, { probation: false }));
    assert.equal(stateOf(restarted), "in-sync");
  });

  test("of a host that is not paired any more is enforced: there is nothing to judge it by", async () => {
    await using scene = await linked();
    const { rig, agent } = scene;
    await agent.close();
    const unpaired = new FakeLink();
    unpaired.workload = null;
    unpaired.isTrusted = () => false;
    const restarted = await again(rig, unpaired);
    assert.equal(restarted.status().policyVersion, "1.1");
    assert.equal(restarted.status().workload, "host");
    unpaired.workload = "w-00000000000000000000000000000002";
    assert.equal(restarted.status().workload, unpaired.workload);
    assert.equal(restarted.status().points[0]?.workload, unpaired.workload);
  });
});

test("the controller's address passes before it is dialled, settling or not", async () => {
  await using scene = await linked({ settleMs: 30_000 });
  const { rig, link, agent } = scene;
  await during(rig.clock, agent.suspend());
  await during(rig.clock, agent.resume());
  assert.equal(stateOf(agent), "settling");
  const now = rig.clock.now();
  await link.agent.reach(AddressSet.from(["192.0.2.7"]), 443);
  assert.equal(rig.clock.now(), now);
});
