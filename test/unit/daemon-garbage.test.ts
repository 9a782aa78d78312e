import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { GarbageCollector } from "@antenna/daemon/internal/run/garbage.js";

const megabyte = 1024 * 1024;

describe("memory outside the heap", () => {
  test("is given back when work came to an end, and not for little", async () => {
    using collector = new GarbageCollector({ trim: () => undefined });
    collector.makeRoom();
    collector.worked();
    const before = outside();
    waste(32);
    collector.worked();
    // Array buffers are swept by another thread.
    for (let tries = 0; tries < 100 && outside() >= before + 8 * megabyte; tries++) await delay(20);
    assert.ok(outside() < before + 8 * megabyte, `${(outside() - before) / megabyte} MiB are held`);
  });

  test("is trimmed once things are quiet", async () => {
    let trimmed = 0;
    using collector = new GarbageCollector({ trim: () => trimmed++, restMs: 5 });
    const before = outside();
    collector.worked();
    waste(2);
    collector.worked();
    await delay(200);
    assert.equal(trimmed, 1);
    assert.ok(outside() < before + megabyte);
  });
});

/** Old enough that only a full collection takes them. */
function waste(megabytes: number): void {
  const arrays = Array.from({ length: megabytes }, () => new Uint8Array(megabyte));
  assert.equal(arrays.length, megabytes);
}

function outside(): number {
  return process.memoryUsage().arrayBuffers;
}
