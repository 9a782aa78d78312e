import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { openConnectionTable } from "@antenna/netfilter";
import { AntennaError, systemClock, type TrackedFlow } from "@antenna/sdk";
import { Conntrack, type NewEntry, status } from "netfilter-conntrack";
import { createNamespace, link, uniqueName } from "../lab/namespace.js";
import {
  conntrack,
  createArena,
  cutMark,
  flows,
  hasPort,
  hereAddress,
  only,
  Peer,
  rules,
  thereAddress,
  until,
} from "./connection-arena.js";

const timeout = 60_000;
const logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
};

describe("the connection table", { concurrency: 2 }, () => {
  test("gives thousands of flows in batches, waits for whoever reads them, and can be left early", {
    timeout,
  }, async () => {
    await using arena = await createArena();
    using library = Conntrack.open({ namespace: arena.here.path });
    const many = 5_000;
    await library.create(
      Array.from({ length: many }, (_, index): NewEntry => {
        const source = Uint8Array.of(10, 90, 100 + (index >> 8), index & 255);
        const destination = Uint8Array.of(10, 90, 0, 1);
        return {
          ...{ family: 4, protocol: 17, status: status.confirmed, timeoutSeconds: 60 },
          original: { source, destination, sourcePort: 1_000, destinationPort: 53 },
          reply: { source: destination, destination: source, sourcePort: 53, destinationPort: 1_000 },
        };
      }),
    );
    let seen = 0;
    let largest = 0;
    for await (const batch of arena.table.dump()) {
      seen += batch.length;
      largest = Math.max(largest, batch.length);
      await sleep(1);
    }
    assert.equal(seen, many);
    assert.ok(largest <= 2_048, `a batch of ${largest}`);
    for await (const batch of arena.table.dump()) {
      assert.ok(batch.length > 0);
      break;
    }
    assert.equal((await flows(arena.table)).length, many);
    const stop = new AbortController();
    await assert.rejects(
      async () => {
        for await (const _ of arena.table.dump({ signal: stop.signal })) stop.abort();
      },
      (error) => error instanceof AntennaError && error.code === "aborted",
    );
    // Cutting a thousand at once, and taking it back.
    const some = (await flows(arena.table)).slice(0, 1_000);
    assert.deepEqual(await arena.table.cut(some), { cut: 1_000, gone: 0, socketsEnded: 0 });
    assert.equal((await flows(arena.table, ({ cut }) => cut)).length, 1_000);
    await arena.here.exec(conntrack, ["-F"]);
    await until(
      "all are back",
      5_000,
      async () => (await flows(arena.table, ({ cut }) => cut)).length === 1_000,
    );
    await arena.table.restore(some);
    assert.equal((await flows(arena.table, ({ cut }) => cut)).length, 0);
    assert.deepEqual(arena.table.cutFlows(), []);
    assert.deepEqual(arena.warnings, []);
  });

  test("watches no more flows than it may, and says so", { timeout }, async () => {
    await using arena = await createArena();
    const warnings: string[] = [];
    await using table = await openConnectionTable({
      ...{ namespace: arena.here.path, cutMark, clock: systemClock, keptFlows: 2 },
      logger: { ...logger, warn: (_, message) => warnings.push(message) },
    });
    await rules(arena.here, ["-A INPUT -m conntrack --ctstate INVALID"]);
    for (let count = 0; count < 4; count += 1) {
      await arena.client.send(await arena.client.bind(thereAddress, 0), hereAddress, 9_000);
    }
    await until("all is tracked", 2_000, async () => (await flows(table)).length === 4);
    assert.equal((await table.cut(await flows(table))).cut, 4);
    assert.equal(table.cutFlows().length, 2);
    assert.equal(warnings.length, 1);
  });

  test("keeps cut what was cut before it was opened", { timeout }, async () => {
    await using arena = await createArena();
    await rules(arena.here, ["-A INPUT -m conntrack --ctstate INVALID"]);
    const port = await arena.client.bind(thereAddress, 0);
    await arena.client.send(port, hereAddress, 9_000);
    await until("it is tracked", 2_000, async () => (await flows(arena.table)).length === 1);
    await arena.table.cut([await only(arena.table, hasPort(port))]);
    await arena.table[Symbol.asyncDispose]();
    await arena.table[Symbol.asyncDispose]();
    const next = await arena.reopen();
    assert.deepEqual(next.cutFlows(), []);
    assert.equal((await only(next, hasPort(port))).cut, true);
    assert.equal(next.cutFlows().length, 1);
    await arena.here.exec(conntrack, ["-F"]);
    await until("it is cut again", 250, async () => (await flows(next, ({ cut }) => cut)).length === 1);
  });

  test("a use after close is refused as such", { timeout }, async () => {
    await using arena = await createArena();
    await arena.table[Symbol.asyncDispose]();
    const closed = (error: unknown): boolean => error instanceof AntennaError && error.code === "closed";
    await assert.rejects(flows(arena.table), closed);
    await assert.rejects(arena.table.enterSilent(), closed);
    await assert.rejects(
      openConnectionTable({ namespace: "/run/netns/nobody", cutMark, clock: systemClock, logger }),
      (error) => error instanceof AntennaError && error.code === "kernel-refused",
    );
  });
});

test("directions: through this host, and with its own translation of addresses", { timeout }, async () => {
  await using west = await createNamespace(uniqueName("ctw"));
  await using middle = await createNamespace(uniqueName("ctm"));
  await using east = await createNamespace(uniqueName("cte"));
  await link(
    { namespace: west, interface: "eth0", addresses: ["10.91.1.2/24"] },
    { namespace: middle, interface: "west", addresses: ["10.91.1.1/24"] },
  );
  await link(
    { namespace: east, interface: "eth0", addresses: ["10.91.2.2/24"] },
    { namespace: middle, interface: "east", addresses: ["10.91.2.1/24"] },
  );
  await west.exec("/usr/sbin/ip", ["route", "add", "default", "via", "10.91.1.1"]);
  await east.exec("/usr/sbin/ip", ["route", "add", "default", "via", "10.91.2.1"]);
  await middle.exec("/usr/sbin/sysctl", ["-q", "-w", "net.ipv4.ip_forward=1"]);
  await middle.exec("/usr/sbin/ip", ["route", "add", "default", "via", "10.91.2.2"]);
  const nat = async (line: string): Promise<void> => {
    await middle.exec("/usr/sbin/iptables-nft", ["-w", "-t", "nat", ...line.split(" ")]);
  };
  await nat("-A PREROUTING -p tcp --dport 80 -j REDIRECT --to-ports 8080");
  await nat("-A POSTROUTING -o east -j MASQUERADE");
  await nat("-A OUTPUT -p tcp -d 10.91.9.9 -j DNAT --to-destination 10.91.2.2:8081");
  await using client = new Peer(west);
  await using host = new Peer(middle);
  await using server = new Peer(east);
  await using table = await openConnectionTable({
    namespace: middle.path,
    cutMark,
    clock: systemClock,
    logger,
  });
  await host.listen("0.0.0.0", 8080);
  await server.listen("0.0.0.0", 8081);
  const through = await client.connect("10.91.2.2", 8081);
  const redirected = await client.connect("10.91.1.1", 80);
  const translated = await host.connect("10.91.9.9", 8081);
  const found = async (port: number): Promise<TrackedFlow> => await only(table, hasPort(port));
  assert.equal((await found(through)).direction, "forwarded");
  const inbound = await found(redirected);
  assert.deepEqual(
    [inbound.direction, inbound.original.destinationPort, inbound.reply.sourcePort],
    ["in", 80, 8080],
  );
  const outbound = await found(translated);
  assert.deepEqual([outbound.direction, [...outbound.reply.source]], ["out", [10, 91, 2, 2]]);
  // The sockets behind translated flows are found all the same.
  assert.deepEqual(await table.cut([inbound, outbound]), { cut: 2, gone: 0, socketsEnded: 2 });
  assert.equal((await found(through)).cut, false);
  await client.push(`${through}-8081`, 1_000);
  await until("what is forwarded goes on", 2_000, async () => {
    return (await server.report(`8081-${through}`)).received === 1_000;
  });
});
