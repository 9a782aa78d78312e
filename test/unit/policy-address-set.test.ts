import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AddressSet, AddressSetBuilder, parseAddress } from "@antenna/sdk";
import fc from "fast-check";
import { memberText, memberTexts } from "./policy-arbitrary.js";
import { Random, runSeed } from "./random.js";

const seed = runSeed("policy-address-set");

/** The oracle: a block as a string of bits, a set as a sorted list of such strings, every question by comparing prefixes. */
function bitsOf(text: string): string {
  const [address = "", prefix] = text.split("/");
  const bytes = parseAddress(address);
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
  return `${bytes.length === 4 ? "4" : "6"}${bits.slice(0, prefix === undefined ? bits.length : Number(prefix))}`;
}

function normal(texts: Iterable<string>): string[] {
  const unique = Array.from(new Set(Array.from(texts, bitsOf))).sort();
  return unique.filter((bits) => !unique.some((other) => other !== bits && bits.startsWith(other)));
}

function blocksOf(set: AddressSet): string[] {
  return Array.from(set.strings(), bitsOf);
}

describe("AddressSet against a naive oracle", () => {
  test("normal form: sorted, unique, nothing inside another, whatever the order", () => {
    fc.assert(
      fc.property(memberTexts, fc.nat(), (texts, shuffle) => {
        const set = AddressSet.from(texts);
        assert.deepEqual(blocksOf(set), normal(texts));
        const random = new Random(shuffle);
        const again = AddressSet.from([...texts, ...texts].sort(() => random.below(3) - 1));
        assert.ok(set.equals(again) && again.equals(set));
        assert.equal(set.size, set.size4 + set.size6);
        assert.equal(set.hasFamily(6), set.size6 > 0);
      }),
      { seed, numRuns: 2_000 },
    );
  });

  test("has", () => {
    fc.assert(
      fc.property(memberTexts, memberText, (texts, probe) => {
        const address = probe.replace(/\/.*/, "");
        const bits = bitsOf(address);
        const expected = texts.some((text) => bits.startsWith(bitsOf(text)));
        assert.equal(AddressSet.from(texts).has(parseAddress(address)), expected);
      }),
      { seed, numRuns: 3_000 },
    );
  });

  test("union and overlaps", () => {
    fc.assert(
      fc.property(memberTexts, memberTexts, memberTexts, (a, b, c) => {
        const [x, y, z] = [AddressSet.from(a), AddressSet.from(b), AddressSet.from(c)];
        assert.deepEqual(blocksOf(x.union(y, z)), normal([...a, ...b, ...c]));
        const overlap = a.some((m) =>
          b.some((n) => bitsOf(m).startsWith(bitsOf(n)) || bitsOf(n).startsWith(bitsOf(m))),
        );
        assert.equal(x.overlaps(y), overlap);
        assert.equal(y.overlaps(x), overlap);
      }),
      { seed, numRuns: 2_000 },
    );
  });

  test("diff is what with needs, and no more", () => {
    fc.assert(
      fc.property(memberTexts, memberTexts, (a, b) => {
        const [x, y] = [AddressSet.from(a), AddressSet.from(b)];
        const { added, removed } = x.diff(y);
        assert.ok(x.with(added, removed).equals(y));
        const [before, after] = [new Set(blocksOf(x)), new Set(blocksOf(y))];
        assert.deepEqual(
          blocksOf(added),
          [...after].filter((block) => !before.has(block)),
        );
        assert.deepEqual(
          blocksOf(removed),
          [...before].filter((block) => !after.has(block)),
        );
      }),
      { seed, numRuns: 3_000 },
    );
  });

  test("with: removal of exact members, then addition, in normal form", () => {
    fc.assert(
      fc.property(memberTexts, memberTexts, memberTexts, (a, add, remove) => {
        const set = AddressSet.from(a);
        const result = set.with(AddressSet.from(add), AddressSet.from(remove));
        const gone = new Set(normal(remove));
        const kept = Array.from(set.strings()).filter((text) => !gone.has(bitsOf(text)));
        assert.deepEqual(blocksOf(result), normal([...kept, ...add]));
      }),
      { seed, numRuns: 2_000 },
    );
  });

  test("blocks, addresses and prefix lengths agree with the texts", () => {
    fc.assert(
      fc.property(memberTexts, (texts) => {
        const set = AddressSet.from(texts);
        const builder = AddressSet.builder();
        set.forEachBlock((address, prefix) => builder.addAddress(address, prefix));
        assert.ok(builder.build().equals(set));
        for (const family of [4, 6] as const) {
          const { prefix } = set.blocks(family);
          assert.deepEqual(
            set.prefixLengths(family),
            Array.from(new Set(prefix)).sort((a, b) => a - b),
          );
          for (let i = 0; i < prefix.length; i++) {
            const target = new Uint8Array(20);
            set.writeAddress(family, i, target, 2);
            assert.deepEqual(target.subarray(2, family === 4 ? 6 : 18), set.addressAt(family, i));
            assert.ok(set.has(set.addressAt(family, i)));
          }
        }
      }),
      { seed, numRuns: 500 },
    );
  });
});

describe("AddressSet", () => {
  test("any, and one family of it", () => {
    assert.ok(AddressSet.any.isAny);
    assert.ok(AddressSet.from(["0.0.0.0/0", "::/0", "10.0.0.1"]).equals(AddressSet.any));
    assert.ok(!AddressSet.from(["0.0.0.0/0"]).isAny);
    assert.ok(AddressSet.from(["::/0"]).coversFamily(6));
    assert.ok(!AddressSet.empty.isAny && AddressSet.empty.size === 0);
    assert.equal(AddressSet.from([]), AddressSet.empty);
  });

  test("neighbours stay apart: one member more is one member more", () => {
    const set = AddressSet.from(["10.0.0.0/25", "10.0.0.128/25"]);
    assert.deepEqual([...set.strings()], ["10.0.0.0/25", "10.0.0.128/25"]);
  });

  test("refused texts are all listed by index", () => {
    assert.throws(
      () => AddressSet.from(["10.0.0.1", "x", "10.0.0.1/8"]),
      (error: { problems: { path: string }[] }) => {
        assert.deepEqual(
          error.problems.map(({ path }) => path),
          ["[1]", "[2]"],
        );
        return true;
      },
    );
  });

  test("numbers with host bits or a wrong prefix are the caller's mistake", () => {
    const builder = new AddressSetBuilder();
    assert.throws(() => builder.add4(1, 8), RangeError);
    assert.throws(() => builder.add4(0, 33), RangeError);
    assert.throws(() => builder.add6(0, 0, 0, 1, 64), RangeError);
    assert.throws(() => builder.add6(0, 0, 0, 0, 129), RangeError);
    assert.throws(() => builder.add4(0, Number.NaN), RangeError);
    assert.equal(builder.build().size, 0);
  });

  test("a builder goes on after build, and leaves alone what it gave away", () => {
    const random = new Random(seed);
    const builder = AddressSet.builder();
    const built: { set: AddressSet; texts: readonly string[] }[] = [];
    for (let i = 0; i < 60; i++) {
      for (let more = random.below(i === 30 ? 40_000 : 4); more >= 0; more--)
        builder.add4(random.word() >>> 8);
      const set = builder.build();
      built.push({ set, texts: [...set.strings()] });
    }
    for (const { set, texts } of built) assert.deepEqual([...set.strings()], texts);
  });

  test("120,000 members in random order, in runs, are what sorting them at once gives", () => {
    const random = new Random(seed);
    const words = Array.from({ length: 60_000 }, () => random.word() >>> 8);
    const builder = AddressSet.builder();
    for (const word of words) {
      builder.add4(word);
      builder.add6(0xfd000000, word, 0, word ^ 0x5555);
    }
    const set = builder.build();
    const expected = Uint32Array.from(new Set(words)).sort();
    assert.deepEqual(set.v4.address, expected);
    assert.equal(set.size6, expected.length);
    for (let i = 1; i < expected.length; i++)
      assert.ok((set.v6.address[i * 4 + 1] ?? 0) > (set.v6.address[i * 4 - 3] ?? 0));
    assert.ok(
      set.v4.address.buffer.byteLength <= (expected.length * 4 * 16) / 15,
      "little more is held than is counted",
    );
    const less = set.with(AddressSet.empty, AddressSet.from(["253.0.0.1"]));
    assert.ok(less.equals(set));
  });
});
