import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, describe, test } from "node:test";
import { AntennaError, type Policy, readPolicyFile, readPolicyStream } from "@antenna/sdk";

const folder = mkdtempSync(join(tmpdir(), "policy-file-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function refusal(read: Promise<Policy>): Promise<AntennaError> {
  const reason = await read.then(
    () => assert.fail("was accepted"),
    (error: unknown) => error,
  );
  assert.ok(reason instanceof AntennaError, String(reason));
  return reason;
}

function members(count: number): string[] {
  return Array.from({ length: count }, (_, i) => `10.${(i >>> 16) & 255}.${(i >>> 8) & 255}.${i & 255}`);
}

describe("a policy from a file", () => {
  test("JSON and YAML of many chunks, by path, by handle and as a stream", async () => {
    const json = `{"mode":"full","sets":{"é":${JSON.stringify(members(50_000))}}}`;
    const yaml = `\ufeff# é\nmode: full\nsets:\n  é:\n${members(50_000)
      .map((member) => `  - ${member}\n`)
      .join("")}`;
    for (const [name, text] of [
      ["p.json", json],
      ["p.yaml", yaml],
    ] as const) {
      const path = file(name, text);
      assert.equal((await readPolicyFile(path)).sets.get("é")?.size, 50_000);
      const handle = await open(path);
      assert.equal((await readPolicyFile(handle)).sets.get("é")?.size, 50_000);
      await handle.close();
      const pieces = Array.from({ length: Math.ceil(text.length / 999) }, (_, i) =>
        Buffer.from(text).subarray(i * 999, (i + 1) * 999),
      );
      pieces.push(Buffer.from(text).subarray(pieces.length * 999));
      assert.equal((await readPolicyStream(Readable.from(pieces))).sets.get("é")?.size, 50_000);
    }
  });

  test("what is too large is refused before it is read", async () => {
    const json = file("large.json", '{"mode":"full"}');
    truncateSync(json, 50 * 1024 * 1024);
    assert.match((await refusal(readPolicyFile(json))).message, /larger than 32 MiB/);
    const yaml = file("large.yaml", "mode: full\n");
    truncateSync(yaml, 5 * 1024 * 1024);
    assert.match((await refusal(readPolicyFile(yaml))).message, /larger than 4 MiB, the most for YAML/);
    const endless = new Readable({
      read() {
        this.push(Buffer.alloc(1_000_000, 0x20));
      },
    });
    assert.match((await refusal(readPolicyStream(endless))).message, /larger than/);
  });

  test("binary garbage is refused", async () => {
    const reason = await refusal(
      readPolicyFile(
        file("garbage", Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7919) & 255))),
      ),
    );
    assert.equal(reason.code, "input-refused");
  });

  test("what is no file is refused, and a pipe that nobody writes to does not hold us", async () => {
    assert.match((await refusal(readPolicyFile(folder))).message, /is a directory/);
    assert.match((await refusal(readPolicyFile("/dev/zero"))).message, /is a device/);
    const pipe = join(folder, "pipe");
    execFileSync("/usr/bin/mkfifo", [pipe]);
    assert.match((await refusal(readPolicyFile(pipe))).message, /a pipe/);
  });

  test("a file that is not there says so, with the path and the system's error", async () => {
    const reason = await refusal(readPolicyFile(join(folder, "none.yaml")));
    assert.equal(reason.code, "input-refused");
    assert.match(reason.message, /none\.yaml: there is no such file/);
    assert.equal((reason.cause as NodeJS.ErrnoException).code, "ENOENT");
    assert.deepEqual(reason.problems, [{ path: "", problem: "there is no such file" }]);
  });

  test("the caller's signal ends it", async () => {
    const path = file("abort.json", `{"mode":"full","sets":{"a":${JSON.stringify(members(200_000))}}}`);
    const controller = new AbortController();
    const reading = readPolicyFile(path, { signal: controller.signal });
    setImmediate(() => controller.abort());
    assert.equal((await refusal(reading)).code, "aborted");
    assert.equal((await refusal(readPolicyFile(path, { signal: AbortSignal.abort() }))).code, "aborted");
  });

  test("the loop turns while JSON is read", async () => {
    const path = file("turn.json", `{"mode":"full","sets":{"a":${JSON.stringify(members(200_000))}}}`);
    let turns = 0;
    let reading = true;
    const count = () => {
      turns++;
      if (reading) setImmediate(count);
    };
    setImmediate(count);
    await readPolicyFile(path);
    reading = false;
    assert.ok(turns > 30, `${turns} turns for some fifty chunks`);
  });
});
