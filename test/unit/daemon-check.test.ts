import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { checkNode } from "@antenna/daemon/internal/check/host.js";
import { KernelBuild } from "@antenna/daemon/internal/check/kernel-build.js";
import { kernelFeatures } from "@antenna/daemon/internal/check/kernel-features.js";
import { missingCapabilities } from "@antenna/daemon/internal/run/capabilities.js";
import { readCpuSeconds } from "@antenna/daemon/internal/run/usage.js";
import { markUsers } from "@antenna/linux/internal/mark-users.js";
import { parse } from "@antenna/linux/internal/owner-rules.js";
import { printable, table } from "@antenna/sdk/command-line";

const nothing = { release: "6.1.0", config: null, builtIn: null, installed: null, loaded: [] };

describe("where a part of the kernel is", () => {
  test("built in, by the configuration or by modules.builtin", () => {
    const configured = new KernelBuild({
      ...nothing,
      config: "CONFIG_NETFILTER_XT_SET=y\n# CONFIG_IP_SET is not set\n",
    });
    assert.equal(configured.find("NETFILTER_XT_SET", "xt_set"), "built-in");
    assert.equal(configured.find("IP_SET", "ip_set"), "missing");
    const listed = new KernelBuild({ ...nothing, builtIn: "kernel/net/netfilter/xt_set.ko\n" });
    assert.equal(listed.find("NETFILTER_XT_SET", "xt_set"), "built-in");
  });

  test("a module: loaded, loadable, or configured and not installed", () => {
    const config = "CONFIG_NETFILTER_XT_SET=m\nCONFIG_IP_SET=m\nCONFIG_NF_TABLES=m\n";
    const installed = "kernel/net/netfilter/xt_set.ko.xz: kernel/net/netfilter/ipset/ip_set.ko.xz\n";
    const build = new KernelBuild({ ...nothing, config, installed, loaded: ["nf_tables"] });
    assert.equal(build.find("NETFILTER_XT_SET", "xt_set"), "loadable");
    assert.equal(build.find("NF_TABLES", "nf_tables"), "loaded");
    assert.equal(build.find("IP_SET", "ip_set"), "missing");
  });

  test("where nothing tells, it is not guessed", () => {
    assert.equal(new KernelBuild(nothing).find("NETFILTER_XT_SET", "xt_set"), "unknown");
    const items = kernelFeatures(new KernelBuild(nothing), "nft");
    assert.ok(items.every(({ state, advice }) => state === "yellow" && advice?.includes("--probe")));
  });

  test("what is missing is red or yellow by what fails without it, and named", () => {
    const items = kernelFeatures(
      new KernelBuild({ ...nothing, config: "CONFIG_NF_CONNTRACK=y\n" }),
      "legacy",
    );
    const named = new Map(items.map((item) => [item.name, item]));
    assert.equal(named.get("xt_set")?.state, "red");
    assert.match(named.get("xt_set")?.advice ?? "", /^xt_set missing in kernel 6\.1\.0/);
    assert.equal(named.get("REJECT")?.state, "yellow");
    assert.ok(named.has("iptable_filter"));
    assert.ok(!named.has("nf_tables"));
  });
});

test("Node 20.19 is the oldest", () => {
  assert.deepEqual(
    ["v20.18.1", "v20.19.0", "v22.0.0", "v18.20.0"].map((version) => checkNode(version).state),
    ["red", "green", "green", "red"],
  );
});

test("capabilities are read from the effective set", () => {
  const all = "CapPrm:\t0000000000000000\nCapEff:\t0000000000003000\n";
  assert.deepEqual(missingCapabilities(all, ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"]), ["SYS_ADMIN"]);
  assert.deepEqual(missingCapabilities("", ["NET_RAW"]), ["NET_RAW"]);
});

test("CPU time is read past a name with blanks and parentheses", () => {
  const fields = Array.from({ length: 50 }, (_, index) => index + 3);
  // Fields 14 to 17 of proc_pid_stat(5): utime, stime, cutime, cstime.
  assert.equal(readCpuSeconds(`1 (a) b (c)) ${fields.join(" ")}`), (14 + 15 + 16 + 17) / 100);
});

describe("tables", () => {
  test("columns are as wide as their widest cell, colours not counted", () => {
    assert.equal(
      table([
        ["a", "bb"],
        ["\u001b[32mccc\u001b[0m", "d"],
      ]),
      "a    bb\n\u001b[32mccc\u001b[0m  d\n",
    );
  });

  test("nothing from outside moves the cursor", () => {
    assert.equal(printable("a\u001b[2Jb\rc\nd\u202ee"), "a?[2Jb?c?d?e");
  });
});

describe("the owner's rules", () => {
  const saved = [
    "*mangle",
    "-A PREROUTING -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff",
    "-A PREROUTING -j CONNMARK --set-xmark 0x5/0xffffffff",
    "-A PREROUTING -m connmark ! --mark 0x0 -j ACCEPT",
    "-A OUTPUT -j CONNMARK --restore-mark --nfmask 0xff000000 --ctmask 0xff000000",
    "-A OUTPUT -m connmark --mark 0x20000000/0x30000000 -j ACCEPT",
    "-A OUTPUT -j MARK --set-xmark 0x10000000/0x10000000",
    "COMMIT",
    "*filter",
    "-A INPUT -j ANT-IN",
    "-A INPUT -p tcp -j ACCEPT",
    "-A ANT-IN -m connmark --mark 0x10000000/0x10000000 -j DROP",
    "COMMIT",
    "",
  ].join("\n");
  const rules = parse(saved, "iptables", "nft");

  test("are read with table, chain and position; ours are left out", () => {
    assert.equal(rules.length, 7);
    assert.deepEqual(
      rules.map(({ table, chain, position }) => `${table} ${chain} ${position}`),
      [
        ...[1, 2, 3].map((position) => `mangle PREROUTING ${position}`),
        ...[1, 2, 3].map((position) => `mangle OUTPUT ${position}`),
        "filter INPUT 1",
      ],
    );
  });

  test("claim a bit of the connection mark by naming it, not by overwriting the whole mark", () => {
    const users = (bit: number): readonly number[] =>
      markUsers(rules, bit).map((rule) => rules.indexOf(rule));
    assert.deepEqual(users(0x1000_0000), [3, 4]);
    assert.deepEqual(users(0x0000_0001), [1]);
    assert.deepEqual(users(0x0000_0100), []);
    assert.deepEqual(users(0x8000_0000), [3]);
  });
});
