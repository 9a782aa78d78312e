import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { NetlinkError } from "@antenna/netlink";
import {
  Conntrack,
  copyEntry,
  type Entry,
  type EntryKey,
  liberalTracking,
  type NewEntry,
  status,
  tcpState,
} from "netfilter-conntrack";
import { createNamespace, type Namespace, uniqueName } from "../lab/namespace.js";

const timeout = 30_000;
const eexist = 17;
const enoent = 2;
const bare = { status: status.confirmed, timeoutSeconds: 100 } as const;

const v4 = { source: Uint8Array.of(10, 1, 0, 1), destination: Uint8Array.of(10, 1, 0, 2) };
const v6 = { source: new Uint8Array(16).fill(0xfd), destination: new Uint8Array(16).fill(0xfc) };
const back = (ends: typeof v4): typeof v4 => ({ source: ends.destination, destination: ends.source });
const ports = { sourcePort: 40_000, destinationPort: 80 };
const backPorts = { sourcePort: 80, destinationPort: 40_000 };

const samples: Readonly<Record<string, NewEntry>> = {
  "TCP over IPv4": {
    ...{ family: 4, protocol: 6, original: { ...v4, ...ports }, reply: { ...back(v4), ...backPorts } },
    ...{ status: status.confirmed | status.seenReply | status.assured, timeoutSeconds: 100, mark: 0x55 },
    tcp: { state: tcpState.established, ...liberalTracking },
  },
  "UDP over IPv6": {
    family: 6,
    protocol: 17,
    original: { ...v6, ...ports },
    reply: { ...back(v6), ...backPorts },
    ...bare,
  },
  "ICMP echo": {
    ...{ family: 4, protocol: 1, original: { ...v4, icmpType: 8, icmpCode: 0, icmpId: 77 } },
    ...{ reply: { ...back(v4), icmpType: 0, icmpCode: 0, icmpId: 77 }, ...bare },
  },
  "ICMPv6 echo": {
    ...{ family: 6, protocol: 58, original: { ...v6, icmpType: 128, icmpCode: 0, icmpId: 78 } },
    ...{ reply: { ...back(v6), icmpType: 129, icmpCode: 0, icmpId: 78 }, ...bare },
  },
  "a protocol without ports": { family: 4, protocol: 99, original: v4, reply: back(v4), ...bare },
  "UDP in a zone": {
    ...{ family: 4, protocol: 17, original: { ...v4, ...ports }, reply: { ...back(v4), ...backPorts } },
    ...{ zone: 5, ...bare },
  },
};

function keyOf(entry: NewEntry): EntryKey {
  return {
    family: entry.family,
    protocol: entry.protocol,
    tuple: entry.original,
    ...(entry.zone !== undefined && { zone: entry.zone }),
  };
}

async function open(): Promise<
  { readonly namespace: Namespace; readonly conntrack: Conntrack } & AsyncDisposable
> {
  const namespace = await createNamespace(uniqueName("ctl"));
  try {
    const conntrack = Conntrack.open({ namespace: namespace.path, coalesceMs: 0 });
    return {
      namespace,
      conntrack,
      [Symbol.asyncDispose]: async () => {
        conntrack.close();
        await namespace[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await namespace[Symbol.asyncDispose]();
    throw error;
  }
}

async function all(conntrack: Conntrack, filter = {}): Promise<Entry[]> {
  const found: Entry[] = [];
  await conntrack.dump((entry) => found.push(copyEntry(entry)), { filter });
  return found;
}

describe("netfilter-conntrack on the kernel", { concurrency: 2 }, () => {
  for (const [name, sample] of Object.entries(samples)) {
    test(`${name}: made, found from both sides, marked under a mask, deleted`, { timeout }, async () => {
      await using lab = await open();
      const { conntrack } = lab;
      assert.deepEqual(await conntrack.create([sample]), [null]);
      const [again] = await conntrack.create([sample]);
      assert.equal(again?.errno, eexist);
      const entry = await conntrack.get(keyOf(sample));
      assert.ok(entry !== null);
      assert.equal(entry.protocol, sample.protocol);
      assert.equal(entry.zone, sample.zone ?? 0);
      assert.deepEqual({ ...entry.original }, { ...entry.original, ...sample.original });
      assert.deepEqual({ ...entry.reply }, { ...entry.reply, ...sample.reply });
      assert.ok((entry.timeout ?? 0) > 90 && (entry.timeout ?? 0) <= 100);
      assert.equal((await conntrack.get({ ...keyOf(sample), tuple: sample.reply }))?.id, entry.id);
      const before = entry.mark;
      const [marked] = await conntrack.changeMarks([
        { key: keyOf(sample), value: 0xffff_ffff, mask: 0x1000_0000 },
      ]);
      assert.equal(marked, null);
      assert.equal((await conntrack.get(keyOf(sample)))?.mark, (before | 0x1000_0000) >>> 0);
      await conntrack.changeMarks([{ key: keyOf(sample), value: 0, mask: 0x1000_0000 }]);
      assert.equal((await conntrack.get(keyOf(sample)))?.mark, before);
      const [wrong] = await conntrack.delete([{ key: keyOf(sample), id: (entry.id ^ 1) >>> 0 }]);
      assert.equal(wrong?.errno, enoent);
      assert.deepEqual(await conntrack.delete([{ key: keyOf(sample), id: entry.id }]), [null]);
      assert.equal(await conntrack.get(keyOf(sample)), null);
      const [gone] = await conntrack.changeMarks([{ key: keyOf(sample), value: 1, mask: 1 }]);
      assert.equal(gone?.errno, enoent);
    });
  }

  test("events tell births, changes and ends with what was written", { timeout }, async () => {
    await using lab = await open();
    const { conntrack } = lab;
    const heard: string[] = [];
    const listening = conntrack.listen(["new", "update", "destroy"], {
      event: (kind, entry) => heard.push(`${kind} ${entry.protocol} ${entry.mark}`),
      overflow: () => heard.push("overflow"),
    });
    const sample = samples["TCP over IPv4"];
    assert.ok(sample !== undefined);
    await conntrack.create([sample]);
    await conntrack.changeMarks([{ key: keyOf(sample), value: 1, mask: 1 }]);
    // Once more the same: an event too.
    await conntrack.changeMarks([{ key: keyOf(sample), value: 1, mask: 1 }]);
    await lab.namespace.exec("/usr/sbin/conntrack", ["-F"]);
    await sleep(50);
    assert.deepEqual(heard, ["new 6 85", "update 6 85", "update 6 85", "destroy 6 85"]);
    listening.close();
    listening.close();
    await conntrack.create([sample]);
    await sleep(30);
    assert.equal(heard.length, 4);
  });

  test("changes of several kinds go in their order, and a refused one holds up none", {
    timeout,
  }, async () => {
    await using lab = await open();
    const { conntrack } = lab;
    const sample = samples["TCP over IPv4"];
    assert.ok(sample !== undefined);
    const key = keyOf(sample);
    await conntrack.create([sample]);
    const first = await conntrack.get(key);
    assert.ok(first !== null);
    const results = await conntrack.write([
      { do: "create", entry: sample },
      { do: "delete", key, id: first.id },
      { do: "mark", change: { key, value: 1, mask: 1 } },
      { do: "create", entry: { ...sample, mark: 0x100 } },
      { do: "mark", change: { key, value: 2, mask: 2 } },
    ]);
    assert.deepEqual(
      results.map((result) => result?.errno ?? 0),
      [eexist, 0, enoent, 0, 0],
    );
    assert.equal((await conntrack.get(key))?.mark, 0x102);
  });

  test("a dump waits for who reads it, narrows by mark and family, and can be broken off", {
    timeout,
  }, async () => {
    await using lab = await open();
    const { conntrack } = lab;
    const many = 5_000;
    const results = await conntrack.create(
      (function* () {
        for (let index = 0; index < many; index += 1) {
          const here = {
            source: Uint8Array.of(10, 2, index >> 8, index & 255),
            destination: Uint8Array.of(10, 3, 0, 1),
          };
          yield {
            ...{
              family: 4,
              protocol: 17,
              original: { ...here, ...ports },
              reply: { ...back(here), ...backPorts },
            },
            ...{ ...bare, mark: index % 100 === 0 ? 0x10 : 0x20 },
          } satisfies NewEntry;
        }
      })(),
    );
    assert.ok(results.every((result) => result === null));
    const sample = samples["UDP over IPv6"];
    assert.ok(sample !== undefined);
    await conntrack.create([sample]);
    assert.equal((await all(conntrack)).length, many + 1);
    assert.equal((await all(conntrack, { family: 6 })).length, 1);
    assert.equal((await all(conntrack, { mark: { value: 0x10, mask: 0x10 } })).length, 50);
    let seen = 0;
    let batches = 0;
    await conntrack.dump(() => (seen += 1), {
      onBatch: async () => {
        batches += 1;
        await sleep(1);
      },
    });
    assert.equal(seen, many + 1);
    assert.ok(batches > 3);
    const enough = new AbortController();
    await assert.rejects(
      conntrack.dump(() => undefined, { signal: enough.signal, onBatch: () => enough.abort() }),
      (error) => error instanceof NetlinkError && error.code === "aborted",
    );
    assert.equal((await all(conntrack)).length, many + 1);
  });

  test("a namespace that is not there, and use after close, are told as what they are", {
    timeout,
  }, async () => {
    assert.throws(
      () => Conntrack.open({ namespace: "/run/netns/nobody-has-this" }),
      (error) => error instanceof NetlinkError && error.code === "refused",
    );
    await using lab = await open();
    lab.conntrack.close();
    lab.conntrack.close();
    await assert.rejects(
      all(lab.conntrack),
      (error) => error instanceof NetlinkError && error.code === "closed",
    );
  });
});
