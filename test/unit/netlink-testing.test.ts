import assert from "node:assert/strict";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { type Message, NetlinkError, type NetlinkSocket } from "@antenna/netlink";
import { ScriptedTransport } from "@antenna/netlink/testing";

const empty = new Uint8Array(0);

describe("ScriptedTransport", () => {
  test("answers what it was told to, and says when something never came", async () => {
    const transport = new ScriptedTransport([
      { type: 1, payload: Uint8Array.of(7) },
      { type: 2, refuse: 2 },
      { type: 3, answer: [[{ type: 9, payload: Uint8Array.of(1, 2) }], [{ type: 9, payload: empty }]] },
    ]);
    const results = await transport.transact([
      { type: 1, flags: 0, payload: Uint8Array.of(7) },
      { type: 2, flags: 0, payload: empty, operation: "delete it" },
    ]);
    assert.equal(results[0], null);
    assert.equal(results[1]?.errno, 2);
    assert.match(results[1]?.message ?? "", /^delete it: ENOENT/);
    assert.throws(() => transport.finish(), /1 of 3 expected requests never came, the next of type 3/);
    const heard: number[][] = [];
    let batches = 0;
    await transport.query(
      { type: 3, flags: 0, payload: empty },
      ({ bytes, start, end }: Message) => heard.push([...bytes.subarray(start, end)]),
      { onBatch: () => void batches++ },
    );
    assert.deepEqual([heard, batches], [[[1, 2], []], 2]);
    transport.finish();
  });

  test("refuses the unexpected", async () => {
    const transport = new ScriptedTransport([{ type: 1, flags: 4, payload: Uint8Array.of(1) }]);
    const ask = (type: number, flags: number, payload: Uint8Array): Promise<unknown> =>
      transport.transact([{ type, flags, payload }]);
    await assert.rejects(ask(2, 4, Uint8Array.of(1)), /type 2, expected 1/);
    await assert.rejects(ask(1, 0, Uint8Array.of(1)), /flags 0, expected 4/);
    await assert.rejects(ask(1, 4, Uint8Array.of(2)), /payload\n02, expected\n01/);
    await ask(1, 4, Uint8Array.of(1));
    await assert.rejects(ask(1, 4, Uint8Array.of(1)), /after the end of the script/);
  });

  test("tells listeners of their groups, and overflows them, until they are disposed", () => {
    const transport = new ScriptedTransport();
    const heard: string[] = [];
    const subscription = transport.listen([5], {
      message: ({ type }) => heard.push(`message ${type}`),
      overflow: () => heard.push("overflow"),
    });
    transport.emit(5, { type: 20, payload: empty });
    transport.emit(6, { type: 21, payload: empty });
    transport.overflow();
    subscription[Symbol.dispose]();
    transport.emit(5, { type: 22, payload: empty });
    assert.deepEqual(heard, ["message 20", "overflow"]);
  });

  test("is closed for good", async () => {
    const transport = new ScriptedTransport([{ type: 1 }]);
    transport.close();
    await assert.rejects(transport.transact([]), { code: "closed" });
    await assert.rejects(new ScriptedTransport().transact([], { signal: AbortSignal.abort() }), {
      code: "aborted",
    });
  });
});

test("NetlinkError is recognised across two copies of the package", async () => {
  const dist = fileURLToPath(new URL("../../../adapters/netlink/dist", import.meta.url));
  const copy = mkdtempSync(join(tmpdir(), "netlink-copy-"));
  try {
    cpSync(dist, join(copy, "dist"), { recursive: true });
    writeFileSync(join(copy, "package.json"), '{"type":"module"}');
    const other = (await import(pathToFileURL(join(copy, "dist/index.js")).href)) as {
      readonly NetlinkSocket: typeof NetlinkSocket;
    };
    // A copy without an addon beside it: what a user sees on a platform that there is no binary for.
    assert.throws(
      () => other.NetlinkSocket.open({ protocol: 0 }),
      (error) => {
        assert.ok(error instanceof NetlinkError);
        assert.equal(error.code, "unavailable");
        assert.ok(error.message.includes(`${process.platform}-${process.arch}`), error.message);
        assert.match(error.message, /native\/build\.mjs/);
        return true;
      },
    );
  } finally {
    rmSync(copy, { recursive: true });
  }
});
