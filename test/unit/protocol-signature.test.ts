import assert from "node:assert/strict";
import { createPrivateKey, generateKeyPairSync, sign } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import {
  AntennaError,
  admitVersion,
  type Policy,
  parsePolicy,
  parseVersion,
  policyDigest,
} from "@antenna/sdk";
import {
  decodeSessionResponse,
  encodeSessionResponse,
  generatePolicyKey,
  PolicyAssembler,
  type PolicyClaim,
  type PolicyHeader,
  type PolicyKey,
  PolicyKeyChain,
  type PolicySigningKey,
  policyKeyId,
  policyParts,
  policySigningKey,
  proofProblem,
  renewalText,
  signPolicy,
  verifyPolicy,
} from "@antenna/sdk/protocol";
import fc from "fast-check";
import { documentText, policyDocument } from "./policy-arbitrary.js";
import { runSeed } from "./random.js";

const seed = runSeed("protocol-signature");

const [mine, other] = [`w-${"1".repeat(32)}`, `w-${"2".repeat(32)}`];
const signer = generatePolicyKey(null);
const thief = generatePolicyKey(null);
const keys = PolicyKeyChain.pinned({ current: [signer.key.publicKey], retired: [] });
const digest = `sha256:${"ab".repeat(32)}`;
const claim: PolicyClaim = { workload: mine, version: { epoch: 1, sequence: 5 }, digest };
const proof = signPolicy(claim, signer);

function refusalOf(act: () => unknown): string {
  try {
    act();
    return "";
  } catch (reason) {
    if (!(reason instanceof AntennaError)) throw reason;
    return `${reason.code} ${reason.message}`;
  }
}

describe("the proof of a policy", () => {
  test("is the signature that the protocol describes", () => {
    const text = Buffer.concat([
      Buffer.from(`antenna policy v1\0${mine}\0`),
      Buffer.of(0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5),
      Buffer.alloc(32, 0xab),
    ]);
    const expected = Buffer.concat([policyKeyId(signer.key.publicKey), sign(null, text, signer.privateKey)]);
    assert.deepEqual(Buffer.from(proof), expected);
    assert.equal(proof.length, 80);
    assert.equal(verifyPolicy(claim, proof, keys), true);
  });

  const wrong: readonly (readonly [string, PolicyClaim, Uint8Array, RegExp])[] = [
    ["another workload", { ...claim, workload: other }, proof, /not of this workload, version and content/],
    ["a higher version", { ...claim, version: { epoch: 1, sequence: 6 } }, proof, /not of this workload/],
    ["a higher epoch", { ...claim, version: { epoch: 2, sequence: 5 } }, proof, /not of this workload/],
    ["another content", { ...claim, digest: `sha256:${"ac".repeat(32)}` }, proof, /not of this workload/],
    ["no signature", claim, new Uint8Array(0), /is not signed/],
    ["a cut signature", claim, proof.subarray(0, 79), /79 bytes long/],
    [
      "a key that nobody pinned",
      claim,
      signPolicy(claim, thief),
      /key that signed the policy is not trusted/,
    ],
    [
      "a pinned key's id over another's signature",
      claim,
      Buffer.concat([proof.subarray(0, 16), signPolicy(claim, thief).subarray(16)]),
      /not of this workload/,
    ],
    ["a digest that is none", { ...claim, digest: "sha256:" }, proof, /no digest or version/],
    [
      "a version that is none",
      { ...claim, version: { epoch: 1, sequence: -1 } },
      proof,
      /no digest or version/,
    ],
    [
      "a workload that borrows from the version",
      { ...claim, workload: `${mine}\0` },
      proof,
      /not of this workload/,
    ],
  ];
  for (const [name, claimed, shown, expected] of wrong) {
    test(`does not hold for ${name}`, () => assert.match(proofProblem(claimed, shown, keys) ?? "", expected));
  }

  test("does not survive the change of any bit", () => {
    fc.assert(
      fc.property(fc.nat({ max: proof.length * 8 - 1 }), (bit) => {
        const changed = Uint8Array.from(proof);
        changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
        assert.equal(verifyPolicy(claim, changed, keys), false);
      }),
      { seed, numRuns: 300 },
    );
  });
});

/** An agent that trusts `keys` and has accepted `floor`. */
function agent(workload: string, floor: PolicyClaim | null): PolicyAssembler {
  return new PolicyAssembler({
    admit(header: PolicyHeader) {
      const { version, digest: offered } = header;
      const problem = proofProblem({ workload, version, digest: offered }, header.proof, keys);
      if (problem !== null) throw new RangeError(problem);
      admitVersion(version, offered, floor);
    },
  });
}

function messages(policy: Policy, claimed: PolicyClaim, shown: Uint8Array): Uint8Array[] {
  const seal = { version: claimed.version, digest: claimed.digest, proof: shown, probation: false };
  return Array.from(policyParts(policy, seal, 2_000), (part) =>
    encodeSessionResponse({ kind: "policy", part }),
  );
}

/** The policy that the agent takes in; null: it refused. */
function taken(assembler: PolicyAssembler, parts: readonly Uint8Array[]): unknown {
  try {
    for (const bytes of parts) {
      const message = decodeSessionResponse(bytes);
      const assembled = message.kind === "policy" ? assembler.push(message.part) : null;
      if (assembled !== null) return assembled.content;
    }
  } catch (reason) {
    if (!(reason instanceof AntennaError) && !(reason instanceof RangeError)) throw reason;
  }
  return null;
}

test("of policies that were signed, only the one for this workload, higher and whole, comes in", () => {
  fc.assert(
    fc.property(policyDocument, policyDocument, fc.integer({ min: 0, max: 400 }), (one, two, at) => {
      const version = { epoch: 1, sequence: 5 };
      const policy = { ...parsePolicy(documentText(one)), version };
      const good = { workload: mine, version, digest: policyDigest(policy) };
      const signed = signPolicy(good, signer);
      const parts = messages(policy, good, signed);
      assert.deepEqual(taken(agent(mine, null), parts), policy);
      assert.equal(taken(agent(other, null), parts), null, "re-targeted");
      const accepted = { workload: mine, version: { epoch: 1, sequence: 6 }, digest };
      assert.equal(taken(agent(mine, accepted), parts), null, "replayed");
      const higher = { ...good, version: { epoch: 1, sequence: 7 } };
      const raised = { ...policy, version: higher.version };
      assert.equal(
        taken(agent(mine, accepted), messages(raised, higher, signed)),
        null,
        "replayed as higher",
      );
      assert.equal(
        taken(agent(mine, null), messages(policy, good, signPolicy(good, thief))),
        null,
        "re-signed",
      );
      const forged = { ...parsePolicy(documentText(two)), version };
      if (policyDigest(forged) !== good.digest)
        assert.equal(taken(agent(mine, null), messages(forged, good, signed)), null, "forged");
      const last = parts.at(-1) as Uint8Array;
      const cut = [...parts.slice(0, -1), last.subarray(0, Math.min(at, last.length - 1))];
      const truncated = taken(agent(mine, null), cut);
      assert.ok(truncated === null, "truncated");
    }),
    { seed, numRuns: 200 },
  );
});

test("a real policy with any bit changed is refused, or is the same policy", () => {
  const policy = parsePolicy(
    '{"version":"1.5","mode":"full","sets":{"web":["10.0.0.1","10.0.0.3","fd00::1"]},"rules":[{"id":"r","direction":"in","action":"allow","peers":["web"],"services":[{"protocol":"tcp","ports":[80]}]}],"identities":{"10.0.0.1":"db"}}',
  );
  const good = { ...claim, digest: policyDigest(policy) };
  const [bytes] = messages(policy, good, signPolicy(good, signer)) as [Uint8Array];
  let refused = 0;
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const changed = Uint8Array.from(bytes);
    changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
    const content = taken(agent(mine, null), [changed]);
    if (content === null) refused++;
    else assert.deepEqual(content, policy, `bit ${bit}`);
  }
  assert.ok(refused > bytes.length * 7);
});

describe("the chain of policy keys", () => {
  const second = generatePolicyKey(signer);
  const third = generatePolicyKey(second);

  test("follows keys that a trusted one vouches for, over several rotations at once", () => {
    const chain = keys.follow([signer.key, second.key, third.key]);
    assert.equal(verifyPolicy(claim, signPolicy(claim, third), chain), true);
    assert.equal(verifyPolicy(claim, signPolicy(claim, third), keys), false);
    const late = keys.follow([second.key, third.key]);
    assert.equal(verifyPolicy(claim, signPolicy(claim, third), late), true);
  });

  test("stays the same when nothing is new, and survives being stored", () => {
    const chain = keys.follow([signer.key, second.key]);
    assert.equal(chain.follow([signer.key, second.key]), chain);
    const stored = PolicyKeyChain.pinned(structuredClone(chain.pins));
    assert.deepEqual(stored.pins, chain.pins);
    assert.equal(verifyPolicy(claim, signPolicy(claim, second), stored), true);
  });

  test("keys that are told no more retire: they vouch for what is stored, for no offer and no key", () => {
    const chain = keys.follow([signer.key, second.key]).follow([second.key]);
    assert.equal(verifyPolicy(claim, proof, chain), false);
    assert.equal(verifyPolicy(claim, proof, chain, { retired: true }), true);
    const usurper = generatePolicyKey(signer);
    assert.match(
      refusalOf(() => chain.follow([second.key, usurper.key])),
      /input-refused .*vouches for it is not trusted/,
    );
  });

  const cases: readonly (readonly [string, readonly PolicyKey[], RegExp])[] = [
    ["no keys", [], /policyKeys is empty/],
    ["a key out of nowhere", [thief.key], /no key vouches for it/],
    [
      "a key that an unknown one vouches for",
      [generatePolicyKey(thief).key],
      /vouches for it is not trusted/,
    ],
    ["a key before the one that vouches for it", [third.key, second.key], /policyKeys\[0\].*not trusted/],
    ["an id that is not the key's own", [{ ...thief.key, id: signer.key.id }], /an id that is not its own/],
    [
      "a signature over another key",
      [{ ...thief.key, vouched: second.key.vouched }],
      /signature of the key before it is not right/,
    ],
    ["a trusted key and one out of nowhere", [signer.key, thief.key], /policyKeys\[1\]/],
  ];
  for (const [name, told, expected] of cases) {
    test(`does not follow ${name}`, () =>
      assert.match(
        refusalOf(() => keys.follow(told)),
        expected,
      ));
  }

  test("signing keys come back from their stored form", () => {
    const pem = second.privateKey.export({ type: "pkcs8", format: "pem" });
    assert.deepEqual(policySigningKey(String(pem), signer).key, second.key);
    assert.deepEqual(policySigningKey(createPrivateKey(pem), null).key.vouched, null);
    assert.throws(() => policySigningKey(generateKeyPairSync("x25519").privateKey, null), TypeError);
  });
});

test("what is signed for one purpose is nothing for another", () => {
  const text = Buffer.from(renewalText(new Uint8Array(32), new Uint8Array(32)));
  assert.equal(text.toString("latin1", 0, 17), "antenna renew v1\0");
  assert.equal(text.length, 17 + 64);
});

interface Vectors {
  readonly keys: readonly Readonly<Record<"seed" | "id" | "publicKey" | "signedBy" | "signature", string>>[];
  readonly policies: readonly Readonly<
    Record<"key" | "workload" | "version" | "digest" | "signature", string>
  >[];
}

test("the published vectors", () => {
  const file = join(
    dirname(createRequire(import.meta.url).resolve("@antenna/sdk")),
    "..",
    "vectors/policy-signature.json",
  );
  const vectors = JSON.parse(readFileSync(file, "utf8")) as Vectors;
  const made = new Map<string, PolicySigningKey>();
  for (const { seed: secret, id, publicKey, signedBy, signature } of vectors.keys) {
    // PrivateKeyInfo of an Ed25519 seed (RFC 8410, 7).
    const der = Buffer.from(`302e020100300506032b657004220420${secret}`, "hex");
    const key = policySigningKey(
      createPrivateKey({ key: der, format: "der", type: "pkcs8" }),
      made.get(signedBy) ?? null,
    );
    const { vouched } = key.key;
    assert.deepEqual(
      [key.key.id, key.key.publicKey, vouched?.by ?? "", vouched?.signature ?? ""].map(inHex),
      [id, publicKey, signedBy, signature],
    );
    made.set(id, key);
  }
  for (const { key, workload, version, digest: content, signature } of vectors.policies) {
    const signing = made.get(key);
    assert.ok(signing);
    const shown = signPolicy({ workload, version: parseVersion(version), digest: content }, signing);
    assert.equal(inHex(shown), key + signature);
  }
});

function inHex(bytes: Uint8Array | string): string {
  return Buffer.from(bytes).toString("hex");
}
