import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { KernelMembers } from "@antenna/netfilter/internal/ipset/kernel-members.js";
import { MemberComparison } from "@antenna/netfilter/internal/ipset/member-comparison.js";
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

function compare(expected: KernelMembers, kernel: Iterable<Listed>): MemberComparison {
  const comparison = new MemberComparison(expected);
  const address = new AttributeReader();
  for (const one of kernel) comparison.add(attributes(expected.family, one), address);
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
});
