import assert from "node:assert/strict";
import { describe, test } from "node:test";
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
