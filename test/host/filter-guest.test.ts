import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { describe, test } from "node:test";
import {
  type Backend,
  backends,
  FilterArena,
  install,
  ownersRules,
  policyOf,
  repair,
  shop,
  withoutOurs,
} from "./filter-arena.js";

// A guest in a host with rules of Docker, ufw and firewalld: what it leaves there, and that nothing else changes.

const families = [4, 6] as const;

async function hostState(arena: FilterArena, backend: Backend): Promise<string> {
  const parts: string[] = [];
  for (const family of families) parts.push(`# IPv${family}`, await arena.save(backend, family));
  return [...parts, "# ipset", await arena.sets(), ""].join("\n");
}

/** Compares with a reviewed file; ANTENNA_GOLDEN=write writes it. */
async function assertGolden(name: string, text: string): Promise<void> {
  const file = new URL(`../../golden/${name}.txt`, import.meta.url);
  if (process.env.ANTENNA_GOLDEN === "write") await writeFile(file, text);
  assert.equal(text, await readFile(file, "utf8"), `the host's state differs from golden/${name}.txt`);
}

for (const backend of backends) {
  describe(`guest in iptables-${backend}`, () => {
    test("the whole state of the host after an apply is what was reviewed", async () => {
      await using arena = await FilterArena.open();
      for (const family of families) await arena.restore(backend, family, ownersRules(family));
      const filter = await arena.filter();
      assert.equal(filter.describe().mechanism, `iptables-${backend}`);
      await install(filter, policyOf(shop));
      // Both backends stand in the same words.
      await assertGolden("host-state", await hostState(arena, backend));
    });

    test("rules of others are as they were through apply, change, repair and purge", async () => {
      await using arena = await FilterArena.open();
      for (const family of families) await arena.restore(backend, family, ownersRules(family));
      const before = await Promise.all(families.map((family) => arena.save(backend, family)));
      const owners = async () =>
        Promise.all(families.map(async (family) => withoutOurs(await arena.save(backend, family))));

      const filter = await arena.filter();
      await install(filter, policyOf(shop));
      assert.deepEqual(await owners(), before);
      const changed = await install(
        filter,
        policyOf({ ...shop, mode: "visibility", rules: shop.rules.slice(1) }),
      );
      await filter.sweep(changed);
      assert.deepEqual(await owners(), before);
      await filter.remove();
      assert.deepEqual(await Promise.all(families.map((family) => arena.save(backend, family))), before);
      assert.equal(await arena.sets(), "");

      const again = await install(filter, policyOf(shop));
      await arena.iptables(backend, 4, "-D", "INPUT", "-j", "ANT-IN");
      await arena.iptables(backend, 6, "-F", "ANT-OUT");
      await repair(filter, again);
      assert.deepEqual(await owners(), before);
      const { removed, residues } = await filter.remove();
      assert.deepEqual(await Promise.all(families.map((family) => arena.save(backend, family))), before);
      assert.ok(removed.some((entry) => entry.kind === "set"));
      assert.deepEqual(residues, [], "the owner's tables were there before us");
      assert.deepEqual((await filter.remove()).removed, [], "a second purge finds nothing");
    });
  });
}

test("on an empty host nothing is left of us in nft, tables included", async () => {
  await using arena = await FilterArena.open();
  const filter = await arena.filter();
  await install(filter, policyOf(shop));
  const { residues } = await filter.remove();
  assert.deepEqual(residues, []);
  assert.equal(await arena.nft("list", "ruleset"), "");
  assert.equal(await filter.present(), false);
});

test("a table that our first write made stays when others use it by then", async () => {
  await using arena = await FilterArena.open();
  const filter = await arena.filter();
  await install(filter, policyOf(shop));
  await arena.iptables("nft", 4, "-A", "FORWARD", "-j", "DROP");
  const { residues } = await filter.remove();
  assert.deepEqual(
    residues.map(({ kind, name }) => `${kind} ${name}`),
    ["table ip filter"],
  );
  assert.match(await arena.save("nft", 4), /^-A FORWARD -j DROP$/m);
});

test("a legacy table is named as what stays, and only the backend in use was touched", async () => {
  await using arena = await FilterArena.open();
  await arena.iptables("legacy", 4, "-A", "INPUT", "-s", "10.9.9.9", "-j", "DROP");
  const filter = await arena.filter();
  await install(filter, policyOf(shop));
  assert.equal(await arena.nft("list", "ruleset"), "");
  const { residues } = await filter.remove();
  assert.deepEqual(
    residues.map(({ kind, name }) => `${kind} ${name}`),
    ["legacy-table ip6_tables filter"],
  );
});

test("on an nft host no legacy table appears", async () => {
  await using arena = await FilterArena.open();
  const names = () =>
    arena.namespace.exec("/bin/cat", ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"]);
  const before = await names();
  const filter = await arena.filter();
  const installed = await install(filter, policyOf(shop));
  assert.deepEqual(await filter.verify(installed, "members"), []);
  await filter.remove();
  assert.equal(await names(), before);
});

for (const backend of backends) {
  test(`a chain that somebody's rule leads to in iptables-${backend} is emptied, stays alone, and is named`, async () => {
    await using arena = await FilterArena.open();
    await arena.iptables(backend, 4, "-A", "FORWARD", "-s", "10.9.9.9", "-j", "DROP");
    const filter = await arena.filter();
    await install(filter, policyOf(shop));
    await arena.iptables(backend, 4, "-A", "FORWARD", "-p", "tcp", "-j", "ANT-IN");
    const { removed, residues } = await filter.remove();
    const chains = residues.filter(({ kind }) => kind === "chain");
    assert.deepEqual(
      chains.map(({ name }) => name),
      [`iptables-${backend} IPv4 ANT-IN`],
    );
    assert.match(chains[0]?.reason ?? "", new RegExp(`iptables-${backend}-save shows it`));
    assert.ok(removed.some(({ kind, name }) => kind === "chain" && name.endsWith(" ANT-OUT")));
    const left = await arena.save(backend, 4);
    assert.match(left, /^-A FORWARD -p tcp -j ANT-IN$/m);
    assert.doesNotMatch(left, /^-A ANT-/m);
    assert.doesNotMatch(left, /^-A INPUT/m);
    assert.deepEqual(left.match(/^:ANT-\S+/gm), [":ANT-IN"]);
    await arena.iptables(backend, 4, "-D", "FORWARD", "-p", "tcp", "-j", "ANT-IN");
    await filter.remove();
    assert.doesNotMatch(await arena.save(backend, 4), /ANT-/);
  });
}
