import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { admitVersion, compareVersions, formatVersion, parseVersion } from "@antenna/sdk";

const most = Number.MAX_SAFE_INTEGER;

describe("versions", () => {
  test("text and back", () => {
    assert.deepEqual(parseVersion("7"), { epoch: 1, sequence: 7 });
    assert.deepEqual(parseVersion("2.7"), { epoch: 2, sequence: 7 });
    for (const text of ["1.1", "2.10", `${most}.${most}`])
      assert.equal(formatVersion(parseVersion(text)), text);
    for (const text of [
      "",
      "0",
      "1.0",
      "0.1",
      "01",
      "1.01",
      "-1",
      "+1",
      "1.2.3",
      "1.",
      ".1",
      "1e3",
      " 1",
      "0x1",
      `${most + 1}`,
      "9".repeat(400),
      "١",
    ]) {
      assert.throws(() => parseVersion(text), { code: "input-refused" }, text);
    }
  });

  test("by epoch, then by sequence", () => {
    const sorted = ["1.1", "1.2", "1.10", "2.1", `2.${most}`, "10.1"].map(parseVersion);
    for (let i = 0; i < sorted.length; i++) {
      for (let j = 0; j < sorted.length; j++) {
        const [a, b] = [sorted[i], sorted[j]];
        assert.ok(a !== undefined && b !== undefined);
        assert.equal(Math.sign(compareVersions(a, b)), Math.sign(i - j));
      }
    }
  });

  const accepted = { version: parseVersion("2.7"), digest: "sha256:a" };

  test("higher is admitted, equal with the same content too", () => {
    for (const text of ["2.8", "3.1", "2.7"])
      assert.deepEqual(admitVersion(parseVersion(text), "sha256:a", accepted), parseVersion(text));
    assert.deepEqual(admitVersion(parseVersion("2.8"), "sha256:b", accepted), parseVersion("2.8"));
    assert.deepEqual(admitVersion(parseVersion("1.1"), "sha256:b", null), parseVersion("1.1"));
  });

  test("lower is refused, equal with other content too", () => {
    for (const text of ["2.6", "1.8"]) {
      assert.throws(() => admitVersion(parseVersion(text), "sha256:a", accepted), {
        code: "version-refused",
        message: /lower than 2\.7/,
      });
    }
    assert.throws(() => admitVersion(parseVersion("2.7"), "sha256:b", accepted), {
      code: "version-refused",
      message: /another content/,
    });
  });

  test("without a version the agent counts on, but not for what it has", () => {
    assert.deepEqual(admitVersion(null, "sha256:b", null), { epoch: 1, sequence: 1 });
    assert.deepEqual(admitVersion(null, "sha256:b", accepted), { epoch: 2, sequence: 8 });
    assert.deepEqual(admitVersion(null, "sha256:a", accepted), accepted.version);
    const last = { version: { epoch: 1, sequence: most }, digest: "sha256:a" };
    assert.throws(() => admitVersion(null, "sha256:b", last), { code: "version-refused" });
  });
});
