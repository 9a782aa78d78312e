import assert from "node:assert/strict";
import { generateKeyPairSync, X509Certificate } from "node:crypto";
import { describe, test } from "node:test";
import { createSecureContext } from "node:tls";
import {
  agentCertificateSerial,
  newPairing,
  verifyAgentCertificate,
  workloadOf,
} from "@antenna/controller/internal/identity/agent-certificate.js";
import { Authority } from "@antenna/controller/internal/identity/authority.js";
import { readCertificateRequest } from "@antenna/controller/internal/identity/certificate-request.js";
import { createPairingKey, PairingKeys } from "@antenna/controller/internal/identity/pairing-keys.js";
import { PolicySigner } from "@antenna/controller/internal/identity/policy-signer.js";
import { Revocations } from "@antenna/controller/internal/identity/revocations.js";
import { makeCertificateRequest } from "@antenna/sdk/internal/protocol/identity/certificate-request.js";
import { PolicyKeyChain, proofProblem } from "@antenna/sdk/protocol";
import { Random, runSeed } from "./random.js";

const random = new Random(runSeed("controller-identity"));
const day = 86_400_000;
const start = new Date("2026-03-01T12:00:00.500Z");
const after = (days: number) => new Date(start.getTime() + days * day);

function newKey() {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { privateKey, spki: publicKey.export({ type: "spki", format: "der" }) };
}

function issue(authority: Authority, now: Date, pairing = newPairing()) {
  const { spki, privateKey } = newKey();
  const certificate = authority.issueAgent(workloadOf(spki), spki, agentCertificateSerial(pairing), now);
  return { certificate, spki, privateKey, pairing, workload: workloadOf(spki) };
}

describe("agent certificates", () => {
  test("last 24 h to the second, and renew for 90 days more", () => {
    const authority = Authority.create(start);
    const { certificate, workload, pairing } = issue(authority, start);
    const verdict = verifyAgentCertificate(certificate, authority, start, { allow: "unexpired" });
    assert.ok(verdict.kind === "accepted");
    assert.equal(verdict.identity.workload, workload);
    assert.equal(verdict.identity.pairing, pairing);
    const at = (now: Date, allow: "unexpired" | "renewable") =>
      verifyAgentCertificate(certificate, authority, now, { allow }).kind;
    const end = new Date("2026-03-02T12:00:00Z").getTime();
    assert.equal(at(new Date(end - 1), "unexpired"), "accepted");
    assert.equal(at(new Date(end), "unexpired"), "refused");
    assert.equal(at(new Date(end), "renewable"), "accepted");
    assert.equal(at(new Date(end + 90 * day - 1), "renewable"), "accepted");
    assert.equal(at(new Date(end + 90 * day), "renewable"), "refused");
    assert.equal(at(after(-1), "renewable"), "refused");
  });

  test("of another authority, with equal names or not, are refused", () => {
    const [ours, theirs] = [Authority.create(start), Authority.create(start)];
    const { certificate } = issue(theirs, start);
    const verdict = verifyAgentCertificate(certificate, ours, start, { allow: "renewable" });
    assert.deepEqual(verdict, { kind: "refused", reason: "it was not signed by this controller" });
  });

  test("a changed byte anywhere is refused, and nothing throws", () => {
    const authority = Authority.create(start);
    const { certificate } = issue(authority, start);
    for (let round = 0; round < 400; round++) {
      const mutant = Buffer.from(certificate);
      const at = random.below(mutant.length);
      mutant[at] = ((mutant[at] ?? 0) + 1 + random.below(255)) & 255;
      const cut = random.chance(0.2) ? mutant.subarray(0, random.below(mutant.length)) : mutant;
      const bytes = random.chance(0.1) ? Buffer.concat([certificate, Buffer.of(random.below(256))]) : cut;
      assert.equal(
        verifyAgentCertificate(bytes, authority, start, { allow: "renewable" }).kind,
        "refused",
        bytes.toString("hex"),
      );
    }
  });

  test("after rotations the old generations verify as long as their certificates renew, and no longer", () => {
    const first = Authority.create(start);
    const { certificate } = issue(first, start);
    const second = first.rotate(after(0.5));
    assert.ok(second !== null);
    const third = Authority.load(second.rotate(after(1))?.records() ?? []);
    assert.equal(third.roots().length, 3);
    assert.equal(
      verifyAgentCertificate(certificate, third, after(0.9), { allow: "unexpired" }).kind,
      "accepted",
    );
    assert.equal(
      verifyAgentCertificate(certificate, third, after(90), { allow: "renewable" }).kind,
      "accepted",
    );
    const later = third.rotate(after(92));
    assert.equal(later?.roots().length, 2);
    const stored = JSON.stringify(third.records().slice(0, -1));
    assert.equal(stored.includes('"privateKey":null'), true);
    assert.equal(/"privateKey":"/.test(stored), false, "a key that was replaced is gone");
  });

  test("rotation stops before the handshake grows without end", () => {
    let authority: Authority | null = Authority.create(start);
    let rotations = 0;
    for (let next = authority.rotate(start); next !== null; next = next.rotate(start)) {
      authority = next;
      rotations++;
    }
    assert.equal(rotations, 7);
    assert.equal(authority.rotate(after(92))?.roots().length, 2);
  });

  test("the chain holds the root of every fingerprint that is out, and is what TLS takes", () => {
    const first = Authority.create(start);
    const authority = first.rotate(start);
    assert.ok(authority !== null);
    const { chain, privateKey } = authority.issueServer(["controller.example", "10.0.0.1"], start);
    createSecureContext({ cert: chain, key: privateKey });
    const certificates =
      chain.match(/-----BEGIN[\s\S]*?END CERTIFICATE-----/g)?.map((pem) => new X509Certificate(pem)) ?? [];
    const [leaf] = certificates;
    assert.equal(leaf?.checkHost("antenna-controller"), "antenna-controller");
    assert.equal(leaf?.checkHost("controller.example"), "controller.example");
    assert.equal(leaf?.checkIP("10.0.0.1"), "10.0.0.1");
    const prints = certificates.map(({ fingerprint256 }) => fingerprint256.replaceAll(":", "").toLowerCase());
    for (const each of [first, authority]) assert.ok(prints.includes(each.fingerprint().toString("hex")));
    assert.equal(
      verifyAgentCertificate(leaf?.raw ?? Buffer.alloc(0), authority, start, { allow: "unexpired" }).kind,
      "refused",
      "the controller's own certificate is no agent's",
    );
  });
});

describe("certificate requests", () => {
  test("prove the key, and nothing else is taken from them", async () => {
    const { privateKey, spki } = newKey();
    const read = readCertificateRequest(await makeCertificateRequest(privateKey));
    assert.ok(read.kind === "good" && read.publicKey.equals(spki));
  });

  test("of other keys or changed ones are refused, and nothing throws", async () => {
    const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;
    const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
    for (const key of [rsa, p384]) {
      assert.equal(readCertificateRequest(await makeCertificateRequest(key)).kind, "refused");
    }
    const { privateKey, spki } = newKey();
    const request = Buffer.from(await makeCertificateRequest(privateKey));
    for (let round = 0; round < 300; round++) {
      const mutant = Buffer.from(request);
      const at = random.below(mutant.length);
      mutant[at] = ((mutant[at] ?? 0) + 1 + random.below(255)) & 255;
      const bytes = random.chance(0.2) ? mutant.subarray(0, at) : mutant;
      const read = readCertificateRequest(bytes);
      // The name of the algorithm is not signed, and not looked at.
      if (read.kind === "good") assert.ok(read.publicKey.equals(spki), bytes.toString("hex"));
    }
    assert.equal(readCertificateRequest(new Uint8Array(100_000)).kind, "refused");
  });
});

describe("pairing keys", () => {
  const options = { labels: { role: "web" }, uses: 2, ttlMs: 1000, addresses: [], delegate: [] };

  test("are stored without their secret, and checked in full", () => {
    const { record, secret } = createPairingKey(options, start);
    assert.equal(JSON.stringify(record).includes(secret.toString("hex")), false);
    const keys = new PairingKeys([record]);
    const why = (verdict: ReturnType<PairingKeys["check"]>) =>
      verdict.kind === "good" ? "good" : verdict.why;
    assert.equal(why(keys.check(record.id, secret, null, start)), "good");
    assert.equal(why(keys.check("other", secret, null, start)), "unknown");
    assert.equal(why(keys.check(record.id, secret.subarray(1), null, start)), "unknown");
    assert.equal(why(keys.check(record.id, secret, null, new Date(start.getTime() + 1000))), "expired");
    keys.put({ ...record, used: 2 });
    assert.equal(why(keys.check(record.id, secret, null, start)), "used-up");
    assert.equal(
      why(keys.check(record.id, secret, record.id, start)),
      "good",
      "who holds it takes no further use",
    );
    keys.put({ ...record, revoked: true });
    assert.equal(why(keys.check(record.id, secret, record.id, start)), "revoked");
    assert.equal(
      why(keys.check(record.id, Buffer.alloc(32), null, start)),
      "unknown",
      "nobody learns that it was revoked",
    );
  });
});

describe("revocations", () => {
  test("are kept as long as a certificate could renew", () => {
    const record = { workload: "w-1", pairing: "a", time: start.toISOString() };
    const revocations = new Revocations([record]);
    assert.equal(revocations.has("a"), true);
    const next = { ...record, pairing: "b" };
    assert.equal(revocations.with(next, after(90)).length, 2);
    assert.deepEqual(revocations.with(next, after(91.1)), [next]);
  });
});

describe("policy keys", () => {
  test("an agent that missed two rotations follows to the newest; what it has stays vouched for", () => {
    const claim = {
      workload: `w-${"1".repeat(32)}`,
      version: { epoch: 1, sequence: 7 },
      digest: `sha256:${"a".repeat(64)}`,
    };
    const first = PolicySigner.create();
    const stored = first.sign(claim);
    const pinned = PolicyKeyChain.pinned({
      current: first.told().map(({ publicKey }) => publicKey),
      retired: [],
    });
    const third = PolicySigner.load(first.rotate().rotate().records());
    const chain = pinned.follow(third.told());
    assert.equal(proofProblem(claim, third.sign(claim), chain), null);
    assert.equal(proofProblem(claim, stored, chain, { retired: true }), null);
    assert.notEqual(proofProblem(claim, stored, chain), null, "what the old key signs now is not believed");
    const stranger = PolicySigner.create().rotate();
    assert.throws(() => pinned.follow(stranger.told()));
    assert.equal(third.records().filter(({ privateKey }) => privateKey !== null).length, 1);
  });
});
