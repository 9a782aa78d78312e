import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Agent, evaluate, formatVersion, type Packet, type Policy, policyDelta } from "@antenna/sdk";
import { flowPacket } from "@antenna/sdk/internal/reconcile/flow-packet.js";
import { Random, runSeed } from "./random.js";
import { createRig, flow, packet, type Rig, until, webPolicy } from "./reconcile-fixture.js";

const seed = runSeed("reconcile-walk");
const walks = 40;
const stepsPerWalk = 14;

const hosts = ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.1.0/24", "fd00::2", "fd00::3"];
const probes: readonly Packet[] = [
  "10.0.0.2",
  "10.0.0.3",
  "10.0.0.4",
  "10.0.1.9",
  "10.9.9.9",
  "fd00::2",
  "fd00::3",
].flatMap((from) => [80, 443].map((port) => packet(from, port)));

/** An agent that is started, fed, killed, refused and meddled with at random, and everything that may be true of it. */
class Walk {
  readonly #rig: Rig;
  readonly #random: Random;
  readonly #settleMs: number;
  #agent: Agent | null = null;
  #sequence = 0;
  /** The policies that packets may be judged by now; null: no rules. */
  #possible: (Policy | null)[] = [null];
  /** Set by a foreign hand until the agent has had time. */
  #meddled = false;
  readonly story: string[] = [];
  readonly wrong: string[] = [];
  /** States that were looked at. */
  checks = 0;

  constructor(rig: Rig, random: Random) {
    this.#rig = rig;
    this.#random = random;
    this.#settleMs = random.pick([0, 0, 5_000]);
    rig.kernel.afterCommand = (command) => this.#check(command.kind);
    for (let count = 0; count < 30; count++) {
      const from = random.pick(probes).source;
      const own = flow("10.0.0.2", random.pick([80, 443]));
      const original = {
        ...own.original,
        source: from,
        destination: from.length === 4 ? own.original.destination : packet("fd00::1").destination,
      };
      const reply = { ...own.reply, source: original.destination, destination: from };
      rig.kernel.connections.track({ ...own, family: from.length === 4 ? 4 : 6, original, reply });
    }
  }

  async step(): Promise<void> {
    const random = this.#random;
    const agent = this.#agent;
    if (agent === null) {
      await this.#start();
      return;
    }
    const roll = random.below(12);
    if (roll < 4) await this.#apply(agent);
    else if (roll === 4) await this.#restart(agent);
    else if (roll === 5) this.#refuse();
    else if (roll === 6) this.#refuseAll();
    else if (roll < 9) await this.#meddle();
    else if (roll === 9) await this.#suspend(agent);
    else await this.#wait();
  }

  async end(): Promise<void> {
    this.#rig.kernel.refuseWhen(null);
    const agent = this.#agent ?? (await this.#start());
    this.#possible.push(this.#latest());
    if (agent.status().state === "suspended") await agent.resume();
    if (this.#latest() === null) return;
    for (let turn = 0; turn < 200 && agent.status().state !== "in-sync"; turn++) {
      await this.#rig.clock.advance(5_000);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await this.#rig.clock.advance(120_000);
    await until(() => agent.status().state === "in-sync", "in-sync at the end");
    const policy = agent.policy();
    assert.ok(policy !== null);
    assert.equal(formatVersion(policy.version ?? { epoch: 0, sequence: 0 }), `1.${this.#sequence}`);
    for (const probe of probes) {
      const meant: string = evaluate(policy, probe).verdict;
      assert.equal(this.#rig.kernel.decide(probe).verdict, meant, "the kernel does not mean the policy");
    }
    assert.equal((await agent.verify()).ok, true);
    const { connections } = this.#rig.kernel;
    for await (const batch of connections.dump()) {
      for (const each of batch) {
        const opening = flowPacket(each, () => true);
        if (opening === null) continue;
        assert.equal(
          each.cut,
          evaluate(policy, opening).verdict === "blocked",
          "a flow is cut wrongly, or not",
        );
      }
    }
    const standing = [...(this.#rig.kernel.rules(4)?.installed.instances.values() ?? [])].map(
      ({ name }) => name,
    );
    assert.deepEqual([...this.#rig.kernel.setNames].sort(), standing.sort(), "leftovers");
  }

  readonly #given: Policy[] = [];

  #latest(): Policy | null {
    return this.#given.at(-1) ?? null;
  }

  async #start(): Promise<Agent> {
    this.story.push("start");
    const agent = await this.#rig.start({ settleMs: this.#settleMs });
    this.#agent = agent;
    agent.on("policy", ({ version }) => {
      const at = this.#possible.findIndex(
        (policy) => policy?.version != null && formatVersion(policy.version) === version,
      );
      if (at > 0) this.#possible = this.#possible.slice(at);
    });
    // A file is read again at every start.
    const latest = this.#latest();
    if (latest !== null) agent.apply(latest).catch(() => {});
    await this.#rig.clock.settle();
    return agent;
  }

  async #apply(agent: Agent): Promise<void> {
    const random = this.#random;
    const count = random.between(1, 3);
    for (let one = 0; one < count; one++) {
      this.#sequence += 1;
      const version = `1.${this.#sequence}`;
      const members = hosts.filter(() => random.chance(0.5));
      const latest = this.#latest();
      const small = latest !== null && random.chance(0.5);
      const policy = small
        ? { ...webPolicy(members, { version }), mode: latest.mode, rules: latest.rules }
        : webPolicy(members, {
            version,
            mode: random.pick(["full", "full", "full", "visibility", "selective"]),
            reject: random.chance(0.5),
            enforce: [{ protocol: "tcp", ports: [80] }],
            rules: [
              {
                id: "web-in",
                direction: "in",
                action: random.pick(["allow", "allow", "deny"]),
                peers: ["web"],
                services: [{ protocol: "tcp", ports: [random.pick([80, 443])] }],
              },
            ],
          });
      this.story.push(`apply ${version} ${policy.mode} ${members.join(" ")}`);
      this.#given.push(policy);
      this.#possible.push(policy);
      const known = agent.policy();
      const isNext =
        known !== null && latest !== null && known.version?.sequence === latest.version?.sequence;
      const input = isNext && random.chance(0.7) ? policyDelta(known, policy) : policy;
      const applied = agent.apply(input);
      // A delta may come too late for its base: then the whole policy is given.
      applied.catch((error: { readonly code: string }) => {
        if (error.code === "input-refused") agent.apply(policy).catch(() => {});
      });
      if (random.chance(0.5)) await this.#rig.clock.settle();
    }
    if (random.chance(0.7)) await this.#wait();
  }

  /** Killed at whatever it is doing. */
  async #restart(agent: Agent): Promise<void> {
    this.story.push("kill");
    this.#agent = null;
    this.#rig.kernel.refuseWhen(() => "killed");
    await agent.close();
    this.#rig.kernel.refuseWhen(null);
    if (this.#random.chance(0.7)) await this.#start();
  }

  #refuse(): void {
    const n = this.#random.below(6);
    this.story.push(`refuse ${n}`);
    this.#rig.kernel.refuseCommand(n);
  }

  #refuseAll(): void {
    this.story.push("refuse from now on");
    const until = this.#rig.clock.now() + this.#random.below(20_000);
    this.#rig.kernel.refuseWhen(() => (this.#rig.clock.now() < until ? "Device or resource busy" : null));
  }

  async #meddle(): Promise<void> {
    const { kernel } = this.#rig;
    const random = this.#random;
    const [name] = kernel.setNames;
    const set = name === undefined ? null : kernel.set(name);
    const entry = set?.entries().find(() => random.chance(0.5));
    this.#meddled = true;
    const what = random.below(6);
    this.story.push(`meddle ${what}`);
    if (what === 0) kernel.flushRules(random.pick([4, 6]));
    else if (what === 1) kernel.flushAll();
    else if (what === 2) kernel.insertBefore(random.pick([4, 6]));
    else if (what === 3) kernel.widenRule(random.pick([4, 6]));
    else if (name !== undefined && entry !== undefined) {
      if (what === 4) kernel.dropEntry(name, entry);
      else
        kernel.swapEntry(name, entry, entry.includes(",") ? `10.7.7.7,${entry.split(",")[1]}` : "10.7.7.7");
    }
    await this.#rig.clock.advance(random.pick([0, 500, 40_000]));
    const agent = this.#agent;
    if (agent !== null && (await agent.verify().catch(() => null))?.ok === true) this.#meddled = false;
  }

  async #suspend(agent: Agent): Promise<void> {
    this.story.push("suspend, resume");
    const latest = this.#latest();
    this.#possible.push(null);
    const suspended = agent.suspend();
    suspended.catch(() => {});
    await this.#rig.clock.settle();
    if (this.#random.chance(0.5)) await this.#wait();
    this.#possible.push(latest);
    agent.resume().catch(() => {});
    await this.#rig.clock.settle();
  }

  async #wait(): Promise<void> {
    const ms = this.#random.pick([10, 1_000, 6_000, 120_000]);
    this.story.push(`wait ${ms}`);
    await this.#rig.clock.advance(ms);
    await new Promise((resolve) => setTimeout(resolve, 1));
    if (ms >= 6_000 && this.#agent?.status().state === "in-sync") {
      this.#meddled = !((await this.#agent.verify().catch(() => null))?.ok ?? false);
    }
  }

  #check(kind: string): void {
    if (this.#meddled) return;
    this.checks += 1;
    for (const probe of probes) {
      const passes = this.#rig.kernel.decide(probe).verdict !== "blocked";
      const possible = this.#possible.some((policy) => {
        if (policy === null || policy.mode === "visibility") return passes;
        // While settling nothing is dropped, which is what there was before.
        return passes === (evaluate(policy, probe).verdict !== "blocked");
      });
      if (!possible) this.wrong.push(`after ${kind} at step ${this.story.length}: a third verdict`);
    }
  }
}

describe("a random walk", () => {
  test(`${walks} of them: every packet is judged by the policy before or the one after, and in the end by the last one`, async () => {
    let checks = 0;
    for (let round = 0; round < walks; round++) {
      const random = new Random(seed + round);
      await using rig = await createRig();
      const walk = new Walk(rig, random);
      try {
        for (let step = 0; step < stepsPerWalk; step++) await walk.step();
        await walk.end();
        assert.deepEqual(walk.wrong, []);
        checks += walk.checks;
      } catch (error) {
        throw new Error(`walk ${seed + round}: ${walk.story.join("; ")}: ${String(error)}`, { cause: error });
      }
    }
    assert.ok(checks > walks * 10, `only ${checks} states were looked at`);
  });
});
