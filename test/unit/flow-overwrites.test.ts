import assert from "node:assert/strict";
import { test } from "node:test";
import { FlowOverwrites, type OverwrittenFlows } from "@antenna/sdk/internal/reconcile/flow-overwrites.js";
import { FakeClock } from "@antenna/sdk/testing";
import { flow } from "./reconcile-fixture.js";

function gathering() {
  const clock = new FakeClock();
  const end = new AbortController();
  const reports: OverwrittenFlows[] = [];
  const overwrites = new FlowOverwrites(clock, end.signal, (report) => reports.push(report));
  const counts = (): string[] => reports.map(({ by, flows }) => `${by} ${flows}`);
  return { clock, end, reports, overwrites, counts };
}

test("the first undone cut is told at once, those of the next second together, with 20 examples", async () => {
  const { clock, reports, overwrites, counts } = gathering();
  for (let count = 0; count < 1_000; count += 1) {
    overwrites.add({ flow: flow(`10.1.${count >> 8}.${count & 255}`), by: "entry-deleted" });
  }
  overwrites.add({ flow: flow("10.0.0.9"), by: "mark-overwritten" });
  assert.deepEqual(counts(), ["entry-deleted 1", "mark-overwritten 1"]);
  await clock.advance(1_000);
  assert.deepEqual(counts().slice(2), ["entry-deleted 999"]);
  assert.equal(reports.at(-1)?.examples.length, 20);
  await clock.advance(1_000);
  assert.equal(clock.pending, 0, "nothing happened in the second after");
  overwrites.add({ flow: flow("10.0.0.9"), by: "entry-deleted" });
  assert.deepEqual(counts().slice(3), ["entry-deleted 1"]);
});

test("at the end what was gathered is told, and no timer stays", () => {
  const { clock, end, overwrites, counts } = gathering();
  for (let count = 0; count < 3; count += 1)
    overwrites.add({ flow: flow("10.0.0.9"), by: "mark-overwritten" });
  end.abort();
  assert.deepEqual(counts(), ["mark-overwritten 1", "mark-overwritten 2"]);
  assert.equal(clock.pending, 0);
});
