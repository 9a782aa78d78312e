import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rename, stat, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createNamespace, inside, type Namespace } from "../lab/namespace.js";
import { NotifyReceiver } from "./daemon-notify-receiver.js";
import { DaemonProcess, runAntenna, scratch } from "./daemon-process.js";

const full = `
mode: full
sets: { web: ["10.0.1.10", "10.0.2.0/24", "fd00:1::/64"] }
rules:
  - { id: web-in, direction: in, action: allow, peers: [web], services: [ { protocol: tcp, ports: [80] } ] }
`;
const visibility = full.replace("mode: full", "mode: visibility");

interface Status {
  readonly state: string;
  readonly mode: string | null;
  readonly policyVersion: string | null;
  readonly problems: readonly { readonly code: string; readonly message: string }[];
  readonly budget: { readonly memoryMiB: { readonly used: number; readonly limit: number } };
}

async function statusOf(namespace: Namespace, stateDir: string): Promise<Status> {
  const { code, stdout, stderr } = await runAntenna(namespace, ["status", "--json", "--state-dir", stateDir]);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout) as Status;
}

async function until<T>(
  ask: () => Promise<T>,
  holds: (answer: T) => boolean,
  timeoutMs = 15_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (holds(answer)) return answer;
    if (performance.now() > end) assert.fail(`never: ${JSON.stringify(answer)}`);
    await sleep(50);
  }
}

/** Every rule, without the counters and dates that change by themselves. */
async function rulesOf(namespace: Namespace): Promise<string> {
  const [v4, v6] = await Promise.all(
    ["/usr/sbin/iptables-nft-save", "/usr/sbin/ip6tables-nft-save"].map((file) => namespace.exec(file, [])),
  );
  return `${v4}${v6}`.replace(/^#.*\n/gm, "").replace(/\[\d+:\d+\]/g, "[]");
}

describe("the daemon", () => {
  test("enforces a file, answers every question about it, and leaves the rules when it stops", async () => {
    await using namespace = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    const state = join(directory.path, "state");
    const ask = (...args: string[]) => runAntenna(namespace, [...args, "--state-dir", state]);
    await using daemon = new DaemonProcess({
      namespace,
      args: ["--policy", policy, "--state-dir", state, "--settle", "0s"],
    });
    await daemon.logged("policy in force");

    const status = await statusOf(namespace, state);
    assert.equal(status.state, "in-sync");
    assert.equal(status.mode, "full");
    assert.equal(status.policyVersion, "1.1");
    assert.deepEqual(status.problems, []);
    assert.ok(
      status.budget.memoryMiB.used > 20 && status.budget.memoryMiB.used <= status.budget.memoryMiB.limit,
    );
    assert.equal((await stat(state)).mode & 0o777, 0o700);
    assert.equal((await stat(join(state, "antenna.sock"))).mode & 0o077, 0);
    assert.match((await ask("status")).stdout, /^state +in-sync$/m);

    const shown = await ask("policy", "--json");
    assert.equal(shown.code, 0);
    const checked = await runAntenna(namespace, ["policy", "check", "-", "--json"], { input: shown.stdout });
    assert.equal(checked.code, 0);
    const { version, digest } = JSON.parse(checked.stdout);
    assert.equal(version, "1.1");
    assert.match(digest, /^sha256:[0-9a-f]{64}$/);
    assert.match((await ask("policy")).stdout, /^web-in +in +allow +web +tcp 80$/m);

    const webQuestion = ["--direction", "in", "--protocol", "tcp", "--peer", "10.0.2.9", "--port", "80"];
    const allowed = await ask("explain", ...webQuestion, "--json");
    assert.deepEqual(JSON.parse(allowed.stdout), {
      verdict: "allowed",
      stage: "allow",
      rule: "web-in",
      policyVersion: "1.1",
      foreign: [],
    });
    const drop = ["-A", "INPUT", "-s", "10.0.2.0/24", "-p", "tcp", "--dport", "80", "-j", "DROP"];
    await namespace.exec("/usr/sbin/iptables-nft", drop);
    const overruled = await ask("explain", ...webQuestion, "--json");
    const [foreign] = JSON.parse(overruled.stdout).foreign;
    assert.deepEqual([foreign.table, foreign.chain, foreign.verdict], ["filter", "INPUT", "dropped"]);
    assert.match((await ask("explain", ...webQuestion)).stdout, /^dropped +filter +INPUT +.*-j DROP/m);
    await namespace.exec("/usr/sbin/iptables-nft", ["-D", ...drop.slice(1)]);
    const denied = await ask(
      "explain",
      "--direction",
      "in",
      "--protocol",
      "17",
      "--peer",
      "fd00:2::1",
      "--port",
      "80",
      "--json",
    );
    assert.equal(JSON.parse(denied.stdout).verdict, "blocked");
    const pinged = await ask(
      "explain",
      "--direction",
      "out",
      "--protocol",
      "icmp",
      "--type",
      "8",
      "--peer",
      "10.0.2.9",
    );
    assert.match(pinged.stdout, /^blocked by default/);
    assert.equal(
      (await ask("explain", "--direction", "in", "--protocol", "tcp", "--peer", "10.0.2.300", "--port", "80"))
        .code,
      3,
    );
    assert.equal(
      (await ask("explain", "--direction", "in", "--protocol", "icmp", "--peer", "10.0.2.3", "--port", "80"))
        .code,
      3,
    );

    const verified = await ask("verify", "--json");
    assert.equal(verified.code, 0);
    assert.equal(JSON.parse(verified.stdout).ok, true);

    const preview = await ask(
      "policy",
      "preview",
      await directory.write("new.yaml", full.replace("[80]", "[81]")),
      "--json",
    );
    assert.equal(preview.code, 0, preview.stderr);
    assert.deepEqual(JSON.parse(preview.stdout).rules, { added: [], removed: [], changed: ["web-in"] });

    for (const command of ["status", "policy", "verify"]) {
      const unknown = await ask(command, "--workload", "nobody");
      assert.equal(unknown.code, 1, `${command}: ${unknown.stderr}`);
      assert.equal((await ask(command, "--workload", "host")).code, 0);
    }

    const before = await rulesOf(namespace);
    const began = performance.now();
    assert.equal(await daemon.stop(), 0);
    assert.ok(performance.now() - began < 5_000);
    assert.equal(await rulesOf(namespace), before);
    assert.equal((await ask("status")).code, 4);
  });

  test("follows the file; what is bad or missing keeps the old policy and says so", async () => {
    await using namespace = await createNamespace();
    await using directory = await scratch();
    const policy = join(directory.path, "policy.yaml");
    const state = join(directory.path, "state");
    await using daemon = new DaemonProcess({
      namespace,
      args: ["--policy", policy, "--state-dir", state, "--settle", "0s"],
    });
    const codes = async (): Promise<string> =>
      (await statusOf(namespace, state)).problems.map(({ code }) => code).join();
    await daemon.logged("does not exist");
    assert.equal(await codes(), "policy-missing");
    assert.equal((await runAntenna(namespace, ["policy", "--state-dir", state])).code, 1);

    await writeFile(policy, full);
    await daemon.logged("policy in force");
    assert.equal(await codes(), "");
    const before = await rulesOf(namespace);

    await writeFile(policy, "mode: full\nrules: [ { id: web-in } ]\n");
    await until(codes, (found) => found === "policy-refused");
    assert.equal(await rulesOf(namespace), before);
    assert.equal((await statusOf(namespace, state)).policyVersion, "1.1");
    const refused = await runAntenna(namespace, ["policy", "check", policy]);
    assert.equal(refused.code, 3);
    assert.match(refused.stderr, /^rules\[0\](\.\w+)?: /m);
    assert.equal((await runAntenna(namespace, ["policy", "preview", policy, "--state-dir", state])).code, 3);

    await writeFile(`${policy}.new`, visibility);
    await rename(`${policy}.new`, policy);
    const shown = await until(
      () => statusOf(namespace, state),
      ({ mode }) => mode === "visibility",
    );
    assert.equal(shown.policyVersion, "1.2");
    assert.deepEqual(shown.problems, []);

    await writeFile(policy, `version: 1\n${full}`);
    await until(codes, (found) => found === "policy-refused");
    assert.equal((await statusOf(namespace, state)).mode, "visibility");

    // Nobody offers it any more: there is nothing left to refuse.
    await unlink(policy);
    await until(codes, (found) => found === "policy-missing");
    await writeFile(policy, `version: 1\n${full}`);
    await until(codes, (found) => found === "policy-refused");
    await writeFile(policy, visibility);
    await until(codes, (found) => found === "");
    assert.equal((await statusOf(namespace, state)).policyVersion, "1.2");
    await daemon.stop();
  });

  test("a restart with the same policy writes nothing", async () => {
    await using namespace = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    const args = ["--policy", policy, "--state-dir", join(directory.path, "state"), "--settle", "0s"];
    {
      await using first = new DaemonProcess({ namespace, args });
      await first.logged("policy in force");
      await first.stop();
    }
    const before = await rulesOf(namespace);
    const [file, argv] = inside(namespace.path, "/usr/sbin/nft", ["monitor"]);
    const monitor = spawn(file, argv, { stdio: ["ignore", "pipe", "inherit"] });
    let heard = "";
    monitor.stdout.setEncoding("utf8").on("data", (text: string) => {
      heard += text;
    });
    await sleep(300);
    await using second = new DaemonProcess({ namespace, args });
    await second.logged("policy in force");
    await sleep(300);
    monitor.kill("SIGKILL");
    await once(monitor, "close");
    assert.equal(heard, "");
    assert.equal(await rulesOf(namespace), before);
    const { policyVersion } = await statusOf(namespace, join(directory.path, "state"));
    assert.equal(policyVersion, "1.1");
  });

  test("settling comes first; READY=1 comes from the daemon itself when dropping begins", async () => {
    await using namespace = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    const state = join(directory.path, "state");
    const address = join(directory.path, "notify");
    await using receiver = await NotifyReceiver.open(directory.path, address);
    const began = performance.now();
    await using daemon = new DaemonProcess({
      namespace,
      args: ["--policy", policy, "--state-dir", state, "--settle", "2s"],
      environment: { NOTIFY_SOCKET: address, WATCHDOG_USEC: "400000" },
    });
    await until(
      () => statusOf(namespace, state).catch(() => null),
      (status) => status?.state === "settling",
    );
    assert.ok(!receiver.notices.some(({ text }) => text === "READY=1"));
    const ready = await receiver.until("READY=1");
    assert.equal(ready.pid, daemon.pid);
    assert.ok(ready.atMs - began >= 2_000);
    assert.equal((await statusOf(namespace, state)).state, "in-sync");
    assert.equal((await receiver.until("WATCHDOG=1")).pid, daemon.pid);
    assert.equal(await daemon.stop(), 0);
    assert.equal((await receiver.until("STOPPING=1")).pid, daemon.pid);
    assert.equal(receiver.notices.filter(({ text }) => text === "READY=1").length, 1);
  });

  test("killed while settling: the version counts all the same, and another policy settles anew", async () => {
    await using namespace = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", `version: 5\n${full}`);
    const state = join(directory.path, "state");
    const args = ["--policy", policy, "--state-dir", state, "--settle"];
    const stateOf = () => statusOf(namespace, state).catch(() => null);
    {
      await using daemon = new DaemonProcess({ namespace, args: [...args, "60s"] });
      await until(stateOf, (status) => status?.state === "settling");
      daemon.signal("SIGKILL");
      await daemon.exited();
    }
    const other = full.replace("[80]", "[81]");
    await writeFile(policy, `version: 4\n${other}`);
    await using daemon = new DaemonProcess({ namespace, args: [...args, "3s"] });
    await until(stateOf, (status) => status?.problems.some(({ code }) => code === "policy-refused") ?? false);
    await writeFile(policy, `version: 6\n${other}`);
    const settling = await until(stateOf, (status) => status !== null && status.state !== "starting");
    assert.equal(settling?.state, "settling");
    await daemon.logged("policy in force");
    assert.equal((await statusOf(namespace, state)).policyVersion, "1.6");
  });

  test("suspended: the rules are gone and stay so across a restart, until resume", async () => {
    await using namespace = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    const state = join(directory.path, "state");
    const args = ["--policy", policy, "--state-dir", state, "--settle", "0s"];
    {
      await using daemon = new DaemonProcess({ namespace, args });
      await daemon.logged("policy in force");
      assert.equal((await runAntenna(namespace, ["suspend", "--state-dir", state])).code, 0);
      assert.equal((await statusOf(namespace, state)).state, "suspended");
      assert.doesNotMatch(await rulesOf(namespace), /ANT-/);
      await daemon.stop();
    }
    await using daemon = new DaemonProcess({ namespace, args });
    await daemon.logged("policy read");
    await until(
      () => statusOf(namespace, state),
      (status) => status.state === "suspended",
    );
    assert.doesNotMatch(await rulesOf(namespace), /ANT-/);
    const resumed = await runAntenna(namespace, ["resume", "--json", "--state-dir", state]);
    assert.equal(resumed.code, 0, resumed.stderr);
    await until(
      () => statusOf(namespace, state),
      (status) => status.state === "in-sync",
    );
    assert.match(await rulesOf(namespace), /-A INPUT -j ANT-IN/);
  });

  test("SIGHUP takes over what can change while running", async () => {
    await using namespace = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    const state = join(directory.path, "state");
    const config = await directory.write(
      "antenna.yaml",
      `policy: ${policy}\nstateDir: ${state}\nsettle: 0s\n`,
    );
    await using daemon = new DaemonProcess({ namespace, args: ["--config", config] });
    await daemon.logged("policy in force");
    const essential =
      "essentials: { allow: [ { direction: out, addresses: [10.9.9.9], services: [ { protocol: udp, ports: [514] } ] } ] }";
    await writeFile(config, `policy: ${policy}\nstateDir: ${state}\nsettle: 0s\n${essential}\n`);
    daemon.signal("SIGHUP");
    await until(
      () => rulesOf(namespace),
      (rules) => /10\.9\.9\.9.* 514/.test(rules),
    );
    await writeFile(config, "bogus: 1\n");
    daemon.signal("SIGHUP");
    await until(
      () => statusOf(namespace, state),
      ({ problems }) => problems.some(({ code }) => code === "config-refused"),
    );
    assert.match(await rulesOf(namespace), /10\.9\.9\.9/);
    assert.equal(await daemon.stop(), 0);
  });

  test("another namespace than its own is enforced by name", async () => {
    await using home = await createNamespace();
    await using target = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    const state = join(directory.path, "state");
    const args = ["--policy", policy, "--state-dir", state, "--settle", "0s", "--namespace", target.path];
    await using daemon = new DaemonProcess({ namespace: home, args });
    await daemon.logged("policy in force");
    assert.match(await rulesOf(target), /-A INPUT -j ANT-IN/);
    assert.doesNotMatch(await rulesOf(home), /ANT-/);
    assert.equal((await runAntenna(home, ["verify", "--state-dir", state])).code, 0);
    assert.equal(await daemon.stop(), 0);
  });
});
