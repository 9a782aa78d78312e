import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type Arena,
  createArena,
  flows,
  hasPort,
  hereAddress,
  hereAddress6,
  only,
  rules,
  thereAddress,
  until,
} from "./connection-arena.js";

const timeout = 60_000;
const megabyte = 1024 * 1024;

/** From here on connections are tracked, and nothing but what is established passes; INVALID packets are counted. */
async function closeUp(arena: Arena): Promise<void> {
  await rules(arena.here, [
    "-A INPUT -i lo -j ACCEPT",
    "-A OUTPUT -o lo -j ACCEPT",
    "-A INPUT -m conntrack --ctstate INVALID -m comment --comment invalid",
    "-A OUTPUT -m conntrack --ctstate INVALID -m comment --comment invalid",
    "-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
    "-A OUTPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT",
    "-A INPUT -p icmpv6 -j ACCEPT",
    "-A OUTPUT -p icmpv6 -j ACCEPT",
    "-A INPUT -j DROP",
    "-A OUTPUT -j DROP",
  ]);
}

async function invalidPackets(arena: Arena): Promise<number> {
  let count = 0;
  for (const program of ["/usr/sbin/iptables-nft-save", "/usr/sbin/ip6tables-nft-save"]) {
    const text = await arena.here.exec(program, ["-c", "-t", "filter"]);
    for (const match of text.matchAll(/^\[(\d+):\d+\].*--comment invalid/gm)) count += Number(match[1]);
  }
  return count;
}

describe("connections that are silent while tracking settles", { concurrency: 2 }, () => {
  for (const first of ["client", "server"] as const) {
    test(`50 MB each way pass, the ${first} first, and no packet is INVALID`, { timeout }, async () => {
      await using arena = await createArena();
      const { server, client, table } = arena;
      await server.listen("::", 8080);
      await client.listen(thereAddress, 8081);
      const inbound = await client.connect(hereAddress, 8080);
      const inbound6 = await client.connect(hereAddress6, 8080);
      const outbound = await server.connect(thereAddress, 8081);
      await sleep(100);
      assert.deepEqual(await flows(table), [], "nothing is tracked before a rule asks for it");
      assert.deepEqual(await table.enterSilent(), { entered: 3, existing: 0, failed: 0 });
      assert.deepEqual(await table.enterSilent(), { entered: 0, existing: 3, failed: 0 });
      await closeUp(arena);
      const pairs = [
        { here: `8080-${inbound}`, there: `${inbound}-8080` },
        { here: `8080-${inbound6}`, there: `${inbound6}-8080` },
        { here: `${outbound}-8081`, there: `8081-${outbound}` },
      ];
      const order = first === "client" ? (["there", "here"] as const) : (["here", "there"] as const);
      for (const side of order) {
        const [sender, receiver, other] =
          side === "here" ? [server, client, "there"] : [client, server, "here"];
        for (const pair of pairs) {
          void sender.push(pair[side], 50 * megabyte, true);
          await until(`50 MB from ${side}`, 20_000, async () => {
            return (await receiver.report(pair[other as "here" | "there"])).received === 50 * megabyte;
          });
        }
      }
      assert.equal(await invalidPackets(arena), 0);
      for (const [port, direction] of [
        [inbound, "in"],
        [inbound6, "in"],
        [outbound, "out"],
      ] as const) {
        const flow = await only(table, hasPort(port));
        assert.equal(flow.direction, direction);
        assert.equal(table.isInbound(flow), direction === "in");
        assert.equal(flow.openingSeen, false, "it was not: it was told to tracking by us");
      }
      assert.deepEqual(arena.warnings, []);
    });
  }

  test("connections that never leave the host are not entered, half-closed ones are", {
    timeout,
  }, async () => {
    await using arena = await createArena();
    const { server, client, table } = arena;
    await server.listen(hereAddress, 8080);
    await server.connect(hereAddress, 8080);
    const local = await client.connect(hereAddress, 8080);
    await client.call({ do: "finish", key: `${local}-8080` });
    await until("its end arrives", 2_000, async () => (await server.report(`8080-${local}`)).ended);
    assert.deepEqual(await table.enterSilent(), { entered: 1, existing: 0, failed: 0 });
    await closeUp(arena);
    await server.push(`8080-${local}`, megabyte, true);
    await until("the open half goes on", 5_000, async () => {
      return (await client.report(`${local}-8080`)).received === megabyte;
    });
    assert.equal(await invalidPackets(arena), 0);
  });

  test("an entry that tracking made by itself stays as it is", { timeout }, async () => {
    await using arena = await createArena();
    const { server, client, table, here } = arena;
    await server.listen(hereAddress, 8080);
    const local = await client.connect(hereAddress, 8080);
    await rules(here, ["-A INPUT -m conntrack --ctstate INVALID"]);
    // The server speaks first: the kernel takes the connection for an outbound one.
    await server.push(`8080-${local}`, 100);
    await until("it arrives", 2_000, async () => (await client.report(`${local}-8080`)).received === 100);
    const before = await only(table, hasPort(local));
    assert.equal(before.direction, "out");
    assert.equal(before.openingSeen, false);
    assert.equal(table.isInbound(before), true);
    assert.deepEqual(await table.enterSilent(), { entered: 0, existing: 1, failed: 0 });
    assert.deepEqual(await only(table, hasPort(local)), before);
  });
});

describe("a UDP flow that is older than tracking", { concurrency: 2 }, () => {
  test("is inbound where the host's port is bound outside the ephemeral range", { timeout }, async () => {
    await using arena = await createArena();
    const { server, client, table, here } = arena;
    await server.bind(hereAddress, 9_000);
    const port = await client.bind(thereAddress, 0);
    await client.send(port, hereAddress, 9_000);
    const queried = await server.bind(hereAddress, 0);
    await client.bind(thereAddress, 5_300);
    await rules(here, ["-A INPUT -m conntrack --ctstate INVALID"]);
    // The server answers: the first packet in tracking is its own. The answer to a query comes in first, too.
    await server.send(9_000, thereAddress, port);
    await client.send(5_300, hereAddress, queried);
    await until("all is tracked", 2_000, async () => (await flows(table)).length === 2);
    await table.enterSilent();
    const served = await only(table, hasPort(9_000));
    assert.deepEqual([served.direction, served.openingSeen, table.isInbound(served)], ["out", false, true]);
    const query = await only(table, hasPort(5_300));
    assert.deepEqual([query.direction, query.openingSeen, table.isInbound(query)], ["in", false, false]);
  });

  test("is what the kernel saw, where it began after settling", { timeout }, async () => {
    await using arena = await createArena();
    const { server, client, table, here } = arena;
    await rules(here, ["-A INPUT -m conntrack --ctstate INVALID"]);
    await table.enterSilent();
    await server.bind(hereAddress, 9_000);
    const port = await client.bind(thereAddress, 0);
    await server.send(9_000, thereAddress, port);
    await until("it is tracked", 2_000, async () => (await flows(table)).length === 1);
    const flow = await only(table, hasPort(port));
    assert.deepEqual([flow.direction, flow.openingSeen], ["out", true]);
  });
});
