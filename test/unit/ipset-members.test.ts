import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { KernelMembers, memberText } from "@antenna/netfilter/internal/ipset/kernel-members.js";
import { MemberComparison } from "@antenna/netfilter/internal/ipset/member-comparison.js";
import { setCorrection } from "@antenna/netfilter/internal/ipset/set-correction.js";
import { AttributeReader, AttributeWriter } from "@antenna/netlink";
import { AddressSet, type Family, type ProgramSet } from "@antenna/sdk";
import { Random, runSeed } from "./random.js";

const seed = runSeed("ipset members");

/** One member as the kernel lists it. */
interface Listed {
  readonly words: Uint32Array;
  readonly prefix: number;
  readonly protocol: number;
  readonly port: number;
  readonly exception?: boolean;
}

function listed(members: KernelMembers): Listed[] {
  return members.parts.flatMap(({ blocks, protocol, ports }) =>
    [...blocks.prefix].flatMap((prefix, block) =>
      ports.map((port) => ({
        words: blocks.address.slice(block * blocks.width, (block + 1) * blocks.width),
        prefix,
        protocol,
        port,
      })),
    ),
  );
}

function attributes(
  family: Family,
  { words, prefix, protocol, port, exception = false }: Listed,
): AttributeReader {
  const writer = new AttributeWriter();
  writer.nest(1, () => {
    if (family === 4) writer.be32(1, words[0] ?? 0);
    else writer.be128(2, words);
  });
  if (prefix !== (family === 4 ? 32 : 128)) writer.u8(3, prefix);
  if (protocol !== 0) writer.be16(4, port).u8(7, protocol);
  if (exception) writer.be32(8, 4);
  return new AttributeReader(writer.copy());
}

function compare(expected: KernelMembers, kernel: Iterable<Listed>, mostDiffering = 0): MemberComparison {
  const comparison = new MemberComparison(expected, mostDiffering);
  const address = new AttributeReader();
  for (const one of kernel) comparison.add(attributes(expected.family, one), address);
  return comparison;
}

/** The same of a whole listing in one run of bytes, the plain members at its beginning by their places. */
function compareRun(expected: KernelMembers, kernel: readonly Listed[]): MemberComparison {
  const writer = new AttributeWriter(4096);
  for (const one of kernel) {
    const { words, prefix, protocol, port, exception = false } = one;
    writer.nest(7, () => {
      writer.nest(1, () => {
        if (expected.family === 4) writer.be32(1, words[0] ?? 0);
        else writer.be128(2, words);
      });
      if (prefix !== (expected.family === 4 ? 32 : 128)) writer.u8(3, prefix);
      if (protocol !== 0) writer.be16(4, port).u8(7, protocol);
      if (exception) writer.be32(8, 4);
    });
  }
  const bytes = writer.copy();
  const comparison = new MemberComparison(expected);
  const [run, member, address] = [new AttributeReader(), new AttributeReader(), new AttributeReader()];
  run.reset(bytes, comparison.addPlain(new DataView(bytes.buffer), 0, bytes.length), bytes.length);
  while (run.next()) comparison.add(run.enter(member), address);
  return comparison;
}

function randomSet(random: Random, kind: ProgramSet["kind"]): ProgramSet {
  const members = (): AddressSet => {
    const builder = AddressSet.builder();
    for (let count = random.between(0, 40); count > 0; count--) {
      const prefix = random.pick([0, 1, 8, 16, 24, 31, 32, 32, 32]);
      const word = prefix === 0 ? 0 : (random.word() & (-1 << (32 - prefix))) >>> 0;
      const bytes = [word >>> 24, (word >>> 16) & 255, (word >>> 8) & 255, word & 255];
      builder.addText(`${bytes.join(".")}/${prefix}`);
      builder.addText(
        `fd${(random.below(256) + 256).toString(16).slice(1)}:${random.below(65536).toString(16)}::/${random.pick([32, 48, 128])}`,
      );
    }
    return builder.build();
  };
  if (kind === "peers") return { kind, members: members() };
  const parts = [6, 17, 132].slice(0, random.between(0, 3)).map((protocol) => ({
    members: members(),
    protocol,
    ports: [...new Set(random.picks(random.between(1, 5), [1, 53, 80, 443, 65535]))].sort((a, b) => a - b),
  }));
  return { kind, parts };
}

describe("the members of a kernel set", () => {
  test("are found by their number, and nothing else is found", () => {
    const random = new Random(seed);
    for (let round = 0; round < 300; round++) {
      for (const family of [4, 6] as const) {
        const members = new KernelMembers(randomSet(random, random.pick(["peers", "pairs"])), family);
        const all = listed(members);
        assert.equal(all.length, members.size);
        for (const [index, { words, prefix, protocol, port }] of all.entries()) {
          assert.equal(members.find(words, prefix, protocol, port), index);
          assert.notEqual(prefix, 0, "the kernel refuses /0");
          assert.equal(members.find(words, prefix, protocol, port + 1000), -1);
          assert.equal(members.find(words, prefix, protocol === 0 ? 6 : 99, port), -1);
          const other = prefix === 32 ? 31 : prefix + 1;
          const twin = members.find(words, other, protocol, port);
          assert.ok(twin === -1 || all[twin]?.prefix === other);
        }
      }
    }
  });

  test("/0 stands as its two halves", () => {
    const set: ProgramSet = { kind: "peers", members: AddressSet.any };
    const describeAll = (family: Family): string[] => {
      const members = new KernelMembers(set, family);
      return Array.from({ length: members.size }, (_, index) => members.describe(index));
    };
    assert.deepEqual(describeAll(4), ["0.0.0.0/1", "128.0.0.0/1"]);
    assert.deepEqual(describeAll(6), ["::/1", "8000::/1"]);
  });

  test("are described as ipset writes them", () => {
    const members = AddressSet.from(["10.0.0.0/8", "192.0.2.1"]);
    const set: ProgramSet = { kind: "pairs", parts: [{ members, protocol: 6, ports: [80, 443] }] };
    const four = new KernelMembers(set, 4);
    assert.deepEqual(
      [0, 1, 2, 3, 4].map((index) => four.describe(index)),
      ["10.0.0.0/8,6:80", "10.0.0.0/8,6:443", "192.0.2.1,6:80", "192.0.2.1,6:443", "member 4"],
    );
    assert.equal(new KernelMembers(set, 6).size, 0);
  });
});

describe("a comparison", () => {
  test("finds nothing in what is meant, in any order, a member seen twice included", () => {
    const random = new Random(seed);
    for (let round = 0; round < 100; round++) {
      const members = new KernelMembers(
        randomSet(random, random.pick(["peers", "pairs"])),
        random.pick([4, 6]),
      );
      const kernel = listed(members).sort(() => random.below(3) - 1);
      const { missing, extra } = compare(members, [...kernel, ...kernel.slice(0, 3)]);
      assert.deepEqual([missing, extra], [0, 0]);
    }
  });

  test("counts and names what is missing and what is too much", () => {
    const members = new KernelMembers(
      { kind: "peers", members: AddressSet.from(["10.0.0.1", "10.0.0.2", "10.1.0.0/16"]) },
      4,
    );
    const [, second, third] = listed(members) as [Listed, Listed, Listed];
    const stranger: Listed = { words: Uint32Array.of(0x0a000009), prefix: 32, protocol: 0, port: 0 };
    const comparison = compare(members, [second, stranger, { ...third, prefix: 17 }]);
    assert.deepEqual([comparison.missing, comparison.extra], [2, 2]);
    assert.deepEqual(comparison.examples(), ["+10.0.0.9", "+10.1.0.0/17", "-10.0.0.1", "-10.1.0.0/16"]);
  });

  test("an exception (nomatch) is not the member whose address it has", () => {
    const members = new KernelMembers({ kind: "peers", members: AddressSet.from(["10.0.0.0/8"]) }, 4);
    const [only] = listed(members) as [Listed];
    const comparison = compare(members, [{ ...only, exception: true }]);
    assert.deepEqual([comparison.missing, comparison.extra], [1, 1]);
    assert.deepEqual(comparison.examples(), ["+10.0.0.0/8 nomatch", "-10.0.0.0/8"]);
  });

  test("says the same whether members are read by their places or by attributes", () => {
    const random = new Random(seed);
    for (let round = 0; round < 500; round++) {
      const family = random.pick([4, 4, 4, 6] as const);
      const members = new KernelMembers(randomSet(random, random.pick(["peers", "peers", "pairs"])), family);
      const kernel = listed(members).flatMap((one): Listed[] => {
        if (random.chance(0.95)) return [one];
        const foreign = Uint32Array.from(one.words, () => random.word());
        return random.pick<Listed[]>([
          [],
          [one, one],
          [{ ...one, exception: true }],
          [{ ...one, prefix: random.between(1, 32) }],
          [{ ...one, words: foreign }],
          [{ ...one, protocol: 6, port: 80 }],
        ]);
      });
      const [places, byAttributes] = [compareRun(members, kernel), compare(members, kernel)];
      assert.deepEqual(
        [places.missing, places.extra, places.examples()],
        [byAttributes.missing, byAttributes.extra, byAttributes.examples()],
      );
    }
  });

  test("names all that differs, a stranger seen twice once, or nothing where that is too much", () => {
    const members = new KernelMembers(
      { kind: "peers", members: AddressSet.from(["10.0.0.1", "10.0.0.2"]) },
      4,
    );
    const [first] = listed(members) as [Listed];
    const stranger = (last: number): Listed => ({
      ...{ words: Uint32Array.of(0x0a000100 + last), prefix: 32, protocol: 0, port: 0 },
    });
    const kernel = [first, stranger(1), stranger(2), stranger(1)];
    const differing = compare(members, kernel, 3).differing();
    assert.deepEqual(
      [differing?.missing, differing?.extra].map((list) => list?.map(memberText)),
      [["10.0.0.2"], ["10.0.1.1", "10.0.1.2"]],
    );
    assert.equal(compare(members, kernel, 2).differing(), null, "one more than can be told");
    assert.equal(compare(members, [stranger(1), stranger(2), stranger(3)], 2).differing(), null);
    assert.equal(compare(members, [{ ...first, exception: true }], 9).differing(), null, "an exception");
    assert.equal(compare(members, [{ ...first, prefix: 33 }], 9).differing(), null, "no member");
    assert.deepEqual(compare(members, listed(members), 0).differing(), { missing: [], extra: [] });
  });

  test("says exactly what brings one content to the other, or that it cannot be said", () => {
    const random = new Random(seed);
    let [told, untold] = [0, 0];
    for (let round = 0; round < 400; round++) {
      const kind = random.pick<ProgramSet["kind"]>(["peers", "pairs"]);
      const meant = randomSet(random, kind);
      // Of several strangers, blocks of one may lie within blocks of the other.
      const others = Array.from({ length: random.between(1, 6) }, () => randomSet(random, kind));
      const found = ([4, 6] as const).map((family) => {
        const expected = new KernelMembers(meant, family);
        const kernel = [meant, ...others]
          .flatMap((set) => listed(new KernelMembers(set, family)))
          .filter(() => random.chance(0.8));
        const differing = compare(expected, kernel, 1_000).differing();
        assert.ok(differing !== null);
        const texts = new Set(kernel.map(memberText));
        return { family, expected, texts, ...differing };
      });
      const correction = setCorrection(kind, found);
      if (correction === null) {
        untold++;
        continue;
      }
      told++;
      for (const { family, expected, texts } of found) {
        for (const one of listed(new KernelMembers(correction.added, family))) {
          assert.ok(!texts.has(memberText(one)), "it is there");
          texts.add(memberText(one));
        }
        for (const one of listed(new KernelMembers(correction.removed, family)))
          assert.ok(texts.delete(memberText(one)), "it is not there");
        assert.deepEqual(texts, new Set(listed(expected).map(memberText)));
      }
    }
    assert.ok(told >= 50 && untold >= 5, `${told} told, ${untold} not`);
  });

  test("cannot say a block within another, host bits, or ports of a protocol that has none", () => {
    const one = (word: number, prefix: number, protocol = 0, port = 0): Listed => ({
      ...{ words: Uint32Array.of(word), prefix, protocol, port },
    });
    const extra = (kind: ProgramSet["kind"], ...members: Listed[]) =>
      setCorrection(kind, [{ family: 4, missing: [], extra: members }]);
    assert.notEqual(extra("peers", one(0x0a000000, 8), one(0x0b000000, 8)), null);
    assert.notEqual(extra("peers", one(0, 1), one(0x80000000, 1)), null, "everybody, in two halves");
    assert.equal(extra("peers", one(0x0a000000, 8), one(0x0a000000, 16)), null);
    assert.equal(extra("peers", one(0x0a000001, 8)), null);
    assert.equal(extra("peers", one(0x0a000000, 8, 6, 80)), null);
    assert.notEqual(extra("pairs", one(0x0a000000, 8, 6, 80), one(0x0a000000, 16, 6, 81)), null);
    assert.equal(extra("pairs", one(0x0a000000, 8, 1, 80)), null);
  });

  test("reads by places no further than the listing goes", () => {
    const members = new KernelMembers({ kind: "peers", members: AddressSet.from(["0.0.0.0/8"]) }, 4);
    const comparison = new MemberComparison(members);
    for (let length = 0; length < 64; length++) {
      for (const filling of [0, 1, 7, 8, 12, 16, 24, 255]) {
        const bytes = new Uint8Array(length).fill(filling);
        assert.equal(comparison.addPlain(new DataView(bytes.buffer), 0, length), 0);
      }
    }
  });
});
