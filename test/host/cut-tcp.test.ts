import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import {
  type Arena,
  conntrack,
  conntrackLines,
  createArena,
  enforce,
  flows,
  hasPort,
  hereAddress,
  hereAddress6,
  only,
  rules,
  until,
} from "./connection-arena.js";

const timeout = 60_000;

/** A server here, a client there, allowed by a rule that is then taken away. */
async function inbound(
  arena: Arena,
  port: number,
  host = hereAddress,
): Promise<{ here: string; there: string; port: number }> {
  await arena.server.listen(host, port);
  await enforce(arena.here, [`-A JUDGE-IN -p tcp --dport ${port} -j ACCEPT`]);
  const local = await arena.client.connect(host, port);
  const names = { here: `${port}-${local}`, there: `${local}-${port}`, port: local };
  await arena.client.push(names.there, 100);
  await until("data arrives", 2_000, async () => (await arena.server.report(names.here)).received === 100);
  return names;
}

async function revoke(arena: Arena, port: number): Promise<void> {
  await rules(arena.here, [`-D JUDGE-IN -p tcp --dport ${port} -j ACCEPT`]);
}

/** The mark that the owner sees on the entry with this port; null: no entry. */
async function markOf(arena: Arena, port: number): Promise<number | null> {
  const line = (await conntrackLines(arena.here)).find((found) => found.includes(`port=${port} `));
  const mark = line === undefined ? null : /mark=(\d+)/.exec(line)?.[1];
  return mark === null ? null : Number(mark ?? 0);
}

describe("a cut TCP connection", { concurrency: 2 }, () => {
  for (const [family, host] of [
    ["IPv4", hereAddress],
    ["IPv6", hereAddress6],
  ] as const) {
    test(`${family}: nothing passes any more, and its socket ends`, {
      timeout,
    }, async () => {
      await using arena = await createArena();
      const names = await inbound(arena, 8080, host);
      await revoke(arena, 8080);
      const flow = await only(arena.table, hasPort(names.port));
      assert.equal(flow.direction, "in");
      assert.equal(flow.openingSeen, true);
      assert.equal(flow.cut, false);
      assert.equal(arena.table.isInbound(flow), true);
      assert.deepEqual(await arena.table.cut([flow]), { cut: 1, gone: 0, socketsEnded: 1 });
      await until(
        "the server's process hears of it",
        2_000,
        async () => (await arena.server.report(names.here)).closed,
      );
      assert.equal((await arena.server.report(names.here)).error, "ECONNABORTED");
      await arena.client.push(names.there, 1_000);
      await sleep(300);
      assert.deepEqual(await arena.client.report(names.there), {
        received: 0,
        error: null,
        ended: false,
        closed: false,
      });
      assert.equal(arena.table.cutFlows().length, 1);
      assert.equal((await only(arena.table, hasPort(names.port))).cut, true);
      assert.deepEqual(arena.warnings, []);
    });
  }

  test("a hundred other clients of the same listener notice nothing", { timeout }, async () => {
    await using arena = await createArena();
    const { server, client, table, here } = arena;
    await server.listen(hereAddress, 8080);
    await enforce(here, ["-A JUDGE-IN -p tcp --dport 8080 -j ACCEPT"]);
    const locals: number[] = [];
    for (let count = 0; count < 101; count += 1) locals.push(await client.connect(hereAddress, 8080));
    const victim = locals[50] ?? 0;
    const others = locals.filter((local) => local !== victim);
    for (const local of locals) await client.push(`${local}-8080`, 10);
    await until("all data arrives", 3_000, async () => {
      const reports = await Promise.all(locals.map((local) => server.report(`8080-${local}`)));
      return reports.every(({ received }) => received === 10);
    });
    assert.equal((await table.cut([await only(table, hasPort(victim))])).socketsEnded, 1);
    for (const local of others) {
      await client.push(`${local}-8080`, 1_000);
      await server.push(`8080-${local}`, 1_000);
    }
    await until("the others go on, both ways", 3_000, async () => {
      const mine = await Promise.all(others.map((local) => server.report(`8080-${local}`)));
      const theirs = await Promise.all(others.map((local) => client.report(`${local}-8080`)));
      return [...mine.map(({ received }) => received - 10), ...theirs.map(({ received }) => received)].every(
        (received) => received === 1_000,
      );
    });
    const marked = await flows(table, (flow) => flow.cut);
    assert.equal(marked.length, 1);
    // New clients still get in: the listener lives.
    await client.connect(hereAddress, 8080);
  });

  test("flushing the table does not bring it back, whoever sends", { timeout }, async () => {
    await using arena = await createArena();
    const names = await inbound(arena, 8080);
    // What would revive it: the host may open connections.
    await rules(arena.here, ["-A JUDGE-OUT -j ACCEPT"]);
    await revoke(arena, 8080);
    await arena.table.cut([await only(arena.table, hasPort(names.port))]);
    await arena.here.exec(conntrack, ["-F"]);
    const tookMs = await until(
      "the mark is back",
      2_000,
      async () => ((await markOf(arena, names.port)) ?? 0) !== 0,
    );
    assert.ok(tookMs <= 250, `marked again after ${tookMs} ms`);
    assert.equal(arena.overwritten[0]?.by, "entry-deleted");
    await arena.client.push(names.there, 1_000);
    await sleep(400);
    assert.equal((await arena.client.report(names.there)).received, 0);
    assert.equal((await arena.client.report(names.there)).error, null);
  });

  test("a connection that was gone is counted as gone", { timeout }, async () => {
    await using arena = await createArena();
    const names = await inbound(arena, 8080);
    const flow = await only(arena.table, hasPort(names.port));
    await arena.here.exec(conntrack, ["-F"]);
    assert.deepEqual(await arena.table.cut([flow]), { cut: 0, gone: 1, socketsEnded: 0 });
    assert.deepEqual(arena.table.cutFlows(), []);
    // A later entry of the same tuple is another flow.
    await arena.client.push(names.there, 100);
    await until(
      "it is picked up",
      2_000,
      async () => (await flows(arena.table, hasPort(names.port))).length === 1,
    );
    assert.deepEqual(await arena.table.cut([flow]), { cut: 0, gone: 1, socketsEnded: 0 });
    assert.equal((await only(arena.table, hasPort(names.port))).cut, false);
  });
});
