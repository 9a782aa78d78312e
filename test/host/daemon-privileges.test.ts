import assert from "node:assert/strict";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createNamespace, link, type Namespace } from "../lab/namespace.js";
import { NotifyReceiver } from "./daemon-notify-receiver.js";
import { DaemonProcess, runAntenna, scratch } from "./daemon-process.js";

// What the daemon may do is no more than NET_ADMIN and NET_RAW: as root's uid, and on nft as any other.

const setpriv = "/usr/bin/setpriv";
/** No account of Debian's (adduser.conf(5) ends at 59999): nothing is readable because it belongs to somebody. */
const nobodys = 61_234;
const policyText = `
mode: full
sets: { web: ["10.77.0.2"] }
rules: [ { id: web-in, direction: in, action: allow, peers: [web], services: [ { protocol: tcp, ports: [80] } ] } ]
`;

type Capability = "net_admin" | "net_raw";

/** setpriv(1) of util-linux: from then on no program has more than these, whatever its owner. */
function only(capabilities: readonly Capability[], uid: number): readonly string[] {
  const sets = ["-all", ...capabilities.map((name) => `+${name}`)].join(",");
  const bounded = [setpriv, `--inh-caps=${sets}`, `--bounding-set=${sets}`, "--no-new-privs"];
  if (uid === 0) return bounded;
  return [
    setpriv,
    ...[`--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"],
    ...[`--inh-caps=${sets}`, `--ambient-caps=${sets}`, `--bounding-set=${sets}`, "--no-new-privs"],
  ];
}

/** Whether a connection attempt is answered: nobody listens, so that the kernel refuses what the rules let through. */
async function answers(neighbour: Namespace, from: string): Promise<boolean> {
  const attempt = `require("node:net")
    .connect({ host: "10.77.0.1", port: 80, localAddress: "${from}", timeout: 700 })
    .on("error", ({ code }) => console.log(code))
    .on("timeout", () => process.exit());`;
  const said = (await neighbour.exec(process.execPath, ["-e", attempt])).trim();
  assert.ok(said === "" || said === "ECONNREFUSED", said);
  return said !== "";
}

describe("with NET_ADMIN and NET_RAW alone", () => {
  for (const [uid, backend] of [
    [0, "nft"],
    [0, "legacy"],
    [nobodys, "nft"],
  ] as const) {
    test(`uid ${uid} on ${backend} enforces, says READY=1 itself, answers, verifies, and follows a change`, async () => {
      await using namespace = await createNamespace();
      await using neighbour = await createNamespace();
      await link(
        { namespace, interface: "in0", addresses: ["10.77.0.1/24"] },
        { namespace: neighbour, interface: "out0", addresses: ["10.77.0.2/24", "10.77.0.3/24"] },
      );
      const owners = ["-A", "FORWARD", "-s", "10.9.9.9", "-j", "DROP"];
      await namespace.exec(`/usr/sbin/iptables-${backend}`, owners);
      await using directory = await scratch();
      const policy = await directory.write("policy.yaml", policyText);
      const state = join(directory.path, "state");
      const address = join(directory.path, "notify");
      await using receiver = await NotifyReceiver.open(directory.path, address);
      await namespace.exec("/usr/bin/chown", ["-R", `${uid}`, directory.path]);
      await using daemon = new DaemonProcess({
        namespace,
        wrapper: only(["net_admin", "net_raw"], uid),
        args: ["--policy", policy, "--state-dir", state, "--settle", "0s"],
        environment: { NOTIFY_SOCKET: address },
      });
      const ready = await receiver.until("READY=1");
      assert.equal(ready.pid, daemon.pid);
      assert.deepEqual(
        [await answers(neighbour, "10.77.0.2"), await answers(neighbour, "10.77.0.3")],
        [true, false],
      );
      const ask = (...args: string[]) => runAntenna(namespace, [...args, "--state-dir", state, "--json"]);
      const status = JSON.parse((await ask("status")).stdout);
      assert.deepEqual([status.state, status.mode, status.problems], ["in-sync", "full", []]);
      assert.equal(status.points[0].filter.mechanism, `iptables-${backend}`);
      const verified = await ask("verify");
      assert.equal(verified.code, 0, verified.stdout);

      await directory.write("policy.yaml", policyText.replace("10.77.0.2", "10.77.0.3"));
      for (let tries = 0; JSON.parse((await ask("status")).stdout).policyVersion !== "1.2"; tries++)
        assert.ok(tries < 100, daemon.log);
      assert.deepEqual(
        [await answers(neighbour, "10.77.0.2"), await answers(neighbour, "10.77.0.3")],
        [false, true],
      );
      assert.equal((await ask("suspend")).code, 0);
      assert.equal(await answers(neighbour, "10.77.0.2"), true);
      assert.equal(await daemon.stop(), 0);
    });
  }

  test("of iptables-legacy another uid says that it cannot know, instead of `none`", async () => {
    await using namespace = await createNamespace();
    await using other = await createNamespace();
    // From then on /proc/net/ip_tables_names is there, for uid 0 alone, in every namespace.
    await other.exec("/usr/sbin/iptables-legacy", ["-S"]);
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", policyText);
    const state = join(directory.path, "state");
    await namespace.exec("/usr/bin/chown", ["-R", `${nobodys}`, directory.path]);
    const wrapper = only(["net_admin", "net_raw"], nobodys);
    const args = ["--policy", policy, "--state-dir", state, "--settle", "0s"];
    await using daemon = new DaemonProcess({ namespace, wrapper, args });
    await daemon.logged("policy in force");
    const question = ["--direction", "in", "--protocol", "tcp", "--port", "80", "--peer", "10.77.0.2"];
    const explained = await runAntenna(namespace, ["explain", ...question, "--state-dir", state, "--json"]);
    const { foreign } = JSON.parse(explained.stdout);
    assert.deepEqual(
      foreign.map(({ table, verdict }: { table: string; verdict: string }) => `${table} ${verdict}`),
      ["iptables-legacy unknown"],
    );
    assert.match(foreign[0].reason, /only uid 0/);
    assert.match(daemon.log, /only uid 0 may read these rules/);

    const checked = await runAntenna(namespace, ["check", "--json"], { wrapper });
    const items: readonly { name: string; state: string; found: string | null }[] = JSON.parse(
      checked.stdout,
    ).items;
    const named = new Map(items.map((item) => [item.name, item]));
    assert.deepEqual(
      ["cut mark", "other agents", "owner's rules"].map((name) => named.get(name)?.state),
      ["yellow", "yellow", "yellow"],
    );
    assert.match(named.get("owner's rules")?.found ?? "", /^iptables-legacy/);
    const asRoot = JSON.parse((await runAntenna(namespace, ["check", "--json"])).stdout);
    assert.ok(
      asRoot.items.some(
        ({ name, state }: { name: string; state: string }) => name === "cut mark" && state === "green",
      ),
    );
  });
});

describe("a capability that is missing", () => {
  const cases = [
    ["net_admin", ["net_raw"]],
    ["net_raw", ["net_admin"]],
  ] as const;
  for (const [missing, held] of cases) {
    for (const uid of [0, nobodys]) {
      test(`${missing} of uid ${uid}: exit code 5, and it alone is named`, async () => {
        await using namespace = await createNamespace();
        await using directory = await scratch();
        const policy = await directory.write("policy.yaml", policyText);
        await namespace.exec("/usr/bin/chown", ["-R", `${uid}`, directory.path]);
        await using daemon = new DaemonProcess({
          namespace,
          wrapper: only(held, uid),
          args: ["--policy", policy, "--state-dir", join(directory.path, "state")],
        });
        assert.equal(await daemon.exited(), 5);
        const named = daemon.log.match(/CAP_[A-Z_]+(?= is missing)/g);
        assert.deepEqual(named, [`CAP_${missing.toUpperCase()}`]);
        assert.equal(await namespace.exec("/usr/sbin/nft", ["list", "ruleset"]), "");
      });
    }
  }

  test("SYS_ADMIN, for another namespace than its own", async () => {
    await using namespace = await createNamespace();
    await using other = await createNamespace();
    await using directory = await scratch();
    const policy = await directory.write("policy.yaml", policyText);
    const state = join(directory.path, "state");
    await using daemon = new DaemonProcess({
      namespace,
      wrapper: only(["net_admin", "net_raw"], 0),
      args: ["--policy", policy, "--state-dir", state, "--namespace", other.path],
    });
    assert.equal(await daemon.exited(), 5);
    assert.match(daemon.log, /CAP_SYS_ADMIN is missing/);
  });
});
