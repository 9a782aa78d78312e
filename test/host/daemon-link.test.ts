import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import type { Namespace } from "../lab/namespace.js";
import { controllerAddress, createSite, type Site } from "./daemon-controller.js";
import { DaemonProcess, type Finished, runAntenna, scratch } from "./daemon-process.js";

const iptables = "/usr/sbin/iptables-nft";

interface Status {
  readonly workload: string;
  readonly state: string;
  readonly mode: string | null;
  readonly policyVersion: string | null;
  readonly link: {
    readonly state: string;
    readonly controller: string | null;
    readonly lastSync: string | null;
  };
  readonly problems: readonly { readonly code: string; readonly message: string }[];
}

/** Web servers are enforced; `extra` are more rules. */
const labelPolicy = (extra = ""): string => `
rulesets:
  - name: web
    scope: {}
    rules:
      - { from: { ipList: any }, to: { role: web }, services: [{ protocol: tcp, ports: [80] }] }
${extra}
enforcement: [{ match: { role: web }, mode: full }]
`;
const canaryRule =
  "      - { from: { role: web }, to: { ipList: any }, services: [{ protocol: tcp, ports: [7000] }] }";

class Host implements AsyncDisposable {
  readonly namespace: Namespace;
  readonly stateDir: string;
  readonly daemon: DaemonProcess;

  constructor(site: Site, directory: string, args: readonly string[] = [], environment = {}) {
    this.namespace = site.host;
    this.stateDir = join(directory, "state");
    const fixed = ["--controller", controllerAddress, "--state-dir", this.stateDir, "--settle", "0s"];
    this.daemon = new DaemonProcess({ namespace: site.host, args: [...fixed, ...args], environment });
  }

  run(command: string, ...args: readonly string[]): Promise<Finished> {
    return runAntenna(this.namespace, [command, "--state-dir", this.stateDir, ...args]);
  }

  async status(): Promise<Status | null> {
    const { code, stdout } = await this.run("status", "--json");
    return code === 0 ? (JSON.parse(stdout) as Status) : null;
  }

  async until(holds: (status: Status) => boolean, what: string, timeoutMs = 20_000): Promise<Status> {
    const end = performance.now() + timeoutMs;
    for (;;) {
      const status = await this.status();
      if (status !== null && holds(status)) return status;
      if (performance.now() > end)
        assert.fail(`never ${what}: ${JSON.stringify(status)}\n${this.daemon.log}`);
      await sleep(100);
    }
  }

  codes({ problems }: Status): readonly string[] {
    return problems.map(({ code }) => code);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.daemon[Symbol.asyncDispose]();
  }
}

function pairIn(
  site: Site,
  stateDir: string,
  key: string,
  controller = controllerAddress,
): Promise<Finished> {
  return runAntenna(site.host, ["pair", "--controller", controller, "--state-dir", stateDir], { input: key });
}

describe("a daemon with a controller", () => {
  test("waits to be paired, obeys, and keeps its policy when it is unpaired", async () => {
    await using site = await createSite();
    await using directory = await scratch();
    const key = await site.controller.key("web");
    {
      await using host = new Host(site, directory.path);
      const waiting = await host.until((status) => host.codes(status).includes("not-paired"), "waiting");
      assert.equal(waiting.link.state, "none");
      assert.equal(waiting.link.controller, controllerAddress);
      const paired = await pairIn(site, host.stateDir, `${key}\n`);
      assert.equal(paired.code, 0, paired.stderr);
      const { workload } = await host.until(({ link }) => link.state === "connected", "connected");
      assert.match(workload, /^w-[0-9a-f]{32}$/);
      assert.ok(paired.stdout.includes(workload), paired.stdout);
      const again = await pairIn(site, host.stateDir, key);
      assert.equal(again.code, 1);
      assert.match(again.stderr, /paired already, as w-/);

      await site.controller.ask("apply", labelPolicy());
      const obeying = await host.until(
        ({ mode, state }) => mode === "full" && state === "in-sync",
        "in force",
      );
      assert.deepEqual(obeying.problems, []);
      assert.ok(obeying.link.lastSync !== null);
      const people = await host.run("status");
      assert.match(people.stdout, /^link +connected, controller 10\.77\.0\.1:8443$/m);
      const { stdout } = await host.run("context", "--json");
      const context = JSON.parse(stdout) as Record<string, unknown>;
      const order = "workload hostname os virtualization addresses services cloud containers".split(" ");
      assert.deepEqual(Object.keys(context), order);
      assert.equal(context.workload, workload);
      assert.deepEqual(context.addresses, [
        { address: "10.77.0.2", prefix: 24, interface: "eth0", scope: "routable" },
      ]);
      assert.deepEqual(context.containers, []);

      const unpaired = await host.run("unpair");
      assert.equal(unpaired.code, 0, unpaired.stderr);
      assert.match(unpaired.stdout, /policy in force stays/);
      const alone = await host.until(({ link }) => link.state === "none", "unpaired");
      assert.equal(alone.policyVersion, obeying.policyVersion);
      assert.equal(await host.daemon.stop(), 0);
    }
    // Across a restart too, and through its own policy it can be paired again, as who it was.
    await using host = new Host(site, directory.path);
    await host.until(({ mode, state }) => mode === "full" && state === "in-sync", "enforced again");
    const back = await pairIn(site, host.stateDir, key);
    assert.equal(back.code, 0, back.stderr);
    await host.until(({ link }) => link.state === "connected", "connected again");
    const { workloads } = await site.controller.ask<{ workloads: unknown[] }>("workloads");
    assert.equal(workloads.length, 1);
    const purged = await host.run("purge", "--json");
    assert.equal(purged.code, 0, purged.stderr);
    await assert.rejects(readFile(join(host.stateDir, "identity", "key.pem")), { code: "ENOENT" });
  });

  test("pairs by itself when the way opens, and names the owner's rule that closed it", async () => {
    await using site = await createSite();
    await using directory = await scratch();
    const closing = ["-p", "tcp", "--dport", "8443", "-j", "DROP"];
    await site.host.exec(iptables, ["-A", "OUTPUT", ...closing]);
    const key = await site.controller.key("web");
    const [, secret = ""] = key.split(".");
    await using host = new Host(site, directory.path, ["--purge-on-exit"], { ANTENNA_PAIRING_KEY: key });
    const named = (status: Status): boolean =>
      status.problems.some(
        ({ code, message }) =>
          code === "not-paired" && message.includes("--dport 8443 -j DROP` (table filter)"),
      );
    await host.until(named, "named the rule", 30_000);
    const check = await runAntenna(site.host, [
      "check",
      "--controller",
      controllerAddress,
      "--state-dir",
      host.stateDir,
    ]);
    assert.match(check.stdout, /^yellow +controller .*--dport 8443 -j DROP/m);
    await site.host.exec(iptables, ["-D", "OUTPUT", ...closing]);
    await host.until(({ link }) => link.state === "connected", "paired", 45_000);
    assert.ok(!host.daemon.log.includes(secret), "the key is in the log");
    const commandLine = await readFile(`/proc/${host.daemon.pid}/cmdline`, "utf8");
    assert.ok(!commandLine.includes(secret));

    await site.host.exec(iptables, ["-A", "OUTPUT", ...closing]);
    await site.controller.kill();
    const rule = (status: Status): boolean =>
      status.problems.some(
        ({ code, message }) => code === "link-down" && /owner's rule .*8443 -j DROP/.test(message),
      );
    await host.until(rule, "link down for the rule", 30_000);
    const question = ["--direction", "out", "--protocol", "tcp", "--peer", "10.77.0.1", "--port", "8443"];
    const explained = JSON.parse((await host.run("explain", ...question, "--json")).stdout) as {
      stage: string;
      foreign: readonly { rule: string }[];
    };
    assert.match(explained.foreign[0]?.rule ?? "", /8443 -j DROP/);
  });

  test("rolls a policy back that denies a canary, and tells the controller", async () => {
    await using site = await createSite();
    await using directory = await scratch();
    const key = await directory.write("key", await site.controller.key("web"));
    const config = await directory.write(
      "antenna.yaml",
      "commitConfirm: { window: 5s, canaries: [{ direction: out, peer: 10.77.0.1, protocol: tcp, port: 7000 }] }\n",
    );
    await using host = new Host(site, directory.path, ["--key-file", key, "--config", config]);
    await host.until(({ link }) => link.state === "connected", "connected");
    await site.controller.ask("apply", labelPolicy(canaryRule));
    const good = await host.until(({ mode, state }) => mode === "full" && state === "in-sync", "confirmed");
    await site.controller.ask("apply", labelPolicy());
    const revisions = async (): Promise<readonly string[]> =>
      (await site.controller.ask<{ revisions: { revision: number; state: string }[] }>("history")).revisions
        .toSorted((a, b) => a.revision - b.revision)
        .map(({ state }) => state);
    const end = performance.now() + 10_000;
    while (!(await revisions()).includes("withdrawn") && performance.now() < end) await sleep(50);
    assert.deepEqual(await revisions(), ["in-force", "withdrawn"]);
    const back = await host.until(({ state }) => state === "in-sync", "back");
    assert.equal(back.mode, "full");
    assert.notEqual(back.policyVersion, good.policyVersion);
    assert.match(
      host.daemon.log,
      /was rolled back: canary 10\.77\.0\.1:7000\/tcp: the default of mode full denies it/,
    );
  });

  test("killed while a policy is on trial, starts with the last good one, controller or not", async () => {
    await using site = await createSite();
    await using directory = await scratch();
    const key = await directory.write("key", await site.controller.key("web"));
    // Nobody has that address: silence, which no policy is to blame for.
    const config = await directory.write(
      "antenna.yaml",
      "commitConfirm: { window: 1s, canaries: [{ direction: out, peer: 10.77.0.99, protocol: tcp, port: 7000 }] }\n",
    );
    const args = ["--key-file", key, "--config", config];
    let good: Status;
    {
      await using host = new Host(site, directory.path, args);
      good = await host.until(
        ({ mode, state }) => mode === "visibility" && state === "in-sync",
        "a first policy",
      );
      await site.controller.ask("apply", labelPolicy(canaryRule));
      await host.until(({ mode, state }) => mode === "full" && state === "applying", "on trial");
      // Past its window: silent under the policy before as well, so that nothing is withdrawn.
      await sleep(4_000);
      const still = await host.until(({ mode }) => mode === "full", "still on trial");
      assert.equal(still.state, "applying");
      assert.ok(!host.codes(still).includes("rolled-back"));
      host.daemon.signal("SIGKILL");
      await host.daemon.exited();
    }
    await site.controller.kill();
    await using host = new Host(site, directory.path, args);
    const back = await host.until(({ state }) => state === "in-sync", "back");
    assert.equal(back.mode, "visibility");
    assert.equal(back.policyVersion, good.policyVersion);
    assert.equal(back.workload, good.workload);
    assert.equal(await host.daemon.stop(), 0);
  });
});

test("pairing that fails says why: nobody there, somebody else, the key is no good any more, no key, not a key", async () => {
  await using site = await createSite();
  await using directory = await scratch();
  const stateDir = join(directory.path, "state");
  const key = await site.controller.key("web");
  const [id = "", secret = ""] = key.split(".");
  const failed = new Map<string, Finished>([
    ["unreachable", await pairIn(site, stateDir, key, "10.77.0.1:8444")],
    ["untrusted", await pairIn(site, stateDir, `${id}.${secret}.${"0".repeat(64)}`)],
  ]);
  await site.controller.ask("revokeKey", id);
  failed.set("refused", await pairIn(site, stateDir, key));
  for (const [what, { code, stderr }] of failed) {
    assert.equal(code, 1, `${what}: ${stderr}`);
    assert.ok(!stderr.includes(secret), what);
  }
  assert.match(failed.get("unreachable")?.stderr ?? "", /8444.*\n.*ECONNREFUSED/);
  assert.match(
    failed.get("untrusted")?.stderr ?? "",
    /not the controller that made the key.*the key was not sent/,
  );
  assert.match(failed.get("refused")?.stderr ?? "", /does not accept pairing key .*\n.*revoked/);
  const none = await pairIn(site, stateDir, "");
  assert.equal(none.code, 2);
  assert.match(none.stderr, /there is no pairing key in --key-file, ANTENNA_PAIRING_KEY and standard input/);
  const noKey = await pairIn(site, stateDir, "hello\n");
  assert.equal(noKey.code, 3);
  assert.match(noKey.stderr, /this is not a pairing key/);
  const both = await runAntenna(site.host, [
    "run",
    "--controller",
    controllerAddress,
    "--policy",
    "/tmp/p.yaml",
  ]);
  assert.equal(both.code, 2);
  assert.match(both.stderr, /one of them decides/);
});
