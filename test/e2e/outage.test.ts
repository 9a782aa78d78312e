import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { promisify } from "node:util";
import { ip } from "../lab/namespace.js";
import type { Workload } from "../lab/workload.js";
import { ShiftedClock } from "./link-clock.js";
import { times } from "./link-figures.js";
import { LinkLab, statusOf, untilStatus } from "./link-lab.js";
import { Probe } from "./link-probe.js";
import { sharedNow } from "./link-probe-protocol.js";

// The controller is away, for long, or comes back as somebody else: agents enforce what they have, and find back by themselves.

const run = promisify(execFile);
const kills = times(5, 20);
const [open, closed, late] = [9_999, 9_998, 9_997];
const names = ["web1", "app1", "app2"];

function policy(ports: readonly number[]): string {
  return [
    "rulesets:",
    "  - name: fleet",
    "    rules:",
    `      - { from: { role: web }, to: { role: app }, services: [{ protocol: udp, ports: [${ports.join(", ")}] }] }`,
    "enforcement:",
    "  - { match: {}, mode: full }",
    "",
  ].join("\n");
}

test("outages of the controller", { timeout: 600_000 }, async (t) => {
  await using fleet = await Fleet.begin();
  const { lab, clock } = fleet;

  await t.test(
    `${kills} kills of the controller right after it acknowledged: nothing is lost`,
    async (context) => {
      for (let round = 0; round < kills; round++) {
        const value = `v${round}`;
        const { id } = await lab.workload("web1");
        const labelled = { id, set: { round: value }, removed: [] };
        // One act each round, and the kill comes with the answer.
        const acts = [
          async () => [await lab.apply(policy([open])), null, null] as const,
          async () => [null, (await lab.key({ role: "web" })).split(".")[0] ?? "", null] as const,
          async () => [null, null, await lab.ask("workload-label", labelled)] as const,
        ];
        const act = acts[round % acts.length] as () => Promise<
          readonly [number | null, string | null, unknown]
        >;
        const [revision, key, label] = await act();
        await lab.controller.stop("SIGKILL");
        await fleet.enforces();
        await fleet.serve();
        if (revision !== null)
          assert.ok(
            (await lab.history()).some((one) => one.revision === revision),
            `revision ${revision}`,
          );
        if (key !== null) {
          const { keys } = (await lab.ask("key-list")) as {
            readonly keys: readonly { readonly id: string }[];
          };
          assert.ok(
            keys.some((one) => one.id === key),
            `key ${key}`,
          );
        }
        if (label !== null) assert.equal((await lab.workload("web1")).labels.round, value);
      }
      await fleet.isBack(context);
    },
  );

  await t.test(
    "a controller from an older backup issues nothing until the operator raises the epoch",
    async (context) => {
      const backup = join(lab.folder, "backup.tar.gz");
      await lab.controller.must(["backup", backup]);
      for (const ports of [[open, late], [open]])
        assert.equal(await lab.settled(await lab.apply(policy(ports))), "in-force");
      await lab.inSync();
      const before = await fleet.versions();
      await lab.controller.stop();
      await rename(lab.controller.dataDir, `${lab.controller.dataDir}.lost`);
      await mkdir(lab.controller.dataDir, { mode: 0o700 });
      await run("/usr/bin/tar", ["-xzf", backup, "-C", lab.controller.dataDir]);
      await fleet.serve();
      await lab.until("refusals", (listed) =>
        listed.every(
          ({ online, problems }) => online && problems.some(({ code }) => code === "policy-refused"),
        ),
      );
      await lab.apply(policy([open, late]));
      await fleet.enforces();
      assert.deepEqual(await fleet.versions(), before, "nothing was issued");
      assert.ok((await lab.events("policy-refused")).length >= names.length, "an event of each workload");
      await lab.ask("policy-epoch-raise");
      await lab.inSync();
      const since = sharedNow();
      const { allMs } = await fleet.probe.ask({ op: "reach", since, ...fleet.asked(late) });
      assert.ok(allMs !== null, `the new revision is not in force${await lab.diary(fleet.web)}`);
      for (const version of await fleet.versions()) assert.match(version ?? "", /^2\./);
      assert.equal(await lab.settled(await lab.apply(policy([open]))), "in-force");
      await fleet.isBack(context);
    },
  );

  await t.test("away for 30 h: certificates expired meanwhile", async (context) => {
    const renewed = (await lab.events("renewed")).length;
    await lab.controller.stop("SIGKILL");
    await clock.set("+30h");
    await fleet.enforces();
    await fleet.serve();
    await fleet.isBack(context);
    assert.ok(
      (await lab.events("renewed")).length >= renewed + names.length,
      "everybody has a new certificate",
    );
  });

  await t.test("away for 10 days, the authority rotated twice meanwhile", async (context) => {
    const wire = (state: "up" | "down") => lab.controller.namespace.exec(ip, ["link", "set", "eth0", state]);
    await lab.controller.stop("SIGKILL");
    await wire("down");
    await fleet.serve();
    await lab.ask("ca-rotate");
    await clock.set("+5d");
    await lab.ask("ca-rotate");
    await clock.set("+11d");
    await fleet.enforces();
    await wire("up");
    await fleet.isBack(context);
    // What an agent enforces from now on is signed by a key that it did not know.
    assert.equal(await lab.settled(await lab.apply(policy([open, late]))), "in-force");
    const { allMs } = await fleet.probe.ask({ op: "reach", since: sharedNow(), ...fleet.asked(late) });
    assert.ok(allMs !== null, "a policy under the third key is not in force");
    assert.equal(await lab.settled(await lab.apply(policy([open]))), "in-force");
  });

  await t.test("a host boots in 1970", async (context) => {
    const { web } = fleet;
    await web.stopDaemon("SIGKILL");
    const own = await ShiftedClock.at(join(lab.folder, "boot-clock"));
    await own.set("@1970-01-01 00:00:10");
    const began = performance.now();
    await lab.startAgent(web, { environment: own.environment });
    await fleet.enforces();
    await lab.inSync(["web1"]);
    context.diagnostic(`in sync ${Math.round(performance.now() - began)} ms after a start in 1970`);
    const { problems = [] } = (await statusOf(web)) ?? {};
    assert.ok(
      problems.some(({ code }) => code === "clock-skew"),
      JSON.stringify(problems),
    );
    await own.set("+11d");
    assert.equal(await lab.settled(await lab.apply(policy([open, late]))), "in-force");
    await fleet.isBack(context);
    await untilStatus(web, "the clock to be right", (status) =>
      status.problems.every(({ code }) => code !== "clock-skew"),
    );
  });
});

/** A host that asks two others, on a clock that the test sets. */
class Fleet implements AsyncDisposable {
  readonly lab: LinkLab;
  readonly clock: ShiftedClock;
  readonly probe: Probe;
  readonly web: Workload;
  readonly #targets: readonly string[];

  private constructor(lab: LinkLab, clock: ShiftedClock, [web, ...apps]: readonly Workload[]) {
    if (web === undefined) throw new Error("no hosts");
    this.lab = lab;
    this.clock = clock;
    this.web = web;
    this.#targets = apps.map(({ address }) => address);
    this.probe = new Probe(web.namespace);
    lab.own(() => this.probe[Symbol.asyncDispose]());
  }

  static async begin(): Promise<Fleet> {
    const lab = await LinkLab.begin();
    try {
      const clock = await ShiftedClock.at(join(lab.folder, "clock"));
      await lab.controller.stop();
      await lab.controller.serve(clock.environment);
      const hosts = await lab.agents(
        names.map((name, index) => ({
          ...{ name, number: 10 + index },
          options: { labels: { role: name.replace(/\d/, "") }, environment: clock.environment },
        })),
      );
      const fleet = new Fleet(lab, clock, hosts);
      for (const { applications } of hosts.slice(1))
        await Promise.all([open, closed, late].map((port) => applications.echo(port)));
      assert.equal(await lab.settled(await lab.apply(policy([open]))), "in-force");
      await lab.inSync(names);
      await fleet.enforces();
      return fleet;
    } catch (error) {
      await lab[Symbol.asyncDispose]();
      throw error;
    }
  }

  async serve(): Promise<void> {
    await this.lab.controller.serve(this.clock.environment);
  }

  asked(port: number) {
    return { targets: this.#targets, port, patienceMs: 5_000 };
  }

  async versions(): Promise<readonly (string | null)[]> {
    return (await this.lab.workloads()).map(({ appliedVersion }) => appliedVersion);
  }

  /** What is allowed passes, what is not does not, at this moment. */
  async enforces(): Promise<void> {
    const since = sharedNow();
    const [allowed, denied, notYet] = await Promise.all([
      this.probe.ask({ op: "reach", since, ...this.asked(open) }),
      this.probe.ask({ op: "reach", since, ...this.asked(closed), patienceMs: 300 }),
      this.probe.ask({ op: "reach", since, ...this.asked(late), patienceMs: 300 }),
    ]);
    assert.deepEqual(allowed.late, [], "what is allowed does not pass");
    assert.equal(denied.firstMs ?? notYet.firstMs, null, "what is denied passes");
  }

  /** Everybody comes back without anybody's help. */
  async isBack(context: TestContext): Promise<void> {
    const began = performance.now();
    await this.lab.inSync(names, 60_000);
    context.diagnostic(`everybody is in sync ${Math.round(performance.now() - began)} ms later`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.lab[Symbol.asyncDispose]();
    await ShiftedClock.sweep();
  }
}
