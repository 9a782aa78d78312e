import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { inside, type Namespace } from "../lab/namespace.js";
import type { Workload } from "../lab/workload.js";
import { within } from "./link-figures.js";
import { isInSync, LinkLab, statusOf, untilStatus } from "./link-lab.js";
import { Probe } from "./link-probe.js";
import { sharedNow } from "./link-probe-protocol.js";

// Policies that cut what they must not, on real hosts, and how the fleet gets over them.

const windowMs = 4_000;
const [knocking, canary, extra] = [7_000, 8_080, 7_001];
const [gateNumber, controllerName] = [60, "controller.lab"];
const gate = `10.78.0.${gateNumber}`;
const nft = "/usr/sbin/nft";
const webs = ["web1", "web2", "web3"];

/** Who opens what; `named` is dialled by name and may ask for names by a rule alone. */
interface Allowed {
  readonly web: readonly ("http" | "knock" | "extra")[];
  readonly names: boolean;
}

const good: Allowed = { web: ["http", "knock"], names: true };

function policy({ web, names }: Allowed): string {
  return [
    "services:",
    `  http: [{ protocol: tcp, ports: [${canary}] }]`,
    `  knock: [{ protocol: udp, ports: [${knocking}] }]`,
    `  extra: [{ protocol: udp, ports: [${extra}] }]`,
    "  dns: [{ protocol: udp, ports: [53] }]",
    `ipLists: { gate: ["${gate}"] }`,
    "rulesets:",
    "  - name: fleet",
    "    rules:",
    `      - { from: { role: web }, to: { ipList: gate }, services: [${web.join(", ")}] }`,
    ...(names ? ["      - { from: { role: named }, to: { ipList: gate }, services: [dns] }"] : []),
    "enforcement:",
    "  - { match: {}, mode: full }",
    "",
  ].join("\n");
}

test("policies that must not stay", { timeout: 300_000 }, async (t) => {
  await using fleet = await Fleet.begin();
  const { lab } = fleet;

  await t.test("a canary that is denied: rolled back within 5 s, and the waves stop", async (context) => {
    await fleet.withdrawn(context, { ...good, web: ["knock"] }, 5_000);
  });

  await t.test("the controller's name can't be resolved any more: within 5 s", async (context) => {
    await fleet.withdrawn(context, { ...good, names: false }, 5_000);
  });

  await t.test("a canary falls silent, the policy allows it: within the window and 2 s", async (context) => {
    await fleet.withdrawn(context, { ...good, web: ["http"] }, windowMs + 2_000);
  });

  await t.test(
    "killed in the window: the last good one stands again, the revision comes once more",
    async (context) => {
      const revision = await lab.apply(policy({ ...good, web: ["http"] }));
      const victim = await fleet.onTrial();
      const probe = fleet.probe(victim);
      await victim.stopDaemon("SIGKILL");
      const asked = { targets: [gate], port: knocking, patienceMs: 10_000 };
      const dead = await probe.ask({ op: "reach", since: sharedNow(), ...asked, patienceMs: 300 });
      assert.equal(dead.firstMs, null, "the kernel goes on enforcing what stood in it");
      const since = sharedNow();
      await lab.startAgent(victim, fleet.options(victim));
      const { allMs } = await probe.ask({ op: "reach", since, ...asked });
      assert.ok(allMs !== null, `the last good policy is not in force${await lab.diary(victim)}`);
      context.diagnostic(`the last good policy is in force ${Math.round(allMs)} ms after the restart`);
      const again = await probe.ask({ op: "lose", since: sharedNow(), ...asked });
      assert.ok(again.allMs !== null, `it was not offered once more${await lab.diary(victim)}`);
      assert.equal(await lab.settled(revision), "withdrawn");
      await fleet.everybodyIsBack();
    },
  );

  await t.test("the controller is killed in the window: nothing is rolled back", async () => {
    const { namespace } = lab.controller;
    const before = (await lab.events("rolled-back")).length;
    // The session stays, but the new connection that would confirm gets no answer.
    await namespace.exec(nft, ["-f", "-"], newConnectionsDropped);
    const revision = await lab.apply(policy({ web: ["http", "knock", "extra"], names: true }));
    const victim = await fleet.onTrial();
    await lab.controller.stop("SIGKILL");
    await namespace.exec(nft, ["delete", "table", "ip", "closed"]);
    await delay(windowMs + 3_000);
    const { state = "none" } = (await statusOf(victim)) ?? {};
    assert.equal(state, "applying");
    const asked = { targets: [gate], port: extra, patienceMs: 5_000 };
    const reached = await fleet.probe(victim).ask({ op: "reach", since: sharedNow(), ...asked });
    assert.ok(reached.allMs !== null, "the new policy is not in force any more");
    await lab.controller.serve();
    assert.equal(await lab.settled(revision), "in-force");
    await fleet.inSync();
    assert.equal((await lab.events("rolled-back")).length, before);
  });
});

const newConnectionsDropped = `table ip closed {
  chain in {
    type filter hook input priority -10;
    tcp dport 8443 tcp flags & (syn | ack) == syn drop
  }
}
`;

/**
 * Lets a host in at the canary's port for half a second after it has knocked: a path that depends on another one. The first
 * packet of each connection is lost, so that what counts is the knocking a second after a policy came into force.
 */
const knocked = `table ip knocked {
  set hosts {
    type ipv4_addr; flags dynamic,timeout; timeout 500ms;
  }
  set begun {
    type ipv4_addr . inet_service; flags dynamic,timeout; timeout 10s;
  }
  chain in {
    type filter hook input priority -10;
    udp dport ${knocking} update @hosts { ip saddr }
    tcp dport ${canary} ip saddr . tcp sport != @begun add @begun { ip saddr . tcp sport } drop
    tcp dport ${canary} ip saddr != @hosts drop
  }
}
`;

/** Three hosts with a canary, one that dials its controller by name, and the gate that all of them need. */
class Fleet implements AsyncDisposable {
  readonly lab: LinkLab;
  readonly #hosts: readonly Workload[];
  readonly #probes = new Map<string, Probe>();
  readonly #resolvConf: string;

  private constructor(lab: LinkLab, hosts: readonly Workload[], resolvConf: string) {
    this.lab = lab;
    this.#hosts = hosts;
    this.#resolvConf = resolvConf;
  }

  static async begin(): Promise<Fleet> {
    const lab = await LinkLab.begin();
    try {
      const keeper = await lab.host("gate", gateNumber);
      await keeper.namespace.exec(nft, ["-f", "-"], knocked);
      await keeper.applications.listen([canary]);
      await Promise.all([knocking, extra].map((port) => keeper.applications.echo(port)));
      lab.own(await serveNames(keeper.namespace, lab.controller.address));
      const resolvConf = join(lab.folder, "resolv.conf");
      await writeFile(resolvConf, `nameserver ${gate}\noptions timeout:1 attempts:1\n`);
      const names = [...webs, "named"];
      const hosts: Workload[] = [];
      for (const [index, name] of names.entries()) hosts.push(await lab.host(name, 10 + index));
      const fleet = new Fleet(lab, hosts, resolvConf);
      await Promise.all(hosts.map((host) => fleet.#start(host)));
      await lab.until("everybody to be paired", (listed) => listed.length === names.length);
      assert.equal(await lab.settled(await lab.apply(policy(good))), "in-force");
      await fleet.inSync();
      return fleet;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  async #start(host: Workload): Promise<void> {
    const isWeb = webs.includes(host.name);
    await this.lab.startAgent(host, {
      ...this.options(host),
      labels: { role: isWeb ? "web" : "named" },
    });
    if (!isWeb) return;
    const probe = new Probe(host.namespace);
    this.#probes.set(host.name, probe);
    this.lab.own(() => probe[Symbol.asyncDispose]());
    await host.applications.startPump("knock", { host: gate, port: knocking, perSecond: 20, flows: 1 });
  }

  options(host: Workload): Parameters<LinkLab["startAgent"]>[1] {
    const listed = `{ direction: out, protocol: tcp, peer: "${gate}", port: ${canary} }`;
    if (webs.includes(host.name))
      return { configuration: `commitConfirm: { window: ${windowMs / 1_000}s, canaries: [ ${listed} ] }\n` };
    return {
      controller: `${controllerName}:${this.lab.controller.port}`,
      configuration: `essentials: { dns: false }\ncommitConfirm: { window: ${windowMs / 1_000}s }\n`,
      resolvConf: this.#resolvConf,
    };
  }

  probe(host: Workload): Probe {
    const probe = this.#probes.get(host.name);
    if (probe === undefined) throw new Error(`${host.name} has no prober`);
    return probe;
  }

  /** Applies a bad policy and follows it to its end; see `everybodyIsBack`. */
  async withdrawn(context: TestContext, bad: Allowed, limitMs: number): Promise<void> {
    const before = await this.lab.workloads();
    const digests = await this.#digests();
    const rolledBack = (await this.lab.events("rolled-back")).length;
    let rounds = 0;
    await within(limitMs, async () => {
      rounds++;
      const began = performance.now();
      const revision = await this.lab.apply(policy(bad));
      assert.equal(await this.lab.settled(revision), "withdrawn");
      const elapsed = performance.now() - began;
      context.diagnostic(`withdrawn ${Math.round(elapsed)} ms after it was applied`);
      await this.everybodyIsBack();
      return elapsed;
    });
    const events = await this.lab.events("rolled-back");
    assert.equal(events.length - rolledBack, rounds, "one host of the first wave had it, nobody else");
    assert.deepEqual(await this.#digests(), digests, "everybody has the last good content");
    for (const { name, policyVersion } of await this.lab.workloads()) {
      const old = before.find((one) => one.name === name)?.policyVersion ?? "";
      const host = events.slice(0, rounds).some(({ message }) => message.includes(name));
      assert.ok(
        sequenceOf(policyVersion) >= sequenceOf(old) + (host ? 1 : 0),
        `${name}: ${policyVersion} after ${old}`,
      );
    }
  }

  /** The bad revision is marked, and everybody enforces what was good. */
  async everybodyIsBack(): Promise<void> {
    const [last] = await this.lab.history();
    assert.equal(last?.state, "withdrawn");
    await this.inSync();
    for (const host of this.#hosts.filter(({ name }) => webs.includes(name))) {
      assert.ok(await host.applications.reaches(gate, canary, 3_000), `${host.name} does not reach the gate`);
    }
  }

  async inSync(): Promise<void> {
    await this.lab.until(
      "everybody in sync",
      (listed) => listed.length === this.#hosts.length && listed.every(isInSync),
    );
  }

  /** The host on which a revision is on trial now. */
  async onTrial(): Promise<Workload> {
    const ended = new AbortController();
    const tries = this.#hosts.map(async (host) => {
      await untilStatus(host, "a trial", ({ state }) => ended.signal.aborted || state === "applying", 15_000);
      return host;
    });
    try {
      return await Promise.any(tries);
    } finally {
      ended.abort();
      await Promise.allSettled(tries);
    }
  }

  async #digests(): Promise<readonly (string | null)[]> {
    return await Promise.all(this.#hosts.map(async (host) => (await statusOf(host))?.policyDigest ?? null));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]();
  }
}

function sequenceOf(version: string | null): number {
  return Number(version?.split(".")[1] ?? 0);
}

/** Answers for the controller's name at the gate; gives what ends it. */
async function serveNames(namespace: Namespace, address: string): Promise<() => Promise<void>> {
  const program = join(import.meta.dirname, "link-name-server.js");
  const [file, args] = inside(namespace.path, process.execPath, [program, gate, controllerName, address]);
  const server = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
  await once(server.stdout, "data");
  return async () => {
    const ended = once(server, "exit");
    server.stdin.end();
    await ended;
  };
}
