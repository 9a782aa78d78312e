import assert from "node:assert/strict";
import { test } from "node:test";
import { readForeignRules } from "@antenna/netfilter";
import { parseAddress } from "@antenna/sdk";
import { backends, FilterArena, install, ownersRules, policyOf, shop } from "./filter-arena.js";

for (const backend of backends) {
  test(`the owner's rules in iptables-${backend} are told, and reading them changes nothing`, async () => {
    await using arena = await FilterArena.open();
    for (const family of [4, 6] as const) await arena.restore(backend, family, ownersRules(family));
    await install(await arena.filter(), policyOf(shop));
    const names = () => arena.namespace.exec("/bin/cat", ["/proc/net/ip_tables_names"]);
    const before = [await arena.handles(), await names()];
    const ask = async (peer: string, port: number) => {
      const address = parseAddress(peer);
      const question = { direction: "in", protocol: 6, icmpType: null, icmpCode: null } as const;
      const options = { ...question, namespace: arena.namespace.path, peer: address, port };
      return (await readForeignRules(options)).map(
        ({ table, rule, verdict }) => `${table} ${verdict}: ${rule}`,
      );
    };
    assert.deepEqual(await ask("10.0.0.1", 22), [], "accepted by the owner");
    assert.deepEqual(await ask("10.0.0.1", 80), []);
    assert.deepEqual(await ask("10.0.0.1", 443), ["filter dropped: -P INPUT DROP"]);
    assert.deepEqual(await ask("fd00::1", 443), ["filter dropped: -P INPUT DROP"]);
    assert.deepEqual([await arena.handles(), await names()], before);
  });
}

test("chains of firewalld's own tables are named, not interpreted", async () => {
  await using arena = await FilterArena.open();
  const ruleset = [
    "table inet firewalld {",
    "  chain filter_INPUT {",
    "    type filter hook input priority 10; policy accept;",
    "    tcp dport 1 drop",
    "  }",
    "}",
    "",
  ].join("\n");
  await arena.namespace.exec("/usr/sbin/nft", ["-f", "-"], ruleset);
  const question = { direction: "in", protocol: 6, icmpType: null, icmpCode: null, port: 80 } as const;
  const peer = parseAddress("10.0.0.1");
  const found = await readForeignRules({ ...question, namespace: arena.namespace.path, peer });
  assert.deepEqual(
    found.map(({ table, chain, verdict }) => `${table} ${chain} ${verdict}`),
    ["inet firewalld filter_INPUT unknown"],
  );
});
