import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { inside } from "../lab/namespace.js";
import {
  type Arena,
  conntrack,
  createArena,
  cutMark,
  enforce,
  flows,
  hasPort,
  hereAddress,
  only,
  rules,
  thereAddress,
  until,
} from "./connection-arena.js";

const timeout = 60_000;
const servicePort = 9_000;

/**
 * An exchange with a UDP server here, allowed by a rule that is then taken away; the host may send where it likes. Its socket
 * is not connected: nothing but the mark keeps it cut.
 */
async function exchange(arena: Arena): Promise<number> {
  const { server, client, here } = arena;
  await server.bind(hereAddress, servicePort);
  await enforce(here, [`-A JUDGE-IN -p udp --dport ${servicePort} -j ACCEPT`, "-A JUDGE-OUT -j ACCEPT"]);
  const port = await client.bind(thereAddress, 0);
  await client.send(port, hereAddress, servicePort);
  await until("a datagram arrives", 2_000, async () => (await server.datagrams(servicePort)) === 1);
  await server.send(servicePort, thereAddress, port);
  await until("an answer arrives", 2_000, async () => (await client.datagrams(port)) === 1);
  await rules(here, [`-D JUDGE-IN -p udp --dport ${servicePort} -j ACCEPT`]);
  return port;
}

/** Both sides send; gives what arrived here and there. */
async function both(arena: Arena, port: number, times = 5): Promise<{ here: number; there: number }> {
  const before = await counts(arena, port);
  for (let count = 0; count < times; count += 1) {
    await arena.server.send(servicePort, thereAddress, port);
    await arena.client.send(port, hereAddress, servicePort);
    await sleep(5);
  }
  await sleep(50);
  const after = await counts(arena, port);
  return { here: after.here - before.here, there: after.there - before.there };
}

async function counts(arena: Arena, port: number): Promise<{ here: number; there: number }> {
  return { here: await arena.server.datagrams(servicePort), there: await arena.client.datagrams(port) };
}

const nothing = { here: 0, there: 0 };

for (const listening of [false, true]) {
  describe(`a cut UDP flow, born while ${listening ? "somebody" : "nobody"} listened to events`, () => {
    async function prepared(): Promise<Arena & { readonly port: number }> {
      const arena = await createArena();
      let stop = async (): Promise<void> => undefined;
      if (listening) {
        const [file, argv] = inside(arena.here.path, conntrack, ["-E", "-e", "NEW"]);
        const listener = spawn(file, [...argv], { stdio: "ignore" });
        await once(listener, "spawn");
        await sleep(200);
        stop = async () => {
          const exited = once(listener, "exit");
          listener.kill("SIGKILL");
          await exited;
        };
      }
      try {
        const port = await exchange(arena);
        assert.deepEqual(await arena.table.cut([await only(arena.table, hasPort(port))]), {
          cut: 1,
          gone: 0,
          socketsEnded: 0,
        });
        return {
          ...arena,
          port,
          [Symbol.asyncDispose]: async () => {
            await stop();
            await arena[Symbol.asyncDispose]();
          },
        };
      } catch (error) {
        await stop();
        await arena[Symbol.asyncDispose]();
        throw error;
      }
    }

    test("nothing passes, whoever sends, until it is restored", { timeout }, async () => {
      await using arena = await prepared();
      assert.deepEqual(await both(arena, arena.port), nothing);
      await arena.table.restore([await only(arena.table, hasPort(arena.port))]);
      assert.deepEqual(arena.table.cutFlows(), []);
      assert.deepEqual(await both(arena, arena.port), { here: 5, there: 5 });
    });

    for (const [what, argv] of [
      ["the table is flushed", ["-F"]],
      ["its entry is deleted", ["-D", "-p", "udp"]],
    ] as const) {
      test(`it is cut again when ${what}`, { timeout }, async () => {
        await using arena = await prepared();
        for (let round = 0; round < 3; round += 1) {
          await arena.here.exec(conntrack, argv);
          const began = performance.now();
          // The host's own side pushes, which the policy allows: the entry that this makes is of the other direction.
          await arena.server.send(servicePort, thereAddress, arena.port);
          await sleep(Math.max(0, 250 - (performance.now() - began)));
          assert.deepEqual(await both(arena, arena.port), nothing, `round ${round}`);
          const flow = await only(arena.table, hasPort(arena.port));
          assert.equal(flow.cut, true);
          assert.equal(flow.direction, "in");
          assert.equal(flow.openingSeen, true);
          await sleep(1_100);
        }
        assert.deepEqual(
          arena.overwritten.map(({ by }) => by),
          ["entry-deleted", "entry-deleted", "entry-deleted"],
        );
        assert.deepEqual(arena.warnings, []);
      });
    }

    test("it is cut again when a rule writes the whole mark", { timeout }, async () => {
      await using arena = await prepared();
      await rules(arena.here, ["-t mangle -A OUTPUT -p udp -j CONNMARK --save-mark"]);
      await arena.server.send(servicePort, thereAddress, arena.port);
      await rules(arena.here, ["-t mangle -D OUTPUT -p udp -j CONNMARK --save-mark"]);
      await sleep(250);
      assert.deepEqual(await both(arena, arena.port), nothing);
      assert.equal(arena.overwritten[0]?.by, "mark-overwritten");
      assert.equal((await only(arena.table, hasPort(arena.port))).cut, true);
    });
  });
}

describe("a cut UDP flow whose mark a rule of the owner writes with every packet", { concurrency: 2 }, () => {
  for (const chain of ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"]) {
    test(`in mangle ${chain}: what the policy denies is denied after 250 ms`, { timeout }, async () => {
      await using arena = await createArena();
      const port = await exchange(arena);
      const flow = await only(arena.table, hasPort(port));
      await arena.table.cut([flow]);
      await rules(arena.here, [`-t mangle -A ${chain} -p udp -j CONNMARK --save-mark`]);
      const began = performance.now();
      // Two packets of a direction show that a rule writes with each; on a busy machine a quarter of a second is too few.
      for (let sent = 0; sent < 6 || performance.now() - began < 250; sent += 1) await both(arena, port, 1);
      for (let round = 0; round < 5; round += 1) assert.equal((await both(arena, port)).here, 0);
      assert.deepEqual(
        (await flows(arena.table, hasPort(port))).map(({ cut, direction }) => ({ cut, direction })),
        [{ cut: true, direction: "in" }],
      );
      // Even when it is deleted meanwhile.
      await arena.here.exec(conntrack, ["-F"]);
      await arena.server.send(servicePort, thereAddress, port);
      await sleep(250);
      assert.equal((await both(arena, port)).here, 0);
      await rules(arena.here, [`-A JUDGE-IN -p udp --dport ${servicePort} -j ACCEPT`]);
      await arena.table.restore([flow]);
      assert.deepEqual(await both(arena, port), { here: 5, there: 5 });
      assert.deepEqual(arena.warnings, []);
    });
  }

  test("stays cut when another process takes over", { timeout }, async () => {
    await using arena = await createArena();
    const port = await exchange(arena);
    await arena.table.cut([await only(arena.table, hasPort(port))]);
    await rules(arena.here, ["-t mangle -A PREROUTING -p udp -j CONNMARK --save-mark"]);
    const began = performance.now();
    while (performance.now() - began < 250) await both(arena, port, 1);
    await arena.table[Symbol.asyncDispose]();
    const next = await arena.reopen();
    const flow = await only(next, hasPort(port));
    assert.deepEqual([flow.cut, next.isInbound(flow)], [true, true]);
    assert.equal(next.cutFlows().length, 1);
    assert.equal(next.cutFlows()[0]?.direction, "in");
    assert.equal((await both(arena, port)).here, 0);
  });
});

describe("the end of a cut UDP flow", { concurrency: 3 }, () => {
  test("is the expiry of its entry: the next packet is judged anew", { timeout }, async () => {
    await using arena = await createArena();
    await arena.here.exec("/usr/sbin/sysctl", ["-q", "-w", "net.netfilter.nf_conntrack_udp_timeout=2"]);
    const port = await exchange(arena);
    await arena.table.cut([await only(arena.table, hasPort(port))]);
    assert.equal(arena.table.cutFlows().length, 1);
    await sleep(2_500);
    await until("it is given up", 3_000, async () => arena.table.cutFlows().length === 0);
    await arena.server.send(servicePort, thereAddress, port);
    await until("the host may send again", 1_000, async () => (await arena.client.datagrams(port)) === 2);
    assert.equal((await only(arena.table, hasPort(port))).cut, false);
    assert.deepEqual(arena.overwritten, []);
  });

  test("a mark of the owner under other bits is kept", { timeout }, async () => {
    await using arena = await createArena();
    const port = await exchange(arena);
    const flow = await only(arena.table, hasPort(port));
    await rules(arena.here, ["-t mangle -A OUTPUT -p udp -j CONNMARK --set-xmark 0x55/0xff"]);
    await arena.server.send(servicePort, thereAddress, port);
    await rules(arena.here, ["-t mangle -F OUTPUT"]);
    const mark = async (): Promise<number> =>
      Number(/mark=(\d+)/.exec(await arena.here.exec(conntrack, ["-L", "-p", "udp"]))?.[1]);
    assert.equal(await mark(), 0x55);
    await arena.table.cut([flow]);
    assert.equal(await mark(), 0x55 | cutMark);
    await arena.here.exec(conntrack, ["-F"]);
    await until("it is back", 250, async () => (await flows(arena.table, hasPort(port))).length === 1);
    assert.equal(await mark(), 0x55 | cutMark);
    await arena.table.restore([flow]);
    assert.equal(await mark(), 0x55);
  });
});
