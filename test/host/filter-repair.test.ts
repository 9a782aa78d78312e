import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout } from "node:timers/promises";
import { renderRules } from "@antenna/netfilter/internal/render/render-rules.js";
import type { ChangeNotice, Difference, Installed, PacketFilter } from "@antenna/sdk";
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
  withoutOurs,
} from "./filter-arena.js";

// What others may do to our rules: each is noticed without being asked for, named, and put right by writing them again.

interface Injury {
  readonly name: string;
  readonly act: (arena: FilterArena, backend: Backend) => Promise<unknown>;
  /** Kind and object of a difference that must be among those found. */
  readonly found: readonly [Difference["kind"], string];
}

const injuries: readonly Injury[] = [
  {
    name: "our entry chain is flushed",
    act: (arena, backend) => arena.iptables(backend, 4, "-F", "ANT-IN"),
    found: ["rules", "ANT-IN"],
  },
  {
    name: "one rule of ours is deleted",
    act: (arena, backend) => arena.iptables(backend, 6, "-D", "ANT-OUT", "2"),
    found: ["rules", "ANT-OUT"],
  },
  {
    name: "the jump is deleted",
    act: (arena, backend) => arena.iptables(backend, 4, "-D", "OUTPUT", "-j", "ANT-OUT"),
    found: ["jump-missing", "OUTPUT"],
  },
  {
    name: "a foreign rule is put before the jump",
    act: (arena, backend) => arena.iptables(backend, 4, "-I", "INPUT", "-s", "10.8.8.8", "-j", "ACCEPT"),
    found: ["jump-displaced", "INPUT"],
  },
  {
    name: "a second jump is added",
    act: (arena, backend) => arena.iptables(backend, 4, "-A", "INPUT", "-j", "ANT-IN"),
    found: ["jump-displaced", "INPUT"],
  },
  {
    name: "the jump gets a condition",
    act: (arena, backend) => arena.iptables(backend, 4, "-R", "INPUT", "1", "-p", "tcp", "-j", "ANT-IN"),
    found: ["jump-missing", "INPUT"],
  },
  {
    name: "a foreign ACCEPT is put above ours in our chain",
    act: (arena, backend) => arena.iptables(backend, 4, "-I", "ANT-IN", "-j", "ACCEPT"),
    found: ["rules", "ANT-IN"],
  },
  {
    name: "a rule is replaced by a wider one that keeps its comment",
    act: async (arena, backend) => {
      const saved = await arena.save(backend, 4);
      const comment = /^-A ANT-IN-DEFAULT .*--comment "(ant:[0-9a-f]+)"/m.exec(saved)?.[1];
      assert.ok(comment !== undefined);
      const rule = ["-m", "comment", "--comment", comment, "-j", "ACCEPT"];
      await arena.iptables(backend, 4, "-R", "ANT-IN-DEFAULT", "1", ...rule);
    },
    found: ["rules", "ANT-IN-DEFAULT"],
  },
  {
    name: "a chain with a name of ours is added",
    act: (arena, backend) => arena.iptables(backend, 4, "-N", "ANT-0123456789abcdef0123"),
    found: ["rules", "ANT-0123456789abcdef0123"],
  },
  {
    name: "everything is flushed and deleted",
    act: async (arena, backend) => {
      if (backend === "nft") return await arena.nft("flush", "ruleset");
      await arena.iptables(backend, 4, "-F");
      return await arena.iptables(backend, 4, "-X");
    },
    found: ["jump-missing", "INPUT"],
  },
  {
    name: "the owner reloads without --noflush",
    act: (arena, backend) => arena.restore(backend, 4, ownersRules(4)),
    found: ["jump-missing", "INPUT"],
  },
];

/** Rules alone: a table that was deleted comes back with its built-in chains. */
async function ownersRulesIn(arena: FilterArena, backend: Backend): Promise<string> {
  const lines = withoutOurs(await arena.save(backend, 4)).split("\n");
  return lines.filter((line) => line.startsWith("-A ")).join("\n");
}

/** Resolves with the next notice. */
function nextNotice(filter: PacketFilter, installed: Installed): Promise<ChangeNotice> {
  return new Promise((resolve) => filter.watch(installed, resolve));
}

for (const backend of backends) {
  describe(`repair in iptables-${backend}`, () => {
    test("each injury is noticed, named and healed; rules of others stay", async (context) => {
      await using arena = await FilterArena.open();
      for (const family of [4, 6] as const) await arena.restore(backend, family, ownersRules(family));
      const filter = await arena.filter();
      const installed = await install(filter, policyOf(shop));
      filter.watch(installed, () => undefined);
      // Repairs are held to four processes a second: a pause keeps the figures apart, not the outcome.
      for (const injury of injuries) {
        await context.test(injury.name, async () => {
          const noticed = nextNotice(filter, installed);
          await injury.act(arena, backend);
          const notice = await noticed;
          assert.equal(notice.scope, "rules");
          if (backend === "nft") assert.ok(notice.writer !== null, "nft tells who wrote");
          const foreign = await ownersRulesIn(arena, backend);

          const differences = await filter.verify(installed, notice.scope);
          const [kind, object] = injury.found;
          const named = differences.some((found) => found.kind === kind && found.object === object);
          assert.ok(named, `${kind} of ${object} in ${JSON.stringify(differences)}`);

          await repair(filter, installed);
          assert.deepEqual(await filter.verify(installed, "members"), []);
          assert.equal(await ownersRulesIn(arena, backend), foreign);
        });
      }
    });

    test("a set that lost a member, gained one, or swapped one is found", async () => {
      await using arena = await FilterArena.open();
      if (backend === "legacy") await arena.restore(backend, 4, ownersRules(4));
      const filter = await arena.filter();
      const installed = await install(filter, policyOf(shop));
      const instance = [...installed.instances.values()].find((each) => each.shapes[4] === "blocks");
      assert.ok(instance !== undefined);
      const name = `${instance.name}-4`;
      const ipset = (...args: string[]) => arena.namespace.exec("/usr/sbin/ipset", args);
      const [member = ""] = /^add \S+ (\S+)$/m.exec(await ipset("save", name))?.slice(1) ?? [];

      const noticed = nextNotice(filter, installed);
      await ipset("del", name, member);
      const notice = await noticed;
      assert.equal(notice.scope, "counts");
      const [found] = await filter.verify(installed, "counts");
      assert.deepEqual([found?.kind, found?.object], ["set-members", instance.name]);

      await ipset("add", name, "10.250.0.0/16");
      assert.deepEqual(await filter.verify(installed, "counts"), [], "the number is right again");
      const [swapped] = await filter.verify(installed, "members");
      assert.deepEqual([swapped?.kind, swapped?.object], ["set-members", instance.name]);
      assert.match(swapped?.detail ?? "", /10\.250\.0\.0\/16/);
    });
  });
}

test("our own writes and changes elsewhere give no notice", async () => {
  await using arena = await FilterArena.open();
  const filter = await arena.filter();
  const installed = await install(filter, policyOf(shop));
  const notices: ChangeNotice[] = [];
  filter.watch(installed, (notice) => notices.push(notice));
  await arena.nft("add", "table", "inet", "somebody");
  await arena.iptables("nft", 4, "-A", "FORWARD", "-j", "DROP");
  const visible = await install(filter, policyOf({ ...shop, mode: "visibility" }));
  filter.watch(visible, (notice) => notices.push(notice));
  await filter.sweep(visible);
  await setTimeout(1_200);
  assert.deepEqual(notices, []);
  filter.watch(null, () => undefined);
});

test("in a storm of changes repairs start at most four processes a second", async () => {
  await using arena = await FilterArena.open();
  const filter = await arena.filter();
  const installed = await install(filter, policyOf(shop));
  const began = performance.now();
  for (let round = 0; round < 7; round++) {
    await arena.iptables("nft", 4, "-F", "ANT-IN");
    await repair(filter, installed);
  }
  assert.ok(performance.now() - began >= 1_000, "seven repairs take more than a second");
  assert.deepEqual(await filter.verify(installed, "rules"), []);
});

test("somebody who writes all the while spoils neither a write nor what it is judged by", async () => {
  await using arena = await FilterArena.open();
  const filter = await arena.filter();
  let busy = true;
  const others = (async () => {
    for (let round = 0; busy; round++) {
      await arena.iptables("nft", 4, "-A", "FORWARD", "-s", `10.1.${round % 250}.1`, "-j", "DROP");
    }
  })();
  try {
    for (const mode of ["full", "visibility", "selective", "full"]) {
      const installed = await install(filter, policyOf({ ...shop, mode }));
      assert.deepEqual(await filter.verify(installed, "members"), []);
      await filter.sweep(installed);
    }
  } finally {
    busy = false;
    await others;
  }
});

const rendering = { cutMark, nflogGroup: 4711, nflogRate: 50 };

function ourChains(saved: string): readonly string[] {
  return [...saved.matchAll(/^:(ANT-\S+) -/gm)].flatMap(([, name]) =>
    name === undefined || name === "ANT-FARM" ? [] : [name],
  );
}

for (const backend of backends) {
  test(`a rule of the owner that leads to a chain of ours in iptables-${backend} does not keep the next policy out`, async () => {
    await using arena = await FilterArena.open();
    for (const family of [4, 6] as const) await arena.restore(backend, family, ownersRules(family));
    const filter = await arena.filter();
    const before = await install(filter, policyOf(shop));
    await arena.iptables(backend, 4, "-A", "FORWARD", "-j", "ANT-IN-ALLOW");
    const empty = policyOf({ mode: "full" });
    const installed = await install(filter, empty);
    assert.notEqual(installed.program.rulesDigest, before.program.rulesDigest);
    assert.deepEqual(await filter.verify(installed, "members"), []);
    assert.doesNotMatch(await arena.save(backend, 4), /^-A ANT-IN-ALLOW/m, "emptied");
    assert.match(await arena.save(backend, 4), /^-A FORWARD -j ANT-IN-ALLOW$/m, "not ours to delete");
    const stale = async (meant: Installed) => {
      const wanted = renderRules(meant, 4, rendering).chains.map(({ name }) => name);
      return ourChains(await arena.save(backend, 4)).filter((name) => !wanted.includes(name));
    };
    assert.deepEqual(await stale(installed), ["ANT-IN-ALLOW"], "no other chain of the earlier policy stays");
    const leftovers = () => (filter.describe().leftovers ?? []).map(({ name }) => name);
    assert.deepEqual(leftovers(), [`iptables-${backend} IPv4 ANT-IN-ALLOW`]);
    const restarted = await arena.filter();
    assert.notEqual(
      await restarted.adopt(installed.program),
      null,
      "a restart with the same policy writes nothing",
    );
    assert.deepEqual(restarted.describe().leftovers?.length, 1);
    await arena.iptables(backend, 4, "-A", "ANT-IN-ALLOW", "-j", "ACCEPT");
    const differences = await filter.verify(installed, "rules");
    assert.deepEqual(
      differences.map(({ object }) => object),
      ["ANT-IN-ALLOW"],
    );
    const again = await install(filter, policyOf(shop));
    assert.deepEqual(await filter.verify(again, "members"), []);
    assert.deepEqual(leftovers(), [], "it is a chain of the policy again");

    assert.deepEqual(await stale(await install(filter, empty)), ["ANT-IN-ALLOW"]);
    await arena.iptables(backend, 4, "-D", "FORWARD", "-j", "ANT-IN-ALLOW");
    const last = await install(filter, policyOf({ mode: "full", reject: true }));
    assert.deepEqual(await filter.verify(last, "members"), []);
    assert.deepEqual([leftovers(), await stale(last)], [[], []], "gone with the rule that led there");
  });
}

test("rules that stand in a table that sleeps, or in a chain that nothing calls, are no enforcement", async () => {
  await using arena = await FilterArena.open();
  const filter = await arena.filter();
  let installed = await install(filter, policyOf(shop));
  const idle = async (): Promise<readonly string[]> =>
    (await filter.verify(installed, "rules")).map(
      ({ kind, family, object }) => `${kind} ${family} ${object}`,
    );
  assert.deepEqual(await idle(), []);
  await arena.nft("add", "table", "ip", "filter", "{", "flags", "dormant", ";", "}");
  assert.deepEqual(await idle(), ["rules 4 INPUT", "rules 4 OUTPUT"]);
  await assert.rejects(install(filter, policyOf({ ...shop, reject: true })), /wake the table/);
  await arena.nft("add", "table", "ip", "filter");
  installed = await install(filter, policyOf(shop));
  await arena.namespace.exec(
    "/usr/sbin/nft",
    ["-f", "-"],
    [
      "flush chain ip filter INPUT",
      "delete chain ip filter INPUT",
      "add chain ip filter INPUT",
      "add rule ip filter INPUT counter jump ANT-IN",
      "",
    ].join("\n"),
  );
  assert.deepEqual(await idle(), ["rules 4 INPUT"]);
});
