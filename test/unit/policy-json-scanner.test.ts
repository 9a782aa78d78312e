import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { DocumentSink } from "@antenna/sdk/internal/policy/document-sink.js";
import { JsonScanner } from "@antenna/sdk/internal/policy/json-scanner.js";
import { policyLimits } from "@antenna/sdk/internal/policy/limits.js";
import fc from "fast-check";
import { runSeed } from "./random.js";

const seed = runSeed("policy-json-scanner");

/** Builds the value again that the events tell, and nothing else. Objects are Maps, so that `__proto__` is a key. */
class ValueSink implements DocumentSink {
  readonly #stack: { container: unknown[] | Map<string, unknown>; key: string }[] = [];
  hasDuplicates = false;
  value: unknown;

  beginMap(): void {
    this.#stack.push({ container: new Map(), key: "" });
  }
  beginList(): void {
    this.#stack.push({ container: [], key: "" });
  }
  key(bytes: Uint8Array, start: number, end: number): void {
    const top = this.#stack.at(-1);
    assert.ok(top?.container instanceof Map);
    top.key = Buffer.from(bytes.subarray(start, end)).toString("utf8");
    if (top.container.has(top.key)) this.hasDuplicates = true;
  }
  endMap(): void {
    this.#put(this.#stack.pop()?.container);
  }
  endList(): void {
    this.endMap();
  }
  text(bytes: Uint8Array, start: number, end: number): void {
    this.#put(Buffer.from(bytes.subarray(start, end)).toString("utf8"));
  }
  number(text: string): void {
    this.#put(Number(text));
  }
  boolean(value: boolean): void {
    this.#put(value);
  }
  nothing(): void {
    this.#put(null);
  }
  misfit(): void {
    assert.fail("JSON has no misfits");
  }
  misfitKey(): void {
    assert.fail("JSON has no misfits");
  }
  #put(value: unknown): void {
    const top = this.#stack.at(-1);
    if (top === undefined) this.value = value;
    else if (top.container instanceof Map) top.container.set(top.key, value);
    else top.container.push(value);
  }
}

function scan(bytes: Uint8Array, cuts: readonly number[] = []): { problem: string | null; sink: ValueSink } {
  const sink = new ValueSink();
  const scanner = new JsonScanner(sink);
  const places = [...cuts.map((cut) => cut % (bytes.length + 1)).sort((a, b) => a - b), bytes.length];
  let from = 0;
  for (const to of places) {
    // A copy that is wiped afterwards: nothing may hold on to a chunk.
    const chunk = bytes.slice(from, to);
    scanner.push(chunk);
    chunk.fill(0xff);
    from = to;
  }
  return { problem: scanner.end(), sink };
}

function asMaps(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asMaps);
  if (typeof value !== "object" || value === null) return value;
  return new Map(Object.entries(value).map(([key, item]) => [key, asMaps(item)]));
}

/** What JSON.parse says: the value, or nothing when it refuses. */
function reference(text: string): { value: unknown } | null {
  try {
    return { value: asMaps(JSON.parse(text)) };
  } catch {
    return null;
  }
}

const cuts = fc.array(fc.nat(), { maxLength: 6 });

describe("the JSON scanner against JSON.parse", () => {
  test("the same values, however the text is cut", () => {
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 6, noUnicodeString: false }),
        fc.boolean(),
        cuts,
        (json, pretty, places) => {
          const text = pretty ? JSON.stringify(JSON.parse(json), null, "\t") : json;
          const { problem, sink } = scan(Buffer.from(text), places);
          if (problem !== null) {
            assert.match(problem, /surrogate/);
            assert.match(text, /\\ud[89a-f]/i);
          } else assert.deepEqual(sink.value, reference(text)?.value);
        },
      ),
      { seed, numRuns: 3_000 },
    );
  });

  test("the same texts are refused", () => {
    const parts = [
      "{",
      "}",
      "[",
      "]",
      ",",
      ":",
      '"',
      '"a"',
      '"\\u0041"',
      "\\",
      "\\n",
      "\\u12",
      "-",
      "0",
      "1",
      "01",
      ".5",
      "2.5",
      "e",
      "1E+3",
      "1e",
      "true",
      "false",
      "null",
      "nul",
      " ",
      "\n",
      "\t",
      "\u0000",
      "é",
      "'",
      "//",
      "+1",
      "NaN",
    ];
    const mutated = fc
      .tuple(fc.json({ maxDepth: 3 }), fc.nat(), fc.constantFrom(...parts))
      .map(
        ([text, at, part]) =>
          text.slice(0, at % (text.length + 1)) + part + text.slice((at % (text.length + 1)) + 1),
      );
    const random = fc.array(fc.constantFrom(...parts), { maxLength: 12 }).map((some) => some.join(""));
    fc.assert(
      fc.property(fc.oneof(mutated, random), cuts, (text, places) => {
        const { problem, sink } = scan(Buffer.from(text), places);
        const expected = reference(text);
        if (problem !== null && /surrogate/.test(problem)) return;
        assert.equal(problem === null, expected !== null, `${JSON.stringify(text)}: ${problem}`);
        if (!sink.hasDuplicates && expected !== null) assert.deepEqual(sink.value, expected.value);
      }),
      { seed, numRuns: 20_000 },
    );
  });

  test("bytes that are not UTF-8 are refused, wherever they are cut; all others are read", () => {
    const byte = fc.constantFrom(
      0x41,
      0x7f,
      0x80,
      0xbf,
      0xc0,
      0xc2,
      0xdf,
      0xe0,
      0xa0,
      0x9f,
      0xed,
      0xef,
      0xf0,
      0x90,
      0x8f,
      0xf4,
      0xf5,
      0xff,
    );
    fc.assert(
      fc.property(fc.array(byte, { maxLength: 8 }), cuts, (middle, places) => {
        const bytes = Uint8Array.from([0x22, ...middle, 0x22]);
        let expected: string | null = null;
        try {
          expected = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes.subarray(1, -1));
        } catch {
          // Not UTF-8.
        }
        const { problem, sink } = scan(bytes, places);
        assert.equal(problem === null ? sink.value : null, expected);
      }),
      { seed, numRuns: 10_000 },
    );
  });
});

describe("the JSON scanner", () => {
  test("says where", () => {
    assert.equal(
      scan(Buffer.from('{\n  "a": 1,\n  "b" 2}')).problem,
      'line 3, column 7: expected `:`, found "2"',
    );
    assert.match(scan(Buffer.from('{"a": tru')).problem ?? "", /^line 1, column 10: .*too early/);
    assert.match(scan(Buffer.from("[1] x")).problem ?? "", /nothing after the document/);
    assert.match(scan(Buffer.from("[1,]")).problem ?? "", /column 4: expected a value/);
    assert.match(scan(Buffer.from("\u001b[31m")).problem ?? "", /found "\\u001b"/);
  });

  test("nesting is bounded", () => {
    const most = "[".repeat(policyLimits.depth) + "]".repeat(policyLimits.depth);
    assert.equal(scan(Buffer.from(most)).problem, null);
    assert.match(scan(Buffer.from("[".repeat(1_000_000))).problem ?? "", /nested more than 32/);
  });

  test("a text of any length passes in constant space, marked as cut", () => {
    const lengths: { length: number; complete: boolean }[] = [];
    const sink = new ValueSink();
    sink.text = (_: Uint8Array, start: number, end: number, complete?: boolean): void => {
      lengths.push({ length: end - start, complete: complete === true });
    };
    const scanner = new JsonScanner(sink);
    const most = policyLimits.textBytes;
    for (const length of [most - 1, most, most + 1, 10_000_000]) {
      for (const cut of [0, 5, most]) {
        const text = Buffer.from(`"${"x".repeat(length)}"`);
        const fresh = new JsonScanner(sink);
        fresh.push(text.subarray(0, cut));
        fresh.push(text.subarray(cut));
        assert.equal(fresh.end(), null);
        assert.deepEqual(lengths.pop(), { length: Math.min(length, most), complete: length <= most });
      }
    }
    assert.ok(scanner.end() !== null, "an empty text is no document");
  });

  test("halves of surrogate pairs are no characters", () => {
    for (const text of [
      '"\\ud800"',
      '"\\udc00"',
      '"\\ud800x"',
      '"\\ud800\\n"',
      '"\\ud800\\u0041"',
      '"\\ud800\\ud800\\udc00"',
    ]) {
      assert.match(scan(Buffer.from(text)).problem ?? "", /surrogate/, text);
    }
    assert.equal(scan(Buffer.from('"\\ud83d\\ude00"')).sink.value, "😀");
  });
});
