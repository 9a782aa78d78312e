import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { DataDirectory } from "@antenna/controller/internal/store/data-directory.js";
import { Database } from "@antenna/controller/internal/store/database.js";
import { FleetStore, usualBounds } from "@antenna/controller/internal/store/fleet-store.js";
import { TrustDirectory } from "@antenna/controller/internal/store/trust-directory.js";
import type {
  PairingKeyRecord,
  StoreChange,
  WorkloadRecord,
} from "@antenna/controller/internal/store-port.js";
import { AntennaError, type ErrorCode } from "@antenna/sdk";
import fc from "fast-check";
import { MemoryStore } from "./controller-memory-store.js";

const run = promisify(execFile);
const seed = Number(process.env.ANTENNA_SEED ?? Date.now() % 2 ** 31);
console.log(`controller-store: ANTENNA_SEED=${seed}`);

// The store on a real PGlite, in a directory of its own. No root, nothing listens.

interface Scratch extends AsyncDisposable {
  readonly path: string;
}

async function scratch(): Promise<Scratch> {
  const path = await mkdtemp(join(tmpdir(), "antenna-store-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
}

const text = fc.oneof(
  fc.string({ unit: "grapheme", maxLength: 40 }),
  fc.string({ unit: "binary", maxLength: 20 }),
);
/** What the store promises for text: PostgreSQL has no U+0000 and no halves of surrogate pairs. */
function storable<Value>(value: Value): Value {
  return JSON.parse(
    JSON.stringify(value, (_, item: unknown) =>
      typeof item === "string" ? item.replace(/[\0\p{Cs}]/gu, "\uFFFD") : item,
    ),
  ) as Value;
}
const hex = (length: number) =>
  fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: length, maxLength: length });
/** To come: what is old is pruned by its age. */
const time = fc
  .date({ min: new Date("2100-01-01"), max: new Date("2300-01-01"), noInvalidDate: true })
  .map((date) => date.toISOString());
const label = fc.string({ unit: fc.constantFrom(..."azAZ09._/-"), minLength: 1, maxLength: 63 });
const labels = fc.dictionary(fc.oneof(label, fc.constant("__proto__")), label, {
  maxKeys: 5,
  noNullPrototype: true,
});
const version = fc.record({ epoch: fc.integer({ min: 1 }), sequence: fc.maxSafeNat() });

const key: fc.Arbitrary<PairingKeyRecord> = fc.record({
  ...{ id: hex(16), secretHash: hex(64), labels, uses: fc.maxSafeNat(), used: fc.maxSafeNat() },
  ...{
    created: time,
    expires: time,
    addresses: fc.array(text),
    delegate: fc.array(label),
    revoked: fc.boolean(),
  },
});
const workload: fc.Arbitrary<WorkloadRecord> = fc.record({
  ...{ id: hex(32).map((digits) => `w-${digits}`), name: text, host: fc.option(text) },
  ...{ state: fc.constantFrom("active", "revoked"), fingerprint: hex(64), pairing: hex(16), key: hex(16) },
  ...{ ranges: fc.array(text), delegate: fc.array(label), labels },
  claims: fc.array(
    fc.record({
      ...{ address: text, scope: fc.constantFrom("routable", "host") },
      ...{ state: fc.constantFrom("admitted", "withheld"), reason: fc.option(text) },
    }) as fc.Arbitrary<WorkloadRecord["claims"][number]>,
  ),
  ...{ tokens: fc.array(hex(64), { maxLength: 2 }), paired: time, lastSeen: fc.option(time) },
  reported: fc.option(
    fc.record({
      ...{ state: text, mode: fc.constantFrom("full", "idle", null) },
      applied: fc.option(fc.record({ version, digest: text })),
      problems: fc.array(fc.record({ code: text, message: text })),
    }),
  ) as fc.Arbitrary<WorkloadRecord["reported"]>,
  issued: fc.constant(null),
});

/** A history that a controller could write: issued only to workloads, revisions once. */
const history: fc.Arbitrary<readonly (readonly StoreChange[])[]> = fc
  .record({
    keys: fc.array(key, { maxLength: 3 }),
    workloads: fc.array(workload, { minLength: 1, maxLength: 4 }),
    revisions: fc.array(fc.record({ time, text: text.map(storable) }), { maxLength: 4 }),
    issued: fc.array(fc.record({ at: fc.nat(), version, digest: hex(64), revision: fc.nat() }), {
      maxLength: 4,
    }),
    events: fc.array(
      fc.record({ time, type: text, workload: fc.option(text), address: fc.option(text), message: text }),
      { maxLength: 4 },
    ),
    rollout: fc.option(fc.json()),
  })
  .map(({ keys, workloads, revisions, issued, events, rollout }) => [
    keys.map((record) => ({ kind: "key", key: record })),
    workloads.map((record) => ({ kind: "workload", workload: record })),
    revisions.map(({ time: when, text: written }, index) => ({
      kind: "revision",
      revision: { revision: index + 1, time: when, state: "in-waves", of: index === 0 ? null : index },
      text: written,
    })),
    revisions.map((_, index) => ({ kind: "revision-state", revision: index + 1, state: "replaced" })),
    issued.map(({ at, ...record }) => ({
      kind: "issued",
      issued: [{ workload: workloads[at % workloads.length]?.id ?? "", ...record }],
    })),
    events.map((event) => ({ kind: "event", event })),
    [{ kind: "rollout", rollout }],
  ]);

function byId<Item extends { readonly id: string }>(items: readonly Item[]): readonly Item[] {
  return items.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

async function refusal(work: Promise<unknown>, code: ErrorCode): Promise<AntennaError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof AntennaError, `refused, got ${String(error)}`);
  assert.equal(error.code, code, error.message);
  return error;
}

function event(message: string): StoreChange {
  const time = new Date().toISOString();
  return { kind: "event", event: { time, type: "connected", workload: null, address: null, message } };
}

function revision(number: number, text = "rulesets: []"): StoreChange {
  const record = { revision: number, time: new Date().toISOString(), state: "in-waves", of: null } as const;
  return { kind: "revision", revision: record, text };
}

describe("the store", () => {
  test("gives back after a restart what was written, as a store in memory does", async () => {
    await fc.assert(
      fc.asyncProperty(history, async (commits) => {
        await using directory = await scratch();
        const memory = new MemoryStore();
        const opened = await DataDirectory.open(directory.path);
        // What lies beside the database agrees with it, as a controller's does.
        await opened.trust.writeAuthority({ authorities: [], policyKeys: [] });
        await opened.trust.writeVersion({ epoch: 2 ** 32, floor: 1 });
        await opened.trust.writeRevocations([
          { workload: "w", pairing: "p", time: new Date().toISOString() },
        ]);
        for (const changes of commits) {
          await memory.commit(storable(changes));
          await opened.store.commit(changes);
        }
        await opened[Symbol.asyncDispose]();
        await using again = await DataDirectory.open(directory.path);
        const [expected, found] = [await memory.load(), await again.store.load()];
        assert.deepEqual(storable(byId(found.keys)), storable(byId(expected.keys)));
        assert.deepEqual(storable(byId(found.workloads)), storable(byId(expected.workloads)));
        assert.deepEqual(found.revisions, expected.revisions);
        assert.equal(found.rollout, storable(expected.rollout));
        for (const { revision: number } of expected.revisions)
          assert.equal(await again.store.revisionText(number), await memory.revisionText(number));
        const [stored, told] = [
          await again.store.events({ limit: 100 }),
          await memory.events({ limit: 100 }),
        ];
        assert.deepEqual(
          stored.events.map(({ id: _, ...rest }) => rest),
          told.events.map(({ id: _, ...rest }) => rest),
        );
      }),
      { seed, numRuns: 6, endOnFailure: true },
    );
  });

  test("takes all of a commit or none, and nothing after one that was refused: what is in memory is ahead of it then", async () => {
    await using directory = await scratch();
    const opened = await DataDirectory.open(directory.path);
    await opened.trust.writeAuthority({ authorities: [], policyKeys: [] });
    const bad: StoreChange = {
      kind: "issued",
      issued: [{ workload: "w-nobody", version: { epoch: 1, sequence: 1 }, digest: "d", revision: 1 }],
    };
    const together = [
      opened.store.commit([event("a")]),
      opened.store.commit([event("lost"), bad]),
      opened.store.commit([event("b")]),
    ];
    const results = await Promise.allSettled(together);
    assert.deepEqual(
      results.map(({ status }) => status),
      ["fulfilled", "rejected", "rejected"],
    );
    await opened[Symbol.asyncDispose]();
    await using again = await DataDirectory.open(directory.path);
    const { events } = await again.store.events({ limit: 10 });
    assert.deepEqual(
      events.map(({ message }) => message),
      ["a"],
    );
  });

  test("is held by one, who is named, and refuses a directory that others may look into", async () => {
    await using directory = await scratch();
    await using _ = await DataDirectory.open(directory.path);
    const held = await refusal(DataDirectory.open(directory.path), "busy");
    assert.match(held.message, new RegExp(`process ${process.pid} serves`));
    await using wide = await scratch();
    await chmod(wide.path, 0o750);
    const error = await DataDirectory.open(wide.path).then(
      () => null,
      (reason: unknown) => reason,
    );
    assert.ok(error instanceof AntennaError);
    assert.match(error.message, /0750/);
  });

  test("that is torn is refused with the words what to restore", async () => {
    await using directory = await scratch();
    const opened = await DataDirectory.open(directory.path);
    await opened.store.commit([event("a"), revision(1)]);
    await opened.trust.writeVersion({ epoch: 3, floor: 7 });
    await opened.trust.writeAuthority({ authorities: [], policyKeys: [] });
    await opened[Symbol.asyncDispose]();
    await rm(join(directory.path, "database", "pg_wal"), { recursive: true });
    const torn = await refusal(DataDirectory.open(directory.path), "corrupt");
    assert.match(torn.message, /restore/);
    await rm(join(directory.path, "database"), { recursive: true });
    const gone = await refusal(DataDirectory.open(directory.path), "corrupt");
    assert.match(gone.message, /restore/);
    // What is beside it survives.
    const trust = new TrustDirectory(directory.path);
    assert.deepEqual((await trust.read()).version, { epoch: 3, floor: 7 });
    const file = join(directory.path, "version.json");
    await writeFile(file, (await readFile(file, "utf8")).replace("7", "8"));
    await refusal(trust.read(), "corrupt");
  });

  test("makes a copy while it is written, which opens and holds what was acknowledged", async () => {
    await using directory = await scratch();
    await using restored = await scratch();
    const opened = await DataDirectory.open(directory.path);
    await opened.trust.writeAuthority({ authorities: [], policyKeys: [] });
    await opened.trust.writeVersion({ epoch: 1, floor: 9 });
    await opened.store.commit([revision(1, "# as written")]);
    const parts: Uint8Array[] = [];
    const writing = Promise.all(
      Array.from({ length: 50 }, (_, at) => opened.store.commit([event(String(at))])),
    );
    for await (const part of await opened.store.backup()) parts.push(part);
    await writing;
    await opened[Symbol.asyncDispose]();
    const archive = join(directory.path, "copy.tar.gz");
    await writeFile(archive, Buffer.concat(parts));
    await run("/usr/bin/tar", ["-xzf", archive, "-C", restored.path]);
    await using again = await DataDirectory.open(restored.path);
    assert.equal(await again.store.revisionText(1), "# as written");
    assert.deepEqual((await again.trust.read()).version, { epoch: 1, floor: 9 });
  });

  test("stays within its bounds and counts what it deletes", async () => {
    await using directory = await scratch();
    const opened = await DataDirectory.open(directory.path);
    await opened[Symbol.asyncDispose]();
    const database = await Database.open(join(directory.path, "database"));
    await using store = new FleetStore(database, directory.path, { ...usualBounds, events: 50 });
    for (let batch = 0; batch < 12; batch++)
      await store.commit(Array.from({ length: 100 }, (_, at) => event(`${batch}.${at}`)));
    await store.commit([event("last")]);
    const { events, pruned } = await store.events({ limit: 1_000 });
    assert.equal(events[0]?.message, "last");
    assert.equal(events.length + pruned, 1_201);
    assert.ok(events.length <= 650, `${events.length} events are left`);
  });
});
