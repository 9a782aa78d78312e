import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { BuiltinReading, TableReading } from "@antenna/netfilter/internal/backend/rule-table.js";
import { jumps } from "@antenna/netfilter/internal/render/chain.js";
import { switchText } from "@antenna/netfilter/internal/render/restore-text.js";

describe("a chain that is no longer meant", () => {
  const stale = "ANT-0123456789abcdef0123";
  const first: BuiltinReading = { rules: 1, jumps: [0] };
  const textFor = (empty: boolean, referenced: boolean): string | null => {
    const ruleset = { family: 4, chains: [], jumps } as const;
    const reading: TableReading = {
      generation: 1,
      exists: true,
      chains: new Map([[stale, "f"]]),
      empty: new Set(empty ? [stale] : []),
      builtins: { INPUT: first, OUTPUT: first },
    };
    return switchText(ruleset, reading, new Set(), new Set(referenced ? [stale] : []));
  };
  const emptied = `*filter\n:${stale} - [0:0]\n`;

  test("is emptied and deleted, and left where somebody leads to it", () => {
    assert.equal(textFor(false, false), `${emptied}-X ${stale}\nCOMMIT\n`);
    assert.equal(textFor(true, false), `${emptied}-X ${stale}\nCOMMIT\n`);
    assert.equal(textFor(false, true), `${emptied}COMMIT\n`);
  });

  test("is not touched once it is empty, as long as somebody leads to it", () => {
    assert.equal(textFor(true, true), null);
  });
});
