import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { Random, runSeed } from "./random.js";

const seed = runSeed("policy-memory");
const folder = mkdtempSync(join(tmpdir(), "policy-memory-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function write(name: string, size: number, form: "json" | "yaml", family: 4 | 6): string {
  const random = new Random(seed);
  const path = join(folder, name);
  const output = openSync(path, "w");
  writeSync(
    output,
    form === "json" ? '{"mode":"full","sets":{"web":["10.0.0.1"' : "mode: full\nsets:\n  web:\n",
  );
  for (let written = 0; written < size; written += 1_000) {
    const members = Array.from({ length: 1_000 }, () => {
      const word = random.word();
      if (family === 6)
        return `fd00:${(word >>> 16).toString(16)}:${(word & 0xffff).toString(16)}::${random.below(65536).toString(16)}`;
      return `10.${(word >>> 16) & 255}.${(word >>> 8) & 255}.${word & 255}`;
    });
    writeSync(
      output,
      members.map((member) => (form === "json" ? `,\n"${member}"` : `  - ${member}\n`)).join(""),
    );
  }
  if (form === "json") writeSync(output, "]}}\n");
  closeSync(output);
  return path;
}

const peak = 'Number(/VmHWM:\\s+(\\d+)/.exec(fs.readFileSync("/proc/self/status", "latin1"))[1]) / 1024';
const modules = '["@antenna/sdk/internal/policy/policy-file.js"]';

/** The peak of a process of its own, in MiB. */
function peakOf(path: string | null): number {
  const parse = `const { readPolicyFile } = await import(${modules}[0]); globalThis.policy = await readPolicyFile(${JSON.stringify(path)});`;
  const script = `import * as fs from "node:fs"; ${path === null ? "" : parse} console.log(${peak});`;
  const child = spawnSync(process.execPath, ["--conditions=in-repo", "--input-type=module", "-e", script], {
    cwd: import.meta.dirname,
    encoding: "utf8",
  });
  assert.equal(child.status, 0, child.stderr);
  return Number(child.stdout);
}

describe("memory while reading, against a bare node in the same run", {
  skip: process.platform !== "linux",
}, () => {
  const bare = peakOf(null);
  // What sorted arrays need, twice for merging, and some 8 MiB for the modules and the heap; the rest is the allocator's.
  // From Node 22 on the heap grows sooner: the same bytes, with some MiB more between two collections.
  const room = Number(process.versions.node.split(".")[0]) > 20 ? 6 : 0;
  const bounds: readonly (readonly [string, string, number])[] = [
    ["100,000 IPv4 members, JSON", write("100k.json", 100_000, "json", 4), 22 + room],
    ["500,000 IPv4 members, JSON", write("500k.json", 500_000, "json", 4), 34 + room],
    ["500,000 IPv6 members, JSON", write("500k6.json", 500_000, "json", 6), 52 + room],
    // The form for people has no goal of its own; seen: 85 to 95 on Node 20, 130 on Node 26.
    ["230,000 IPv4 members, YAML of 4 MiB", write("230k.yaml", 230_000, "yaml", 4), 140 + 3 * room],
  ];
  for (const [name, path, bound] of bounds) {
    test(name, () => {
      const used = peakOf(path);
      console.log(`${name}: peak ${used.toFixed(1)} MiB, bare node ${bare.toFixed(1)} MiB`);
      assert.ok(
        used - bare < bound,
        `${(used - bare).toFixed(1)} MiB over a bare node; ${bound} is the bound`,
      );
    });
  }
});
