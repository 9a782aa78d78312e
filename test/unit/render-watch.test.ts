import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { GatheredTimers } from "@antenna/netfilter/internal/watch/gathered-timers.js";
import { SpacedCheck } from "@antenna/netfilter/internal/watch/spaced-check.js";
import { FakeClock } from "@antenna/sdk/testing";

describe("a spaced check", () => {
  const settle = async () => {
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  };

  async function intervalAfter(costs: readonly number[], mostMs = Number.POSITIVE_INFINITY): Promise<number> {
    const clock = new FakeClock();
    const left = [...costs];
    const check = new SpacedCheck({ clock, firstMs: 1_000, mostMs, run: async () => left.shift() ?? 0 });
    check.start();
    while (left.length > 0) {
      await clock.advance(check.intervalMs);
      await settle();
    }
    check.stop();
    return check.intervalMs;
  }

  test("costs no more than its share of a core", async () => {
    assert.equal(await intervalAfter([0.5, 0.5]), 1_000);
    assert.equal(await intervalAfter([10, 10, 10]), 5_000);
    assert.equal(await intervalAfter([500, 500], 50_000), 50_000);
  });

  test("one expensive run among cheap ones does not slow it down", async () => {
    assert.equal(await intervalAfter([0.5, 80, 0.5]), 1_000);
  });

  test("keeps its first pause while little is looked at, whatever a run took", async () => {
    const clock = new FakeClock();
    let small = true;
    const run = async () => 10;
    const check = new SpacedCheck({ clock, firstMs: 1_000, mostMs: 50_000, isSmall: () => small, run });
    check.start();
    await clock.advance(1_000);
    await settle();
    assert.equal(check.intervalMs, 1_000);
    small = false;
    assert.equal(check.intervalMs, 5_000);
    check.stop();
  });

  test("runs no more once it is stopped, and again when it is started", async () => {
    const clock = new FakeClock();
    let runs = 0;
    const run = async () => {
      runs++;
      return 0;
    };
    const check = new SpacedCheck({ clock, firstMs: 100, mostMs: 100, run });
    check.start();
    await clock.advance(100);
    await settle();
    check.stop();
    await clock.advance(1_000);
    await settle();
    assert.equal(runs, 1);
    check.start();
    await clock.advance(100);
    await settle();
    assert.equal(runs, 2);
    check.stop();
  });
});

describe("gathered timers", () => {
  function gathered() {
    const clock = new FakeClock();
    const began = clock.now();
    const rung: string[] = [];
    let alarms = 0;
    const timers = new GatheredTimers({
      now: () => clock.now(),
      date: () => clock.date(),
      after: (delayMs, call) => clock.after(delayMs, () => [alarms++, call()]),
    });
    const after = (delayMs: number, name: string) =>
      timers.after(delayMs, () => rung.push(`${name} at ${clock.now() - began}`));
    return { clock, rung, after, timers, alarms: () => alarms };
  }

  test("what is due close together rings together, at the first of these times", async () => {
    const { clock, rung, after, alarms } = gathered();
    after(830, "c");
    after(800, "a");
    after(805, "b");
    after(1_000, "d");
    after(1_040, "long");
    after(1_100, "longer");
    await clock.advance(2_000);
    assert.deepEqual(rung, [
      "a at 800",
      "b at 800",
      "c at 800",
      "d at 800",
      "long at 1040",
      "longer at 1100",
    ]);
    assert.equal(alarms(), 3);
  });

  test("checks of every second that a busy moment parted come together again", async () => {
    const { clock, timers, alarms } = gathered();
    const repeat = (name: string) => {
      timers.after(1_000, () => repeat(name));
    };
    repeat("rules");
    await clock.advance(200);
    repeat("counts");
    await clock.advance(10_000);
    assert.ok(alarms() <= 11, `${alarms()} times awake`);
  });

  test("what was stopped does not ring, not even by what rings with it", async () => {
    const { clock, rung, after, timers } = gathered();
    const late = after(120, "late");
    timers.after(100, () => late[Symbol.dispose]());
    after(300, "gone")[Symbol.dispose]();
    await clock.advance(1_000);
    assert.deepEqual(rung, []);
  });

  test("a check that starts itself again is not rung twice", async () => {
    const { clock, timers } = gathered();
    let runs = 0;
    const again = (): void => {
      runs++;
      timers.after(10, again);
    };
    timers.after(10, again);
    await clock.advance(100);
    assert.equal(runs, 10);
  });
});
