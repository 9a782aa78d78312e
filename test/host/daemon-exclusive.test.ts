import assert from "node:assert/strict";
import { chmod, chown, mkdir, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { createNamespace, type Namespace } from "../lab/namespace.js";
import { DaemonProcess, runAntenna, scratch } from "./daemon-process.js";

const full =
  "mode: full\nsets: { web: [10.0.1.10] }\nrules: [ { id: w, direction: in, action: allow, peers: [web] } ]\n";

async function rulesOf(namespace: Namespace): Promise<string> {
  return await namespace.exec("/usr/sbin/iptables-nft-save", []);
}

describe("one daemon at a time", () => {
  test("on a state directory and in a namespace; whoever holds it is named", async () => {
    await using one = await createNamespace();
    await using two = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    const [first, second] = ["first", "second"].map((name) => join(directory.path, name)) as [string, string];
    await using daemon = new DaemonProcess({
      namespace: one,
      args: ["--policy", policy, "--state-dir", first, "--settle", "0s"],
    });
    await daemon.logged("policy in force");

    const sameDirectory = await runAntenna(two, ["run", "--policy", policy, "--state-dir", first]);
    assert.equal(sameDirectory.code, 1);
    assert.match(sameDirectory.stderr, new RegExp(`held by process ${daemon.pid}\\b`));

    const sameNamespace = await runAntenna(one, ["run", "--policy", policy, "--state-dir", second]);
    assert.equal(sameNamespace.code, 1);
    assert.match(sameNamespace.stderr, new RegExp(`held by process ${daemon.pid}\\b`));

    const fromOutside = await runAntenna(two, [
      "run",
      "--policy",
      policy,
      "--state-dir",
      second,
      "--namespace",
      one.path,
    ]);
    assert.equal(fromOutside.code, 1);
    assert.match(fromOutside.stderr, new RegExp(`held by process ${daemon.pid}\\b`));

    await using beside = new DaemonProcess({
      namespace: two,
      args: ["--policy", policy, "--state-dir", second, "--settle", "0s"],
    });
    await beside.logged("policy in force");

    // A daemon that was killed holds nothing.
    daemon.signal("SIGKILL");
    await daemon.exited();
    await using again = new DaemonProcess({
      namespace: one,
      args: ["--policy", policy, "--state-dir", first, "--settle", "0s"],
    });
    await again.logged("policy in force");
  });
});

test("a cut mark that the owner's rules use is refused, naming the rule", async () => {
  await using namespace = await createNamespace();
  await using directory = await scratch();
  const policy = await directory.write("policy.yaml", full);
  const state = join(directory.path, "state");
  const rule = [
    "-t",
    "mangle",
    "-A",
    "OUTPUT",
    "-m",
    "connmark",
    "--mark",
    "0x10000000/0x30000000",
    "-j",
    "ACCEPT",
  ];
  await namespace.exec("/usr/sbin/iptables-nft", rule);
  const refused = await runAntenna(namespace, ["run", "--policy", policy, "--state-dir", state]);
  assert.equal(refused.code, 1);
  assert.match(
    refused.stderr,
    /mangle uses this bit in `-A OUTPUT -m connmark --mark 0x10000000\/0x30000000/,
  );
  const checked = await runAntenna(namespace, ["check", "--json"]);
  assert.equal(checked.code, 1);
  assert.equal(
    JSON.parse(checked.stdout).items.find(({ name }: { name: string }) => name === "cut mark").state,
    "red",
  );
  await using daemon = new DaemonProcess({
    namespace,
    args: ["--policy", policy, "--state-dir", state, "--settle", "0s"],
    environment: { ANTENNA_KERNEL_CUT_MARK: "0x1000000" },
  });
  await daemon.logged("policy in force");
  assert.match(await rulesOf(namespace), /--mark 0x1000000\/0x1000000 -j DROP/);
});

test("a state directory that others own or can write to is refused, with owner, mode and what to do", async () => {
  await using namespace = await createNamespace();
  await using directory = await scratch();
  const policy = await directory.write("policy.yaml", full);
  const state = join(directory.path, "state");
  const refusal = async (): Promise<string> => {
    await using daemon = new DaemonProcess({ namespace, args: ["--policy", policy, "--state-dir", state] });
    // One that starts all the same must not keep the test waiting.
    const code = await Promise.race([daemon.exited(), sleep(10_000, null)]);
    assert.equal(code, 1, daemon.log);
    return daemon.log;
  };
  await mkdir(state);
  await chmod(state, 0o777);
  assert.match(await refusal(), /belongs to uid 0 with mode 0777, .*chmod 0700.*--state-dir/);
  await chmod(state, 0o700);
  await chown(state, 65_534, 65_534);
  assert.match(await refusal(), /belongs to uid 65534 with mode 0700, not to uid 0, .*chown.*--state-dir/);
  assert.equal(await namespace.exec("/usr/sbin/nft", ["list", "ruleset"]), "");
});

describe("purge", () => {
  test("without a daemon: everything of ours goes, the owner's rules stay", async () => {
    await using namespace = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    const state = join(directory.path, "state");
    await namespace.exec("/usr/sbin/iptables-nft", [
      "-A",
      "INPUT",
      "-p",
      "tcp",
      "--dport",
      "22",
      "-j",
      "ACCEPT",
    ]);
    const before = (await rulesOf(namespace)).replace(/^#.*\n/gm, "").replace(/\[\d+:\d+\]/g, "");
    {
      await using daemon = new DaemonProcess({
        namespace,
        args: ["--policy", policy, "--state-dir", state, "--settle", "0s"],
      });
      await daemon.logged("policy in force");
      daemon.signal("SIGKILL");
      await daemon.exited();
    }
    assert.match(await rulesOf(namespace), /ANT-/);
    const purged = await runAntenna(namespace, ["purge", "--receipt", "--json", "--state-dir", state]);
    assert.equal(purged.code, 0, purged.stderr);
    const receipt = JSON.parse(purged.stdout);
    assert.ok(receipt.removed.some(({ kind }: { kind: string }) => kind === "set"));
    assert.ok(Array.isArray(receipt.residues));
    assert.equal((await rulesOf(namespace)).replace(/^#.*\n/gm, "").replace(/\[\d+:\d+\]/g, ""), before);
    assert.equal(await namespace.exec("/usr/sbin/ipset", ["list", "-n"]), "");
    await assert.rejects(stat(state));
    const again = await runAntenna(namespace, ["purge", "--json", "--state-dir", state]);
    assert.deepEqual([again.code, JSON.parse(again.stdout).removed], [0, []]);
    await assert.rejects(stat(state));
  });

  test("with a daemon: it does it, and stops", async () => {
    await using namespace = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    const state = join(directory.path, "state");
    await using daemon = new DaemonProcess({
      namespace,
      args: ["--policy", policy, "--state-dir", state, "--settle", "0s"],
    });
    await daemon.logged("policy in force");
    const purged = await runAntenna(namespace, ["purge", "--state-dir", state]);
    assert.equal(purged.code, 0, purged.stderr);
    assert.match(purged.stdout, /^removed \d+ objects/);
    assert.equal(await daemon.exited(), 0);
    assert.doesNotMatch(await rulesOf(namespace), /ANT-/);
    await assert.rejects(stat(state));
  });

  test("a state directory that was there before stays, empty", async () => {
    await using namespace = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    const state = join(directory.path, "state");
    await mkdir(state, { mode: 0o700 });
    const args = ["--policy", policy, "--state-dir", state, "--settle", "0s", "--purge-on-exit"];
    {
      await using daemon = new DaemonProcess({ namespace, args });
      await daemon.logged("policy in force");
      assert.equal(await daemon.stop(), 0);
      assert.deepEqual(await readdir(state), []);
    }
    await using daemon = new DaemonProcess({ namespace, args });
    await daemon.logged("policy in force");
    daemon.signal("SIGKILL");
    await daemon.exited();
    assert.equal((await runAntenna(namespace, ["purge", "--state-dir", state])).code, 0);
    assert.deepEqual(await readdir(state), []);
  });

  test("--purge-on-exit leaves nothing behind", async () => {
    await using namespace = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    const state = join(directory.path, "state");
    const args = ["--policy", policy, "--state-dir", state, "--settle", "0s", "--purge-on-exit"];
    await using daemon = new DaemonProcess({ namespace, args });
    await daemon.logged("policy in force");
    assert.equal(await daemon.stop(), 0);
    assert.doesNotMatch(await rulesOf(namespace), /ANT-/);
    await assert.rejects(stat(state));
  });
});

describe("check", () => {
  test("is green enough here, and leaves no trace", async () => {
    await using namespace = await createNamespace();
    const checked = await runAntenna(namespace, ["check", "--json"]);
    const document = JSON.parse(checked.stdout);
    assert.equal(checked.code, 0, checked.stdout);
    assert.equal(document.ok, true);
    assert.ok(document.items.length > 10);
    assert.equal(await namespace.exec("/usr/sbin/nft", ["list", "ruleset"]), "");
    assert.equal(await namespace.exec("/usr/bin/cat", ["/proc/self/net/ip_tables_names"]), "");
  });
});
