import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Installed, PacketFilter, SetInstance } from "@antenna/sdk";
import { KernelWriter } from "@antenna/sdk/internal/reconcile/kernel-writer.js";
import { hostAddress } from "../bench/policies.js";
import { FilterArena, policyOf, programOf } from "./filter-arena.js";

// Members that others change by hand in a large set: put right in place where that is safe, else by a new set.

const members = 100_000;
const { signal } = new AbortController();

interface Stand {
  readonly arena: FilterArena;
  readonly filter: PacketFilter;
  readonly writer: KernelWriter;
  installed(): Installed;
  /** The instance of the large set. */
  instance(): SetInstance;
  ipset(text: string): Promise<string>;
  /** Finds what differs and repairs it. */
  repair(): Promise<void>;
}

async function stand(arena: FilterArena): Promise<Stand> {
  const filter = await arena.filter();
  const writer = new KernelWriter(filter);
  const peers = Array.from({ length: members }, (_, index) => hostAddress(0x100000 + index));
  const allow = {
    direction: "in",
    action: "allow",
    peers: ["peers"],
    services: [{ protocol: "tcp", ports: [80] }],
  };
  const policy = policyOf({ mode: "full", sets: { peers }, rules: [{ id: "peers-in", ...allow }] });
  await writer.switchTo(programOf(policy), { signal });
  const installed = (): Installed => {
    assert.ok(writer.standing.kind === "installed");
    return writer.standing.installed;
  };
  return {
    arena,
    filter,
    writer,
    installed,
    instance() {
      const { program, instances } = installed();
      for (const [key, instance] of instances) {
        const content = program.sets.get(key);
        if (content?.kind === "peers" && content.members.size === members) return instance;
      }
      assert.fail("there is no set of that size");
    },
    ipset: (text) => arena.namespace.exec("/usr/sbin/ipset", ["restore"], text),
    async repair() {
      const differences = await writer.verify("members", signal);
      assert.notDeepEqual(differences, [], "nothing was found");
      await writer.repair(differences, signal);
      assert.deepEqual(await writer.verify("members", signal), []);
    },
  };
}

const [taken, stranger] = [hostAddress(0x100000 + 4_711), "203.0.113.9"];
const many = Array.from({ length: 400 }, (_, index) => index);

const mended: Readonly<Record<string, (set: string) => readonly string[]>> = {
  "a member deleted": (set) => [`del ${set} ${taken}`],
  "a member added": (set) => [`add ${set} ${stranger}`],
  "a member swapped": (set) => [`del ${set} ${taken}`, `add ${set} ${stranger}`],
  "hundreds swapped": (set) =>
    many.flatMap((index) => [
      `del ${set} ${hostAddress(0x100000 + index * 97)}`,
      `add ${set} 198.18.${index >> 8}.${index & 255}`,
    ]),
};

const replaced: Readonly<Record<string, (set: string) => readonly string[]>> = {
  "the set flushed": (set) => [`flush ${set}`],
  "thousands deleted": (set) =>
    Array.from({ length: 1_001 }, (_, index) => `del ${set} ${hostAddress(0x100000 + index)}`),
  "a set of the same members made otherwise and exchanged for ours": (set) => [
    "create other hash:ip family inet maxelem 65536",
    `add other ${taken}`,
    `swap ${set} other`,
    "destroy other",
  ],
  "one with counters exchanged for ours": (set) => [
    "create other hash:ip family inet counters maxelem 262144",
    `swap ${set} other`,
    "destroy other",
  ],
};

describe("a set of 100,000 members", () => {
  test("is put right in place", async (context) => {
    await using arena = await FilterArena.open();
    const own = await stand(arena);
    const { name } = own.instance();
    for (const [what, damage] of Object.entries(mended)) {
      await context.test(what, async (inner) => {
        await own.ipset(`${damage(`${name}-4`).join("\n")}\n`);
        const began = performance.now();
        await own.repair();
        inner.diagnostic(`found, repaired and proved in ${(performance.now() - began).toFixed(0)} ms`);
        assert.equal(own.instance().name, name);
      });
    }
  });

  test("is replaced where that is surer", async (context) => {
    await using arena = await FilterArena.open();
    const own = await stand(arena);
    for (const [what, damage] of Object.entries(replaced)) {
      await context.test(what, async () => {
        const { name } = own.instance();
        await own.ipset(`${damage(`${name}-4`).join("\n")}\n`);
        await own.repair();
        assert.notEqual(own.instance().name, name);
        await own.writer.tidy(signal);
        assert.equal((await own.filter.instances()).size, own.installed().instances.size, "leftovers");
      });
    }
  });

  test("is right in the end while somebody keeps writing to it", async () => {
    await using arena = await FilterArena.open();
    const own = await stand(arena);
    const set = `${own.instance().name}-4`;
    let busy = true;
    const others = (async () => {
      for (let round = 0; busy; round++) {
        const lines = [
          `-exist del ${set} ${hostAddress(0x100000 + (round % 500))}`,
          `-exist add ${set} 198.18.0.${round % 250}`,
        ];
        // The set may be gone, replaced.
        await own.ipset(`${lines.join("\n")}\n`).catch(() => undefined);
      }
    })();
    try {
      for (let round = 0; round < 8; round++) {
        const differences = await own.writer.verify("members", signal);
        if (differences.length > 0) await own.writer.repair(differences, signal);
      }
    } finally {
      busy = false;
      await others;
    }
    const differences = await own.writer.verify("members", signal);
    if (differences.length > 0) await own.writer.repair(differences, signal);
    assert.deepEqual(await own.writer.verify("members", signal), []);
  });
});
