import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { LegacyBlob, layouts } from "@antenna/netfilter/internal/backend/legacy-blob.js";
import { AntennaError } from "@antenna/sdk";
import { Random, runSeed } from "./random.js";

// The entries of a legacy table as getsockopt gives them, made by hand: struct ipt_entry, targets, chain heads.

const layout = layouts[4];
const standardBytes = 40;
const errorBytes = 64;

interface Draft {
  readonly label?: string;
  readonly error?: string;
  /** Label of the entry to jump to, or a verdict. */
  readonly verdict?: string | number;
  readonly counter?: bigint;
  readonly protocol?: number;
}

function table(drafts: readonly Draft[]): { bytes: Uint8Array; info: Uint8Array; at: Map<string, number> } {
  const at = new Map<string, number>();
  let size = 0;
  for (const draft of drafts) {
    if (draft.label !== undefined) at.set(draft.label, size);
    size += layout.entryBytes + (draft.error === undefined ? standardBytes : errorBytes);
  }
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  let start = 0;
  for (const draft of drafts) {
    const target = start + layout.entryBytes;
    const targetBytes = draft.error === undefined ? standardBytes : errorBytes;
    view.setUint16(start + 80, draft.protocol ?? 0, true);
    view.setUint16(start + layout.targetOffset, layout.entryBytes, true);
    view.setUint16(start + layout.nextOffset, layout.entryBytes + targetBytes, true);
    view.setBigUint64(start + layout.counters, draft.counter ?? 0n, true);
    view.setUint16(target, targetBytes, true);
    if (draft.error === undefined) {
      const verdict =
        typeof draft.verdict === "string" ? (at.get(draft.verdict) ?? 0) : (draft.verdict ?? -2);
      view.setInt32(target + 32, verdict, true);
    } else {
      bytes.set(Buffer.from("ERROR"), target + 2);
      bytes.set(Buffer.from(draft.error), target + 32);
    }
    start += layout.entryBytes + targetBytes;
  }
  const info = new Uint8Array(84);
  const infoView = new DataView(info.buffer);
  infoView.setUint32(32, 0b1010, true); // INPUT and OUTPUT
  for (const [hook, label] of [
    [1, "INPUT"],
    [3, "OUTPUT"],
  ] as const) {
    infoView.setUint32(36 + 4 * hook, at.get(label) ?? 0, true);
    infoView.setUint32(56 + 4 * hook, at.get(`${label} policy`) ?? 0, true);
  }
  return { bytes, info, at };
}

const accept = -2;
const toReturn = -5;

function sample(extra: readonly Draft[] = [], counter = 0n): LegacyBlob {
  const { bytes, info } = table([
    { label: "INPUT", verdict: "first of ANT-IN" },
    { protocol: 6, verdict: accept },
    { label: "INPUT policy", verdict: accept },
    { label: "OUTPUT", protocol: 17, verdict: "first of ANT-IN" },
    { label: "OUTPUT policy", verdict: accept },
    ...extra,
    { error: "ANT-IN" },
    { label: "first of ANT-IN", protocol: 1, verdict: accept, counter },
    { verdict: toReturn },
    { error: "ERROR" },
  ]);
  return new LegacyBlob(bytes, info, layout);
}

describe("a legacy table", () => {
  test("is cut into chains, policies and returns not counted as rules", () => {
    const blob = sample();
    assert.deepEqual([...blob.chains()], ["INPUT", "OUTPUT", "ANT-IN"]);
    assert.deepEqual(
      ["INPUT", "OUTPUT", "ANT-IN"].map((chain) => blob.rules(chain)),
      [2, 1, 1],
    );
  });

  test("a jump counts only without a condition", () => {
    const blob = sample();
    assert.deepEqual(blob.jumpsTo("INPUT", "ANT-IN"), { rules: 2, jumps: [0] });
    assert.deepEqual(blob.jumpsTo("OUTPUT", "ANT-IN"), { rules: 1, jumps: [] });
  });

  test("counters and what stands elsewhere change no fingerprint; a rule does", () => {
    const plain = sample().fingerprint("ANT-IN");
    assert.equal(sample([], 77n).fingerprint("ANT-IN"), plain);
    const shifted = sample([{ error: "foreign" }, { protocol: 6, verdict: accept }, { verdict: toReturn }]);
    assert.equal(shifted.fingerprint("ANT-IN"), plain);
    assert.equal(shifted.fingerprint("INPUT"), sample().fingerprint("INPUT"), "jumps count by name");
    assert.notEqual(sample().fingerprint("INPUT"), sample().fingerprint("OUTPUT"));
  });

  test("bytes that are no table are refused, never read beyond", () => {
    const random = new Random(runSeed("legacy blob"));
    for (let round = 0; round < 2_000; round++) {
      const { bytes, info } = table([
        { label: "INPUT" },
        { label: "INPUT policy" },
        { error: "ANT-IN" },
        {},
        { error: "ERROR" },
      ]);
      for (let flips = random.between(1, 6); flips > 0; flips--)
        bytes[random.below(bytes.length)] = random.below(256);
      const cut = random.chance(0.3) ? bytes.subarray(0, random.below(bytes.length)) : bytes;
      try {
        const blob = new LegacyBlob(cut, info, layout);
        for (const chain of blob.chains()) blob.fingerprint(chain);
        blob.jumpsTo("INPUT", "ANT-IN");
      } catch (error) {
        assert.ok(error instanceof AntennaError, String(error));
      }
    }
  });
});
