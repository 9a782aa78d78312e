import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { hostAddress, oneSetPolicy } from "../bench/policies.js";
import { type Arena, type Backend, backends, createArena } from "./arena.js";

// Members that somebody changes by hand in a set of 100,000 are put right within the limits. The slowest try counts.

/** All of them with ANTENNA_SOAK=1; CI runs a short form. */
const soak = process.env.ANTENNA_SOAK === "1";
const members = 100_000;
const stranger = "203.0.113.9";
const ipset = "/usr/sbin/ipset";

interface Damage {
  readonly name: string;
  readonly limitMs: number;
  readonly tries: (backend: Backend) => number;
  /** What takes the member out, and puts the stranger in. */
  readonly takes: boolean;
  readonly adds: boolean;
}

const damages: readonly Damage[] = [
  { name: "a member deleted", limitMs: 1200, tries: () => (soak ? 20 : 5), takes: true, adds: false },
  { name: "a member added", limitMs: 1200, tries: () => (soak ? 20 : 5), takes: false, adds: true },
  {
    name: "a member swapped for another",
    limitMs: 60_000,
    // The audit comes every 48 s.
    tries: (backend) => (soak ? 2 : backend === "nft" ? 1 : 0),
    takes: true,
    adds: true,
  },
];

for (const backend of backends) {
  describe(`repair of ${members} members, ${backend}`, () => {
    test("each damage is put right in place, in time", { timeout: 400_000 }, async (context) => {
      await using arena = await createArena(backend);
      const { server } = arena;
      await server.writePolicy(oneSetPolicy(members, 8080));
      await server.startDaemon(["--settle", "0s"]);
      const name = await setName(arena);
      // The first checks are slower: the compiler has not seen them.
      await delay(5_000);
      for (const damage of damages) {
        const tries = damage.tries(backend);
        if (tries === 0) continue;
        await context.test(damage.name, async (inner) => {
          const took: number[] = [];
          for (let time = 0; time < tries; time++) {
            const repairs = (await server.status()).drift.repairs;
            const victim = hostAddress(0x100000 + 977 * (time + 1));
            took.push(await healsAfter(arena, name, damage, victim));
            await server.until(
              "the report of the repair",
              (status) => status.drift.repairs > repairs && status.state === "in-sync",
            );
            // At another time after the last check in each try.
            await delay(900 + 50 * time);
          }
          const sorted = took.toSorted((a, b) => a - b);
          const worst = sorted.at(-1) ?? 0;
          const median = sorted[sorted.length >> 1] ?? 0;
          inner.diagnostic(
            `${tries} tries, median ${median.toFixed(0)} ms, slowest ${worst.toFixed(0)} ms, limit ${damage.limitMs} ms`,
          );
          assert.ok(worst <= damage.limitMs, `slowest repair took ${worst.toFixed(0)} ms`);
          assert.equal(await setName(arena), name, "the set was made anew");
        });
      }
      const verified = JSON.parse(await server.antenna(["verify", "--json"])) as { readonly ok: boolean };
      assert.equal(verified.ok, true);
    });
  });
}

async function setName(arena: Arena): Promise<string> {
  const names = (await arena.server.namespace.exec(ipset, ["list", "-n"])).split("\n");
  for (const name of names.filter((each) => each.startsWith("ant-") && each.endsWith("-4"))) {
    if (await holds(arena, name, hostAddress(0x100000))) return name;
  }
  assert.fail("no set holds the policy's members");
}

async function holds(arena: Arena, set: string, member: string): Promise<boolean> {
  return arena.server.namespace.exec(ipset, ["-q", "test", set, member]).then(
    () => true,
    () => false,
  );
}

/** Milliseconds from the end of the damage until each member is again where it belongs. */
async function healsAfter(
  arena: Arena,
  set: string,
  { limitMs, takes, adds }: Damage,
  victim: string,
): Promise<number> {
  const lines = [...(takes ? [`del ${set} ${victim}`] : []), ...(adds ? [`add ${set} ${stranger}`] : [])];
  await arena.server.namespace.exec(ipset, ["restore"], `${lines.join("\n")}\n`);
  const started = performance.now();
  while (performance.now() - started < 2 * limitMs) {
    const asked = performance.now();
    if ((await holds(arena, set, victim)) && !(await holds(arena, set, stranger))) return asked - started;
    await delay(limitMs / 200);
  }
  assert.fail("not repaired in twice the time");
}
