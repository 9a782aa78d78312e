import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AgentLimits } from "@antenna/controller/internal/fleet/agent-limits.js";
import { Journal } from "@antenna/controller/internal/fleet/journal.js";
import { TrustKeeper } from "@antenna/controller/internal/fleet/trust-keeper.js";
import type { StoreChange, VersionFile } from "@antenna/controller/internal/store-port.js";
import { FakeClock } from "@antenna/sdk/testing";
import { MemoryStore, MemoryTrustFiles } from "./controller-memory-store.js";

/** Files whose writes of the version take as long as the test says. */
class SlowFiles extends MemoryTrustFiles {
  readonly waiting: (() => void)[] = [];
  isSlow = false;

  override async writeVersion(version: VersionFile): Promise<void> {
    if (this.isSlow) await new Promise<void>((resolve) => this.waiting.push(resolve));
    await super.writeVersion(version);
  }
}

const event = (message: string): StoreChange => ({
  kind: "event",
  event: { time: "2026-01-01T00:00:00.000Z", type: "test", workload: null, address: null, message },
});

async function openJournal(onCommit: (changes: readonly StoreChange[]) => void = () => {}) {
  const clock = new FakeClock();
  const files = new SlowFiles();
  const trust = await TrustKeeper.open({ files, clock });
  const store = new MemoryStore(undefined, { onCommit });
  const failures: unknown[] = [];
  const journal = new Journal({ store, trust, clock, onFailure: (reason) => failures.push(reason) });
  const messages = () => store.database.events.map(({ message }) => message);
  return { clock, files, trust, store, journal, failures, messages };
}

describe("journal", () => {
  test("nothing overtakes a write that waits for the version floor", async () => {
    const { clock, files, journal, messages } = await openJournal();
    files.isSlow = true;
    const order: string[] = [];
    const first = journal
      .write([event("first")], [{ epoch: 1, sequence: 1 }])
      .then(() => order.push("first"));
    const second = journal.write([event("second")]).then(() => order.push("second"));
    const third = journal
      .write([event("third")], [{ epoch: 1, sequence: 2 }])
      .then(() => order.push("third"));
    await clock.settle();
    assert.deepEqual(messages(), [], "a version is told when the floor is on disk, and not before");
    files.waiting.shift()?.();
    await Promise.all([first, second, third]);
    assert.deepEqual(messages(), ["first", "second", "third"]);
    assert.deepEqual(order, ["first", "second", "third"]);
  });

  test("after a failure nothing is written any more, and it is told once", async () => {
    let commits = 0;
    const { journal, failures, messages } = await openJournal(() => {
      if (++commits === 2) throw new Error("no space left on device");
    });
    await journal.write([event("first")]);
    const heard: string[] = [];
    journal.onEvent(({ message }) => heard.push(message));
    await assert.rejects(journal.write([event("second")]), /no space left/);
    await assert.rejects(journal.write([event("third")]));
    assert.deepEqual(messages(), ["first"]);
    assert.equal(failures.length, 1);
    assert.deepEqual(heard, []);
    await journal.settled();
  });

  test("listeners hear what is stored, until they are disposed", async () => {
    const { journal } = await openJournal();
    const heard: string[] = [];
    {
      using _ = journal.onEvent(({ message }) => heard.push(message));
      await journal.write([event("first"), event("second")]);
    }
    await journal.write([event("third")]);
    assert.deepEqual(heard, ["first", "second"]);
  });
});

describe("trust keeper", () => {
  test("a first start makes an authority; every later one finds it", async () => {
    const clock = new FakeClock();
    const files = new MemoryTrustFiles();
    const first = await TrustKeeper.open({ files, clock });
    const again = await TrustKeeper.open({ files, clock });
    assert.deepEqual(again.trust(), first.trust());
    assert.deepEqual(again.authority.fingerprint(), first.authority.fingerprint());
    assert.equal(await again.rotate(), true);
    const rotated = await TrustKeeper.open({ files, clock });
    assert.equal(rotated.trust().roots.length, 2);
    assert.deepEqual(rotated.trust(), again.trust());
  });

  test("after a kill versions go on above every one that may have been told; after a close, right above", async () => {
    const clock = new FakeClock();
    const files = new MemoryTrustFiles();
    const killed = await TrustKeeper.open({ files, clock });
    await killed.reserve([{ epoch: 1, sequence: 5 }]);
    const after = await TrustKeeper.open({ files, clock });
    assert.ok(after.floor >= 5);
    await after.reserve([{ epoch: 1, sequence: after.floor + 1 }]);
    const last = after.floor;
    await after.close();
    assert.equal((await TrustKeeper.open({ files, clock })).floor, last);
  });

  test("a new epoch is on disk before it is told", async () => {
    const { files, trust } = await openJournal();
    files.isSlow = true;
    let isTold = false;
    const done = trust.reserve([{ epoch: 2, sequence: 9 }]).then(() => {
      isTold = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(isTold, false);
    files.waiting.shift()?.();
    await done;
    assert.equal(files.version?.epoch, 2);
    assert.ok((files.version?.floor ?? 0) >= 9);
  });

  test("a revocation is in force at once, and after a start", async () => {
    const { files, trust, clock } = await openJournal();
    await trust.revoke("w-1", "0011223344556677");
    assert.equal(trust.isRevoked("0011223344556677"), true);
    assert.equal((await TrustKeeper.open({ files, clock })).isRevoked("0011223344556677"), true);
  });
});

describe("limits of an agent", () => {
  test("events beyond the limit are dropped and counted, those of others are not", async () => {
    const clock = new FakeClock();
    const limits = new AgentLimits(clock);
    let kept = 0;
    for (let i = 0; i < 300; i++) if (limits.takeEvent("w-1") !== null) kept++;
    assert.equal(kept, 200);
    assert.equal(limits.takeEvent("w-2"), 0);
    await clock.advance(1_000);
    assert.equal(limits.takeEvent("w-1"), 100);
    assert.equal(limits.takeEvent("w-1"), 0);
  });

  test("a clone is told of once a minute and address", async () => {
    const clock = new FakeClock();
    const limits = new AgentLimits(clock);
    assert.deepEqual(
      [limits.takeClone("w-1", "a"), limits.takeClone("w-1", "a"), limits.takeClone("w-1", "b")],
      [true, false, true],
    );
    await clock.advance(60_000);
    assert.equal(limits.takeClone("w-1", "a"), true);
  });
});
