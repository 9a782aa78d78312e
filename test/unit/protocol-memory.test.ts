import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import { AddressSetBuilder, type Policy, parsePolicy, policyDigest } from "@antenna/sdk";
import { encodeSessionResponse, policyParts } from "@antenna/sdk/protocol";
import { Random, runSeed } from "./random.js";

const seed = runSeed("protocol-memory");
const folder = mkdtempSync(join(tmpdir(), "protocol-memory-"));
after(() => rmSync(folder, { recursive: true, force: true }));

function policyOf(members: number, family: 4 | 6, sets: number): Policy {
  const random = new Random(seed);
  const base = parsePolicy('{"mode":"full"}');
  const made = Array.from({ length: sets }, (_, index) => {
    const builder = new AddressSetBuilder();
    for (let i = 0; i < members / sets; i++) {
      if (family === 4) builder.add4((0x0a000000 | (random.word() & 0xffffff)) >>> 0);
      else builder.add6(0xfd000000, random.word(), 0, random.word());
    }
    return [`set-${String(index).padStart(6, "0")}`, builder.build()] as const;
  });
  return { ...base, version: { epoch: 1, sequence: 1 }, sets: new Map(made) };
}

/** The messages as they come over the wire, each after its length. */
function write(name: string, policy: Policy): string {
  const path = join(folder, name);
  const output = openSync(path, "w");
  const seal = {
    version: { epoch: 1, sequence: 1 },
    digest: policyDigest(policy),
    proof: new Uint8Array(80),
    probation: false,
  };
  for (const part of policyParts(policy, seal)) {
    const bytes = encodeSessionResponse({ kind: "policy", part });
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.length);
    writeSync(output, length);
    writeSync(output, bytes);
  }
  closeSync(output);
  return path;
}

/** Peak of a process of its own that takes the messages in, in MiB; and the longest it was busy at a stretch, in ms. */
function peakOf(path: string | null): { readonly peak: number; readonly longest: number } {
  const script = `
    import * as fs from "node:fs";
    import { decodeSessionResponse, PolicyAssembler } from "@antenna/sdk/protocol";
    const path = ${JSON.stringify(path)};
    let longest = 0;
    if (path !== null) {
      const file = fs.openSync(path);
      const assembler = new PolicyAssembler();
      const length = Buffer.alloc(4);
      while (fs.readSync(file, length) === 4) {
        const bytes = Buffer.alloc(length.readUInt32LE());
        fs.readSync(file, bytes);
        const began = performance.now();
        globalThis.policy = assembler.push(decodeSessionResponse(bytes).part);
        if (globalThis.policy === null) longest = Math.max(longest, performance.now() - began);
      }
      if (globalThis.policy === null) throw new Error("the policy did not arrive");
    }
    const peak = Number(/VmHWM:\\s+(\\d+)/.exec(fs.readFileSync("/proc/self/status", "latin1"))[1]) / 1024;
    console.log(JSON.stringify({ peak, longest }));`;
  const child = spawnSync(process.execPath, ["--conditions=in-repo", "--input-type=module", "-e", script], {
    cwd: import.meta.dirname,
    encoding: "utf8",
  });
  assert.equal(child.status, 0, child.stderr);
  return JSON.parse(child.stdout) as { readonly peak: number; readonly longest: number };
}

describe("memory while a policy comes over the wire, against the same process without one", {
  skip: process.platform !== "linux",
}, () => {
  const bare = peakOf(null);
  // Twice the arrays (5 and 17 bytes a member), some parts of 256 KiB that wait for the collector, and the heap.
  const bounds: readonly (readonly [string, string, number])[] = [
    ["100,000 IPv4 members", write("100k", policyOf(100_000, 4, 1)), 14],
    ["500,000 IPv4 members", write("500k", policyOf(500_000, 4, 1)), 24],
    ["500,000 IPv6 members", write("500k6", policyOf(500_000, 6, 1)), 48],
    ["500,000 IPv4 members in 2,000 sets", write("500k2000", policyOf(500_000, 4, 2_000)), 30],
  ];
  for (const [name, path, bound] of bounds) {
    test(name, () => {
      const { peak, longest } = peakOf(path);
      const used = peak - bare.peak;
      console.log(
        `${name}: ${used.toFixed(1)} MiB over ${bare.peak.toFixed(1)} MiB; longest part ${longest.toFixed(1)} ms`,
      );
      assert.ok(used < bound, `${used.toFixed(1)} MiB; ${bound} is the bound`);
    });
  }
});
