import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { backends, FilterArena, install, ownersRules, policyOf, programOf, shop } from "./filter-arena.js";

// A restart takes over what stands and writes nothing; what it cannot vouch for it does not take over.

const policy = policyOf(shop);

for (const backend of backends) {
  describe(`restart in iptables-${backend}`, () => {
    test("rules and sets are taken over without a write", async () => {
      await using arena = await FilterArena.open();
      for (const family of [4, 6] as const) await arena.restore(backend, family, ownersRules(family));
      const first = await arena.filter();
      assert.equal(await first.adopt(programOf(policy)), null, "nothing stands yet");
      assert.equal(await first.present(), false);
      const installed = await install(first, policy);
      await first[Symbol.asyncDispose]();
      const before = [await arena.handles(), await arena.save(backend, 4), await arena.sets()];

      const second = await arena.filter();
      assert.equal(await second.present(), true);
      const adopted = await second.adopt(programOf(policy));
      assert.ok(adopted !== null);
      assert.deepEqual([...adopted.instances.values()], [...installed.instances.values()]);
      assert.deepEqual(await second.verify(adopted, "members"), []);
      assert.deepEqual([await arena.handles(), await arena.save(backend, 4), await arena.sets()], before);
    });

    const changes: readonly (readonly [string, (arena: FilterArena) => Promise<unknown>])[] = [
      ["a wider rule with its comment kept", (arena) => widen(arena)],
      ["a rule gone", (arena) => arena.iptables(backend, 6, "-D", "ANT-IN", "1")],
      ["a jump displaced", (arena) => arena.iptables(backend, 4, "-I", "INPUT", "-j", "ACCEPT")],
      ["a member gone", (arena) => dropMember(arena)],
    ];
    const widen = async (arena: FilterArena) => {
      const saved = await arena.save(backend, 4);
      const comment = /^-A ANT-OUT-DEFAULT .*--comment "(ant:[0-9a-f]+)"/m.exec(saved)?.[1] ?? "";
      const rule = ["-m", "comment", "--comment", comment, "-j", "ACCEPT"];
      await arena.iptables(backend, 4, "-R", "ANT-OUT-DEFAULT", "1", ...rule);
    };
    const dropMember = async (arena: FilterArena) => {
      const [, set = "", member = ""] = /^add (\S+) (\S+)$/m.exec(await arena.sets()) ?? [];
      await arena.namespace.exec("/usr/sbin/ipset", ["del", set, member]);
    };
    for (const [name, change] of changes) {
      test(`not taken over: ${name}`, async () => {
        await using arena = await FilterArena.open();
        for (const family of [4, 6] as const) await arena.restore(backend, family, ownersRules(family));
        const first = await arena.filter();
        await install(first, policy);
        await first[Symbol.asyncDispose]();
        await change(arena);
        const second = await arena.filter();
        assert.equal(await second.adopt(programOf(policy)), null);
        assert.equal(await second.present(), true);
        const installed = await install(second, policy);
        await second.sweep(installed);
        assert.deepEqual(await second.verify(installed, "members"), []);
      });
    }
  });
}

test("another program, another cut mark or a damaged baseline is not taken over", async () => {
  await using arena = await FilterArena.open();
  const first = await arena.filter();
  await install(first, policy);
  await first[Symbol.asyncDispose]();
  const second = await arena.filter();
  assert.equal(await second.adopt(programOf(policyOf({ ...shop, mode: "visibility" }))), null);
  assert.ok((await second.adopt(programOf(policy))) !== null);
  await second[Symbol.asyncDispose]();

  const file = join(arena.stateDir, "filter", "baseline.json");
  assert.equal((await stat(file)).mode & 0o777, 0o600);
  const text = await readFile(file, "utf8");
  for (const damaged of [
    "",
    "{",
    text.slice(0, text.length / 2),
    text.replace('"format":1', '"format":0'),
    "null",
    "[]",
  ]) {
    await writeFile(file, damaged);
    const third = await arena.filter();
    assert.equal(await third.adopt(programOf(policy)), null, JSON.stringify(damaged.slice(0, 20)));
    await third[Symbol.asyncDispose]();
  }
});

test("writing the same program again writes nothing", async () => {
  await using arena = await FilterArena.open();
  const filter = await arena.filter();
  const installed = await install(filter, policy);
  const before = await arena.handles();
  await filter.execute([
    { kind: "switch-rules", family: 4, installed },
    { kind: "switch-rules", family: 6, installed },
  ]);
  assert.equal(await arena.handles(), before);
});
