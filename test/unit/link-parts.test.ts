import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { inspect } from "node:util";
import { PairingKey } from "@antenna/sdk";
import { callFailure, clean } from "@antenna/sdk/internal/protocol/link/call-failure.js";
import { lifeStage, renewalDelay } from "@antenna/sdk/internal/protocol/link/certificate-life.js";
import {
  nameLookup,
  parseControllerAddress,
  resolveController,
} from "@antenna/sdk/internal/protocol/link/controller-address.js";
import { EventQueue } from "@antenna/sdk/internal/protocol/link/event-queue.js";
import { MessageBudget } from "@antenna/sdk/internal/protocol/link/message-budget.js";
import { reconnectDelay, refusedDelay } from "@antenna/sdk/internal/protocol/link/reconnect-delay.js";
import { FakeClock } from "@antenna/sdk/testing";
import fc from "fast-check";
import { runSeed } from "./random.js";

const seed = runSeed("link-parts");

describe("pairing keys", () => {
  const parts = fc.record({
    id: fc.stringMatching(/^[A-Za-z0-9_-]{1,64}$/),
    secret: fc.uint8Array({ minLength: 17, maxLength: 64 }),
    fingerprint: fc.stringMatching(/^[0-9a-f]{64}$/),
  });

  test("what is written is read, and shows its secret nowhere else", () => {
    fc.assert(
      fc.property(parts, (each) => {
        const key = new PairingKey(each);
        const text = key.format();
        const read = PairingKey.parse(` ${text}\n`);
        assert.deepEqual([read.id, read.fingerprint, read.format()], [each.id, each.fingerprint, text]);
        assert.deepEqual(read.secret, each.secret);
        const secret = Buffer.from(each.secret).toString("base64url");
        for (const shown of [inspect(key, { depth: 9, showHidden: true }), JSON.stringify(key), `${key}`])
          assert.ok(!shown.includes(secret));
        assert.ok(key.isIn(`x${Buffer.from(each.secret).toString("hex").toUpperCase()}x`));
      }),
      { seed },
    );
  });

  test("one character more, less or other is refused or another key; never the text in the error", () => {
    fc.assert(
      fc.property(parts, fc.nat(), fc.string({ minLength: 0, maxLength: 2 }), (each, at, put) => {
        const text = new PairingKey(each).format();
        const cut = at % text.length;
        const changed = text.slice(0, cut) + put + text.slice(cut + 1);
        try {
          const key = PairingKey.parse(changed);
          assert.equal(key.format(), changed.trim());
        } catch (reason) {
          assert.ok(reason instanceof Error && !reason.message.includes(text.split(".")[1] ?? ""));
        }
      }),
      { seed },
    );
  });
});

describe("waits", () => {
  test("grow to thirty seconds and are spread over three quarters", () => {
    assert.deepEqual(
      [1, 2, 3, 4, 8, 9, 1_000].map((failures) => reconnectDelay(failures, 0.999999)).map(Math.round),
      [250, 500, 1_000, 2_000, 30_000, 30_000, 30_000],
    );
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 1e9 }),
        fc.double({ min: 0, max: 0.999999, noNaN: true }),
        (n, random) => {
          const delay = reconnectDelay(n, random);
          const most = reconnectDelay(n, 1);
          assert.ok(delay >= most / 4 && delay <= most && most <= 30_000 && most >= 250);
          assert.ok(refusedDelay(random) >= 15_000 && refusedDelay(random) <= 30_000);
        },
      ),
      { seed },
    );
  });

  test("renewal is due at two thirds, spread before that, never late and never at once", () => {
    const hour = 3_600_000;
    const life = { from: 0, to: 24 * hour };
    assert.equal(renewalDelay(life, 0, 0, 1_000), 16 * hour);
    assert.equal(Math.round(renewalDelay(life, 0, 1, 1_000) / hour), 14);
    assert.equal(renewalDelay(life, 20 * hour, 0, 1_000), 1_000);
    assert.equal(renewalDelay({ from: 0, to: 4_000 * hour }, 0, 0, 1_000), 2 ** 31 - 1);
    const stages = [-1, 0, 15.9, 16, 23.9, 24].map((at) => lifeStage(life, at * hour));
    assert.deepEqual(stages, ["early", "valid", "valid", "due", "due", "expired"]);
  });
});

describe("addresses of controllers", () => {
  test("are read as written", () => {
    const read = (text: string) => {
      const { host, port } = parseControllerAddress(text);
      return [host, port];
    };
    assert.deepEqual(read("controller.example:8443"), ["controller.example", 8443]);
    assert.deepEqual(read("192.0.2.1:1"), ["192.0.2.1", 1]);
    assert.deepEqual(read("[2001:db8::1]:65535"), ["2001:db8::1", 65535]);
    assert.deepEqual(read("controller.example.:8443"), ["controller.example.", 8443]);
  });

  test("names resolve by the system's means, addresses need none, and what is not known says so", async () => {
    assert.deepEqual(await resolveController(parseControllerAddress("[::1]:1"), nameLookup()), ["::1"]);
    assert.ok((await resolveController(parseControllerAddress("localhost:1"), nameLookup())).length > 0);
    await assert.rejects(resolveController(parseControllerAddress("no-such-host.invalid:1"), nameLookup()), {
      code: "unreachable",
    });
    await assert.rejects(
      resolveController(parseControllerAddress("localhost:1"), nameLookup(), AbortSignal.abort()),
      { code: "aborted" },
    );
  });
});

describe("bounds", () => {
  test("events: the newest stay, the others are counted", () => {
    const queue = new EventQueue(3);
    for (let index = 0; index < 10; index++)
      queue.push({ type: "budget", time: new Date(), message: String(index) });
    assert.deepEqual([queue.takeDropped(), queue.takeDropped()], [7, 0]);
    assert.deepEqual([queue.take()?.message, queue.take()?.message, queue.take()?.message], ["7", "8", "9"]);
    assert.equal(queue.take(), null);
  });

  test("messages: a burst, then so many a second", async () => {
    const clock = new FakeClock();
    const budget = new MessageBudget(clock);
    let taken = 0;
    while (budget.take()) taken += 1;
    assert.equal(taken, 256);
    await clock.advance(1_000);
    for (taken = 0; budget.take(); ) taken += 1;
    assert.equal(taken, 64);
  });

  test("words of the other side are one printable line of bounded length", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 5_000 }), (words) => {
        const line = clean(words);
        assert.ok(line.length <= 301 && !/[\p{Cc}\n]/u.test(line));
      }),
      { seed },
    );
    assert.equal(
      callFailure(Object.assign(new Error("x"), { code: 7, details: "revoked\n\u001b[31m" })).words,
      "revoked [31m",
    );
    assert.equal(callFailure("odd").kind, "broken");
  });
});
