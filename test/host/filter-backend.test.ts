import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { nothingRead } from "@antenna/netfilter/internal/backend/rule-table.js";
import { renderRules } from "@antenna/netfilter/internal/render/render-rules.js";
import {
  savedRules,
  switchText,
  withProtocolNumber,
} from "@antenna/netfilter/internal/render/restore-text.js";
import { FileLock } from "@antenna/netlink";
import { AntennaError, type ChangeNotice, compile, planSafe } from "@antenna/sdk";
import { randomPolicy } from "../unit/arbitrary-policy.js";
import { Random, runSeed } from "../unit/random.js";
import {
  type Backend,
  backends,
  cutMark,
  FilterArena,
  install,
  ownersRules,
  policyOf,
  repair,
  shop,
} from "./filter-arena.js";

const families = [4, 6] as const;

describe("the backend that holds the host's rules", () => {
  const cases: readonly (readonly [Backend, Backend | null])[] = [
    ["nft", null],
    ["nft", "nft"],
    ["legacy", "legacy"],
  ];
  for (const [expected, holding] of cases) {
    test(`rules in ${holding ?? "neither"}: ${expected}`, async () => {
      await using arena = await FilterArena.open();
      if (holding !== null) await arena.iptables(holding, 4, "-A", "INPUT", "-s", "10.9.9.9", "-j", "DROP");
      const filter = await arena.filter();
      assert.equal(filter.describe().mechanism, `iptables-${expected}`);
    });
  }

  for (const [from, to] of [
    ["nft", "legacy"],
    ["legacy", "nft"],
  ] as const) {
    test(`a switch from ${from} to ${to} while running is noticed and followed`, async () => {
      await using arena = await FilterArena.open();
      await arena.restore(from, 4, ownersRules(4));
      const filter = await arena.filter();
      const installed = await install(filter, policyOf(shop));
      assert.equal(filter.describe().mechanism, `iptables-${from}`);

      // As the owner's tools do it: the old rules are flushed, but nobody knows about ours.
      const flushed =
        "*nat\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\nCOMMIT\n";
      await arena.restore(from, 4, flushed);
      await repair(filter, installed);
      await arena.restore(to, 4, ownersRules(4));
      const [notice] = await Promise.all([
        new Promise<ChangeNotice>((resolve) => filter.watch(installed, resolve)),
        arena.iptables(to, 4, "-A", "FORWARD", "-j", "DROP"),
      ]);
      assert.equal(notice.scope, "rules");
      const differences = await filter.verify(installed, "rules");
      assert.ok(
        differences.some(({ kind }) => kind === "backend"),
        JSON.stringify(differences),
      );

      await repair(filter, installed);
      assert.equal(filter.describe().mechanism, `iptables-${to}`);
      assert.deepEqual(await filter.verify(installed, "members"), []);
      assert.match(await arena.save(to, 4), /^-A INPUT -j ANT-IN$/m);
      for (const family of families) assert.doesNotMatch(await arena.save(from, family), /ANT-(?:IN|OUT)/);
    });
  }
});

test("a lock of xtables that others hold is waited for, then named with its holder", async () => {
  await using arena = await FilterArena.open();
  await arena.iptables("legacy", 4, "-A", "INPUT", "-s", "10.9.9.9", "-j", "DROP");
  const filter = await arena.filter();
  const lock = await FileLock.acquire("/run/xtables.lock", { timeoutMs: 10_000 });
  try {
    await assert.rejects(install(filter, policyOf(shop)), (error: unknown) => {
      assert.ok(error instanceof AntennaError);
      assert.equal(error.code, "busy");
      assert.match(error.message, new RegExp(`${process.pid}|${process.title}`));
      return true;
    });
  } finally {
    await lock.release();
  }
  assert.deepEqual(await filter.verify(await install(filter, policyOf(shop)), "counts"), []);
});

test("what the kernel refuses is named by its line, and the rules before it stay", async () => {
  await using arena = await FilterArena.open();
  const filter = await arena.filter();
  const installed = await install(filter, policyOf(shop));
  const before = await arena.handles();
  const [[key, instance] = []] = installed.instances;
  assert.ok(key !== undefined && instance !== undefined);
  const instances = new Map([...installed.instances, [key, { ...instance, name: "ant-nosuchset" }]]);
  const commands = [{ kind: "switch-rules", family: 4, installed: { ...installed, instances } }] as const;
  await assert.rejects(filter.execute(commands), (error: unknown) => {
    assert.ok(error instanceof AntennaError);
    assert.equal(error.code, "kernel-refused");
    assert.match(error.detail ?? "", /-m set --match-set ant-nosuchset-4 /);
    return true;
  });
  assert.equal(await arena.handles(), before);
  assert.deepEqual(await filter.verify(installed, "members"), []);
});

test("a namespace that is not there is refused", async () => {
  const { netfilterProvider } = await import("@antenna/netfilter");
  const { systemClock } = await import("@antenna/sdk");
  const { silent } = await import("./filter-arena.js");
  const options = {
    stateDir: "/nowhere",
    cutMark,
    nflogGroup: 1,
    nflogRate: 20,
    clock: systemClock,
    logger: silent,
  };
  await assert.rejects(
    netfilterProvider().open({ ...options, namespace: "/run/netns/no-such" }),
    (error: unknown) => {
      assert.ok(error instanceof AntennaError);
      assert.equal(error.code, "unsupported");
      return true;
    },
  );
});

for (const backend of backends) {
  test(`iptables-${backend} gives back random rules in the words in which they were written`, async () => {
    const random = new Random(runSeed(`words of iptables-${backend}`));
    const protocols = await readFile("/etc/protocols", "latin1").catch(() => "");
    await using arena = await FilterArena.open();
    for (let round = 0; round < 12; round++) {
      const policy = randomPolicy(random, { modes: ["full", "selective", "visibility"], secure: 0.3 });
      const program = compile(policy, { onAllow: random.pick(["return", "accept"] as const) });
      assert.ok(program !== null);
      const { installed } = planSafe(null, program, new Set());
      for (const family of families) {
        const sets = [...installed.instances.values()].map((instance) => {
          const type = `hash:${instance.shapes[family] === "hosts" ? "ip" : "net"}${instance.kind === "pairs" ? ",port" : ""}`;
          return `create -exist ${instance.name}-${family} ${type} family ${family === 4 ? "inet" : "inet6"}`;
        });
        await arena.namespace.exec("/usr/sbin/ipset", ["restore"], `${sets.join("\n")}\n`);
        const ruleset = renderRules(installed, family, { cutMark, nflogGroup: 4711, nflogRate: 50 });
        const text = switchText(ruleset, nothingRead, new Set());
        assert.ok(text !== null);
        await arena.restore(backend, family, text);
        const saved = await arena.save(backend, family);
        for (const chain of ruleset.chains) {
          const [found, written] = [savedRules(saved, chain.name), chain.rules].map((rules) =>
            rules.map((rule) => withProtocolNumber(rule, protocols)),
          );
          assert.deepEqual(found, written);
        }
      }
      for (const family of families) await arena.restore(backend, family, "*filter\nCOMMIT\n");
      await arena.namespace.exec("/bin/sleep", ["0.02"]);
      await arena.namespace.exec("/usr/sbin/ipset", ["destroy"]);
    }
  });
}
