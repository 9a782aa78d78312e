import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createNamespace, type Namespace } from "../lab/namespace.js";
import { DaemonProcess, runAntenna, scratch } from "./daemon-process.js";

const full =
  "mode: full\nsets: { web: [10.0.1.10] }\nrules: [ { id: w, direction: in, action: allow, peers: [web] } ]\n";
const setpriv = "/usr/bin/setpriv";

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

describe("privileges", () => {
  test("without NET_ADMIN: exit code 5, and it is named", async () => {
    await using namespace = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    await using daemon = new DaemonProcess({
      namespace,
      wrapper: [setpriv, "--bounding-set=-net_admin", "--inh-caps=-net_admin"],
      args: ["--policy", policy, "--state-dir", join(directory.path, "state")],
    });
    assert.equal(await daemon.exited(), 5);
    assert.match(daemon.log, /CAP_NET_ADMIN is missing/);
    assert.doesNotMatch(daemon.log, /CAP_NET_RAW is missing/);
  });

  test("root's uid with NET_ADMIN and NET_RAW alone is enough for the own namespace, not for another", async () => {
    await using namespace = await createNamespace();
    await using other = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    const state = join(directory.path, "state");
    const only = "-all,+net_admin,+net_raw";
    const wrapper = [setpriv, `--bounding-set=${only}`, `--inh-caps=${only}`];
    {
      const args = ["--policy", policy, "--state-dir", state, "--namespace", other.path];
      await using refused = new DaemonProcess({ namespace, wrapper, args });
      assert.equal(await refused.exited(), 5);
      assert.match(refused.log, /CAP_SYS_ADMIN is missing/);
    }
    await using daemon = new DaemonProcess({
      namespace,
      wrapper,
      args: ["--policy", policy, "--state-dir", state, "--settle", "0s"],
    });
    await daemon.logged("policy in force");
    assert.match(await rulesOf(namespace), /ANT-IN/);
    assert.equal(await daemon.stop(), 0);
  });

  test("on nft any user with these two is enough", async () => {
    await using namespace = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", full);
    await namespace.exec("/usr/bin/chown", ["-R", "65534", directory.path]);
    const caps = "-all,+net_admin,+net_raw";
    const wrapper = [
      setpriv,
      "--reuid=65534",
      "--clear-groups",
      `--inh-caps=${caps}`,
      `--ambient-caps=${caps}`,
    ];
    const args = ["--policy", policy, "--state-dir", join(directory.path, "state"), "--settle", "0s"];
    await using daemon = new DaemonProcess({ namespace, wrapper, args });
    await daemon.logged("policy in force");
    assert.match(await rulesOf(namespace), /ANT-IN/);
    assert.equal(await daemon.stop(), 0);
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
