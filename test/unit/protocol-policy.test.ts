import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  AddressSet,
  AntennaError,
  applyDelta,
  type Policy,
  type PolicyDelta,
  parsePolicy,
  policyDelta,
  policyDigest,
  policyLimits,
} from "@antenna/sdk";
import {
  type AssembledPolicy,
  assemblePart,
  decodeSessionResponse,
  encodeSessionResponse,
  type PackedChange,
  PolicyAssembler,
  type PolicyHeader,
  type PolicyPart,
  type PolicySeal,
  policyPart,
  policyParts,
} from "@antenna/sdk/protocol";
import fc from "fast-check";
import { documentText, policyDocument } from "./policy-arbitrary.js";
import { runSeed } from "./random.js";

const seed = runSeed("protocol-policy");
const version = { epoch: 2, sequence: 9 };
const base = parsePolicy(
  '{"version":"2.9","mode":"full","sets":{"web":["10.0.0.1","10.1.0.0/16","fd00::1"],"none":[]},"rules":[{"id":"r","direction":"in","action":"allow","peers":["web"]}]}',
);

function sealOf(policy: Policy, rest: Partial<PolicySeal> = {}): PolicySeal {
  return {
    version,
    digest: policyDigest(policy),
    proof: new Uint8Array(80).fill(7),
    probation: true,
    ...rest,
  };
}

/** Over the wire, part by part. */
function sent(content: Policy | PolicyDelta, seal: PolicySeal, maxBytes?: number): AssembledPolicy {
  const assembler = new PolicyAssembler();
  for (const part of policyParts(content, seal, maxBytes)) {
    const bytes = encodeSessionResponse({ kind: "policy", part });
    const isHeaderAlone = part.header !== null && part.changes.length === 0;
    if (maxBytes !== undefined && !isHeaderAlone)
      assert.ok(bytes.length <= maxBytes, `${bytes.length} bytes`);
    const assembled = assembler.push(received(bytes));
    // What was taken in does not hold on to the message.
    bytes.fill(0xff);
    assert.equal(assembled !== null, part.last);
    if (assembled !== null) return assembled;
  }
  throw new Error("there was no last part");
}

function received(bytes: Uint8Array): PolicyPart {
  const message = decodeSessionResponse(bytes);
  assert.equal(message.kind, "policy");
  if (message.kind !== "policy") throw new Error("no policy");
  return message.part;
}

function problemsOf(act: () => unknown): string {
  try {
    act();
    return "";
  } catch (reason) {
    if (!(reason instanceof AntennaError) || reason.code !== "input-refused") throw reason;
    return reason.problems.map(({ path, problem }) => `${path}: ${problem}`).join("\n");
  }
}

const partBytes = fc.oneof(fc.integer({ min: 300, max: 800 }), fc.constantFrom(1_000, 4_096, 262_144));

describe("a policy in parts", () => {
  test("arrives as the one that was read from its document, whatever the size of the parts", () => {
    fc.assert(
      fc.property(policyDocument, partBytes, (document, maxBytes) => {
        const policy = { ...parsePolicy(documentText(document)), version };
        const { header, content } = sent(policy, sealOf(policy), maxBytes);
        assert.deepEqual(content, policy);
        assert.deepEqual([...(content as Policy).sets.keys()], [...policy.sets.keys()]);
        assert.equal(header.digest, policyDigest(parsePolicy(documentText(document))));
        assert.deepEqual([header.version, header.probation, header.proof.length], [version, true, 80]);
      }),
      { seed, numRuns: 300 },
    );
  });

  test("arrives as a delta that makes of one policy any other", () => {
    fc.assert(
      fc.property(policyDocument, policyDocument, partBytes, (one, other, maxBytes) => {
        const before = parsePolicy(documentText(one));
        const after = { ...parsePolicy(documentText(other)), version };
        const { content } = sent(policyDelta(before, after), sealOf(after), maxBytes);
        assert.ok("base" in content);
        const applied = applyDelta(before, content);
        assert.deepEqual(applied, after);
        assert.equal(policyDigest(applied), policyDigest(after));
      }),
      { seed, numRuns: 300 },
    );
  });

  test("is one part for a preview, without a signature", () => {
    const seal = sealOf(base, { proof: new Uint8Array(0), probation: false });
    const bytes = encodeSessionResponse({
      kind: "preview",
      id: 3,
      part: policyPart(base, seal),
      examples: 20,
    });
    const message = decodeSessionResponse(bytes);
    assert.ok(message.kind === "preview");
    assert.deepEqual(assemblePart(message.part).content, base);
    assert.match(
      problemsOf(() => assemblePart({ ...message.part, last: false })),
      /^last: is not set/,
    );
  });

  test("is refused before anything is sent when its rules alone are more than an agent takes", () => {
    const peers = Array.from({ length: 40_000 }, (_, index) => `${"x".repeat(120)}${index}`);
    const [rule] = base.rules;
    const policy = { ...base, rules: rule === undefined ? [] : [{ ...rule, peers }] };
    const parts = policyParts(policy, sealOf(base));
    assert.match(
      problemsOf(() => parts.next()),
      /^rules: rules, enforced services and identities take \d+ bytes/,
    );
  });

  test("is made as it is asked for: a receiver that stops takes no more", () => {
    const parts = policyParts(base, sealOf(base), 300);
    assert.ok(parts.next().value?.header);
    parts.return();
    assert.equal(parts.next().done, true);
  });
});

const noBytes = new Uint8Array(0);
const empty = { added4: noBytes, added6: noBytes, removed4: noBytes, removed6: noBytes };

function change(name: string, lists: Partial<PackedChange> = {}): PackedChange {
  return { name, ...empty, ...lists };
}

function block(...bytes: number[]): Uint8Array {
  return Uint8Array.from(bytes);
}

const [header] = [...policyParts(base, sealOf(base))].map((part) => part.header) as [PolicyHeader];

/** With a header and the changes given, as one part. */
function whole(changes: readonly PackedChange[], rest: Partial<PolicyHeader> = {}): PolicyPart {
  return { header: { ...header, ...rest }, changes, last: true };
}

describe("refused", () => {
  const delta = { base: header.digest, rest: null };
  const address = [10, 0, 0, 1, 32];
  const cases: readonly (readonly [string, PolicyPart, RegExp])[] = [
    ["a part without a beginning", { header: null, changes: [], last: true }, /^header: is missing/],
    ["a whole policy without its rest", whole([], { rest: null }), /^header\.rest: is missing/],
    ["a whole policy that removes sets", whole([], { removedSets: ["web"] }), /^header\.removedSets/],
    [
      "a whole policy that removes members",
      whole([change("web", { removed4: block(...address) })]),
      /deltas only/,
    ],
    [
      "half a block",
      whole([change("web", { added4: block(10, 0, 0, 1) })]),
      /added4: is 4 bytes long, .* multiple of 5/,
    ],
    ["a prefix over 32", whole([change("web", { added4: block(10, 0, 0, 1, 33) })]), /prefix length of 33/],
    [
      "a prefix over 128",
      whole([change("web", { added6: Buffer.concat([Buffer.alloc(16, 1), block(129)]) })]),
      /prefix length of 129/,
    ],
    [
      "host bits",
      whole([change("web", { added4: block(10, 0, 0, 1, 24) })]),
      /10\.0\.0\.1\/24 has host bits set/,
    ],
    [
      "a block twice",
      whole([change("web", { added4: block(...address, ...address) })]),
      /lies in the block before it, or is the same/,
    ],
    [
      "a block in another",
      whole([change("web", { added4: block(10, 0, 0, 0, 8, ...address) })]),
      /lies in the block before it/,
    ],
    [
      "blocks out of order",
      whole([change("web", { added4: block(10, 0, 0, 2, 32, ...address) })]),
      /10\.0\.0\.1 is out of order/,
    ],
    ["multicast", whole([change("web", { added4: block(224, 0, 0, 1, 32) })]), /multicast/],
    [
      "the unspecified address",
      whole([change("web", { added6: Buffer.concat([Buffer.alloc(16), block(128)]) })]),
      /unspecified/,
    ],
    [
      "a mapped address",
      whole([change("web", { added6: block(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1, 128) })]),
      /IPv4-mapped/,
    ],
    ["a set named any", whole([change("any")]), /changes\[0\]\.name: the name of a set is built in/],
    ["a set without a name", whole([change("")]), /the name of a set is empty/],
    [
      "a set that comes back",
      whole([change("a"), change("b"), change("a")]),
      /changes\[2\]\.name: "a" comes back/,
    ],
    ["a rule of a set that is not there", whole([]), /rules\[0\]\.peers\[0\]: there is no set "web"/],
    [
      "another content than its digest",
      whole([change("web", { added4: block(...address) })]),
      /^header\.digest: is sha256:.*, but the policy that came has sha256:/,
    ],
    [
      "in a delta: half a block to remove",
      whole([change("web", { removed4: block(1) })], delta),
      /removed4: is 1 bytes long/,
    ],
    [
      "in a delta: multicast to add",
      whole([change("web", { added4: block(224, 0, 0, 1, 32) })], delta),
      /multicast/,
    ],
  ];
  for (const [name, part, expected] of cases) {
    test(name, () =>
      assert.match(
        problemsOf(() => new PolicyAssembler().push(part)),
        expected,
      ),
    );
  }

  test("order is kept from one part of a set to the next", () => {
    const assembler = new PolicyAssembler();
    const first = { header, changes: [change("web", { added4: block(10, 0, 0, 0, 8) })], last: false };
    const second = { header: null, changes: [change("web", { added4: block(10, 0, 0, 1, 32) })], last: true };
    assert.equal(assembler.push(first), null);
    assert.match(
      problemsOf(() => assembler.push(second)),
      /lies in the block before it/,
    );
  });

  test("more members than a policy may have, before they are taken in", () => {
    const assembler = new PolicyAssembler();
    const many = new Uint8Array(5 * (policyLimits.members / 4));
    for (let i = 0, at = 0; at < many.length; i++, at += 5)
      many.set([10, (i >>> 16) & 255, (i >>> 8) & 255, i & 255, 32], at);
    assembler.push({ header, changes: [], last: false });
    for (const name of ["a", "b", "c", "d"])
      assert.equal(
        assembler.push({ header: null, changes: [change(name, { added4: many })], last: false }),
        null,
      );
    const one = { header: null, changes: [change("e", { added4: block(10, 0, 0, 1, 32) })], last: false };
    assert.match(
      problemsOf(() => assembler.push(one)),
      /more than 1048576 members/,
    );
  });

  test("parts that say nothing, which could come for ever", () => {
    const assembler = new PolicyAssembler();
    assembler.push({ header, changes: [], last: false });
    assert.match(
      problemsOf(() => assembler.push({ header: null, changes: [], last: false })),
      /^changes: is empty/,
    );
  });

  test("a header before the last part of the policy before it", () => {
    const assembler = new PolicyAssembler();
    assembler.push({ header, changes: [], last: false });
    assert.match(
      problemsOf(() => assembler.push({ header, changes: [], last: false })),
      /comes before the last part/,
    );
  });

  test("by whoever admits, before anything is taken in", () => {
    const assembler = new PolicyAssembler({
      admit: ({ version: offered }) => {
        throw new RangeError(`not ${offered.sequence}`);
      },
    });
    assert.throws(() => assembler.push(whole([change("any")])), new RangeError("not 9"));
  });
});

test("after a refusal the rest of that policy is passed over, and the next one arrives", () => {
  const parts = [...policyParts(base, sealOf(base), 300)];
  assert.ok(parts.length > 1);
  const assembler = new PolicyAssembler();
  const bad = { header: { ...header, rest: null }, changes: [], last: false };
  assert.match(
    problemsOf(() => assembler.push(bad)),
    /header\.rest/,
  );
  assert.equal(assembler.isTaking, true);
  assert.equal(assembler.push({ header: null, changes: [change("any")], last: false }), null);
  assert.equal(assembler.push({ header: null, changes: [], last: true }), null);
  assert.equal(assembler.isTaking, false);
  const arrived = parts.map((part) => assembler.push(part)).at(-1);
  assert.deepEqual(arrived?.content, base);
});

test("reordered, repeated and missing parts of real policies make no other policy", () => {
  const text = (members: readonly string[]) =>
    JSON.stringify({ mode: "full", sets: { a: members, b: ["10.9.9.9"] } });
  const members = Array.from({ length: 200 }, (_, i) => `10.0.${i >> 4}.${(i & 15) * 16}`);
  const policy = { ...parsePolicy(text(members)), version };
  const parts = [...policyParts(policy, sealOf(policy), 400)];
  assert.ok(parts.length > 3);
  fc.assert(
    fc.property(fc.array(fc.nat({ max: parts.length - 1 }), { maxLength: parts.length + 2 }), (order) => {
      const assembler = new PolicyAssembler();
      for (const index of order) {
        try {
          const assembled = assembler.push(parts[index] as PolicyPart);
          if (assembled !== null) assert.deepEqual(assembled.content, policy);
        } catch (reason) {
          if (!(reason instanceof AntennaError)) throw reason;
          assert.equal(reason.code, "input-refused");
        }
      }
    }),
    { seed, numRuns: 500 },
  );
});

test("a set that a delta makes and leaves empty is made", () => {
  const after = { ...base, version, sets: new Map([...base.sets, ["new", AddressSet.empty]]) };
  const { content } = sent(policyDelta(base, after), sealOf(after), 300);
  assert.ok("base" in content);
  assert.equal(applyDelta(base, content).sets.get("new")?.size, 0);
});
