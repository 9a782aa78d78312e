import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import {
  AddressSet,
  type PolicyDocument,
  parseAddress,
  parsePolicy,
  policyDigest,
  policyFrom,
  setRoot,
} from "@antenna/sdk";
import fc from "fast-check";
import { documentText, memberTexts, policyDocument } from "./policy-arbitrary.js";
import { Random, runSeed } from "./random.js";

const seed = runSeed("policy-digest");

/** The root by the letter of its description, one plain step after another. */
function plainRoot(members: Iterable<string>): string {
  const buckets: Buffer[][] = Array.from({ length: 4096 }, () => []);
  for (const member of members) {
    const [text = "", prefix] = member.split("/");
    const address = parseAddress(text);
    const bytes = Buffer.from([
      address.length === 4 ? 4 : 6,
      ...address,
      prefix === undefined ? address.length * 8 : Number(prefix),
    ]);
    let hash = 0x811c9dc5n;
    for (const byte of bytes) hash = ((hash ^ BigInt(byte)) * 0x01000193n) & 0xffffffffn;
    buckets[Number(hash % 4096n)]?.push(bytes);
  }
  const sha256 = (parts: readonly Uint8Array[]) => createHash("sha256").update(Buffer.concat(parts)).digest();
  let level = buckets.map((bucket) => sha256(bucket.sort(Buffer.compare)));
  while (level.length > 1) {
    level = Array.from({ length: level.length / 16 }, (_, node) =>
      sha256(level.slice(node * 16, node * 16 + 16)),
    );
  }
  return Buffer.concat(level).toString("hex");
}

const hex = (root: Uint8Array) => Buffer.from(root).toString("hex");

function randomSet(random: Random, size: number): AddressSet {
  const builder = AddressSet.builder();
  for (let i = 0; i < size; i++) {
    if (random.chance(0.8)) builder.add4(random.word() >>> 4);
    else builder.add6(0xfd000000, random.word(), 0, random.word());
  }
  return builder.build();
}

describe("the root of a set", () => {
  test("is what its description says", () => {
    fc.assert(
      fc.property(memberTexts, (texts) => {
        const set = AddressSet.from(texts);
        assert.equal(hex(setRoot(set)), plainRoot(set.strings()));
      }),
      { seed, numRuns: 30 },
    );
    const large = randomSet(new Random(seed), 20_000);
    assert.equal(hex(setRoot(large)), plainRoot(large.strings()));
  });

  test("grown from another set's is the same as made anew", () => {
    const random = new Random(seed);
    let set = randomSet(random, 5_000);
    setRoot(set);
    for (let i = 0; i < 40; i++) {
      const added = randomSet(random, random.below(i === 20 ? 3_000 : 4));
      const members = [...set.strings()];
      const removed = AddressSet.from(random.picks(random.below(i === 30 ? 4_900 : 4), members));
      const next = set.with(added, removed);
      const grown = hex(setRoot(next, set));
      assert.equal(grown, hex(setRoot(AddressSet.from(next.strings()))));
      set = next;
    }
  });
});

describe("the digest of a policy", () => {
  test("does not depend on order, repetition or the form of what is written", () => {
    const shuffled = (random: Random, document: PolicyDocument): PolicyDocument => {
      const shuffle = <T>(items: readonly T[]) =>
        [...items]
          .map((item) => [random.word(), item] as const)
          .sort(([a], [b]) => a - b)
          .map(([, item]) => item);
      const entries = Object.entries({
        ...document,
        version: "3.3",
        sets: new Map(
          shuffle([...(document.sets as ReadonlyMap<string, string[]>)]).map(([name, members]) => [
            name,
            shuffle([...members, ...members]),
          ]),
        ),
        rules: (document.rules ?? []).map((rule) => ({
          ...rule,
          peers: shuffle([...rule.peers, ...rule.peers]),
          ...(rule.services === undefined ? {} : { services: shuffle([...rule.services, ...rule.services]) }),
        })),
        enforce: shuffle([...(document.enforce ?? []), ...(document.enforce ?? [])]),
      });
      return Object.fromEntries(shuffle(entries)) as unknown as PolicyDocument;
    };
    fc.assert(
      fc.property(policyDocument, fc.nat(), (document, salt) => {
        const again = shuffled(new Random(salt), document);
        assert.equal(policyDigest(policyFrom(again)), policyDigest(parsePolicy(documentText(document))));
      }),
      { seed, numRuns: 200 },
    );
  });

  test("changes with everything but the version", () => {
    const base = {
      mode: "full",
      sets: { a: ["10.0.0.1"], b: [] },
      rules: [
        {
          id: "r",
          direction: "in",
          action: "allow",
          peers: ["a"],
          services: [{ protocol: "tcp", ports: [80] }],
        },
        { id: "s", direction: "out", action: "deny", peers: ["any"] },
      ],
      enforce: [{ protocol: "tcp", ports: [22] }],
      identities: { "10.0.0.1": "x" },
    };
    const [r, s] = base.rules;
    const others: readonly object[] = [
      { mode: "selective" },
      { visibility: "enhanced" },
      { reject: true },
      { sets: { a: ["10.0.0.2"], b: [] } },
      { sets: { a: [], b: ["10.0.0.1"] } },
      { sets: { a: ["10.0.0.1"] } },
      { rules: [s, r] },
      { rules: [r] },
      { rules: [{ ...r, id: "q" }, s] },
      { rules: [{ ...r, direction: "out" }, s] },
      { rules: [{ ...r, action: "deny" }, s] },
      { rules: [{ ...r, secure: true }, s] },
      { rules: [{ ...r, peers: ["b"] }, s] },
      { rules: [{ ...r, services: [{ protocol: "tcp" }] }, s] },
      { rules: [{ ...r, services: [{ protocol: "tcp", ports: ["80-81"] }] }, s] },
      { rules: [{ ...r, services: [{ protocol: "icmp", type: 0 }] }, s] },
      { rules: [{ ...r, services: [{ protocol: "icmp", type: 0, code: 0 }] }, s] },
      { enforce: [] },
      { identities: { "10.0.0.1": "y" } },
      { identities: {} },
    ];
    const digest = (document: object) => policyDigest(parsePolicy(JSON.stringify(document)));
    const digests = [base, ...others.map((other) => ({ ...base, ...other }))].map(digest);
    assert.equal(new Set(digests).size, digests.length);
    assert.equal(digest({ ...base, version: 7 }), digests[0]);
    assert.match(digests[0] ?? "", /^sha256:[0-9a-f]{64}$/);
  });

  test("is the SHA-256 of the canonical JSON, written out", () => {
    const policy = parsePolicy(
      '{"mode":"full","sets":{"é\\"":["10.0.0.1"]},"rules":[{"id":"/\\\\","direction":"in","action":"allow","peers":["é\\""],"services":[{"protocol":"tcp","ports":[80,"90-91"]},{"protocol":"icmp","type":3,"code":1}]}]}',
    );
    const root = plainRoot(["10.0.0.1"]);
    const canonical = `{"enforce":[],"identities":{},"mode":"full","reject":false,"rules":[{"action":"allow","direction":"in","id":"/\\\\","peers":["é\\""],"secure":false,"services":[{"code":1,"protocol":1,"type":3},{"ports":[80,"90-91"],"protocol":6}]}],"sets":{"é\\"":"${root}"},"visibility":"blocked+allowed"}`;
    assert.equal(policyDigest(policy), `sha256:${createHash("sha256").update(canonical).digest("hex")}`);
  });
});

interface Vectors {
  readonly sets: readonly {
    readonly name: string;
    readonly members: readonly string[];
    readonly root: string;
  }[];
  readonly policies: readonly {
    readonly name: string;
    readonly document: PolicyDocument;
    readonly digest: string;
  }[];
}

describe("the published vectors", () => {
  const file = fileURLToPath(import.meta.resolve("@antenna/sdk")).replace(
    /dist\/index\.js$/,
    "vectors/policy-digest.json",
  );
  const vectors = JSON.parse(readFileSync(file, "utf8")) as Vectors;

  for (const { name, members, root } of vectors.sets) {
    test(`set: ${name}`, () => {
      const set = AddressSet.from(members);
      assert.equal(hex(setRoot(set)), root);
      assert.equal(plainRoot(set.strings()), root);
    });
  }

  for (const { name, document, digest } of vectors.policies) {
    test(`policy: ${name}`, () => assert.equal(policyDigest(policyFrom(document)), digest));
  }
});
