import assert from "node:assert/strict";
import { createHash, createPublicKey, verify, X509Certificate } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { type Clock, type ControllerLink, grpcLink, type LinkStatus, systemClock } from "@antenna/sdk";
import { IdentityStore } from "@antenna/sdk/internal/protocol/identity/identity-store.js";
import {
  generatePolicyKey,
  type IssuedIdentity,
  type RenewRequestMessage,
  type RenewResponseMessage,
  renewalText,
} from "@antenna/sdk/protocol";
import { MemoryLogger } from "@antenna/sdk/testing";
import { status } from "@grpc/grpc-js";
import { FakeAgent } from "./link-agent.js";
import { hour, pairHost, TestAuthority } from "./link-authority.js";
import { FakeController, fastClock, Refusal } from "./link-controller.js";

/** A controller's side of renewals that believes nothing. */
class Renewals {
  readonly #authority: TestAuthority;
  readonly #change: (issued: IssuedIdentity) => IssuedIdentity;
  readonly #nonce = Buffer.alloc(32, 9);
  #certificate: X509Certificate | null = null;
  readonly tokens: string[] = [];
  count = 0;

  constructor(authority: TestAuthority, change: (issued: IssuedIdentity) => IssuedIdentity = (same) => same) {
    this.#authority = authority;
    this.#change = change;
  }

  readonly answer = (request: RenewRequestMessage): RenewResponseMessage => {
    if (request.kind === "start") {
      this.#certificate = new X509Certificate(request.certificate);
      this.tokens.push(Buffer.from(request.token).toString());
      const own = this.#certificate.publicKey.export({ type: "spki", format: "der" });
      assert.ok(Buffer.from(request.certificateRequest).includes(own), "the request is of the same key");
      return { kind: "challenge", nonce: this.#nonce };
    }
    assert.equal(request.kind, "proof");
    const certificate = this.#certificate;
    if (certificate === null || request.kind !== "proof")
      throw new Refusal(status.UNAUTHENTICATED, "out of turn");
    const hash = createHash("sha256").update(certificate.raw).digest();
    const text = renewalText(this.#nonce, hash);
    if (!verify("sha256", text, certificate.publicKey, request.signature))
      throw new Refusal(status.UNAUTHENTICATED, "the proof is not right");
    this.count += 1;
    const certificateChain = [this.#authority.agent(certificate.publicKey).raw];
    return { kind: "renewed", ...this.#change({ certificateChain, ...this.#authority.trust }) };
  };
}

interface Lab extends AsyncDisposable {
  readonly authority: TestAuthority;
  readonly controller: FakeController;
  readonly link: ControllerLink;
  readonly stateDir: string;
  readonly renewals: Renewals;
  until(holds: (status: LinkStatus) => boolean): Promise<LinkStatus>;
}

async function lab(options: {
  readonly host?: Parameters<typeof pairHost>[2];
  readonly clock?: Clock;
  readonly authority?: TestAuthority;
  readonly change?: (issued: IssuedIdentity) => IssuedIdentity;
}): Promise<Lab> {
  const authority = options.authority ?? new TestAuthority();
  const stateDir = await mkdtemp(join(tmpdir(), "antenna-renew-"));
  await pairHost(stateDir, authority, options.host);
  const renewals = new Renewals(authority, options.change);
  const controller = await FakeController.start({ authority, onRenew: renewals.answer });
  const link = grpcLink({ controller: controller.address, stateDir, random: () => 0 });
  link.open(new FakeAgent(), { clock: options.clock ?? systemClock, logger: new MemoryLogger() });
  return {
    ...{ authority, controller, link, stateDir, renewals },
    until: (holds) =>
      new Promise((resolve) => {
        const look = (now: LinkStatus): void => {
          if (holds(now)) resolve(now);
        };
        link.onStatus(look);
        look(link.status());
      }),
    [Symbol.asyncDispose]: async () => {
      await link[Symbol.asyncDispose]();
      await controller[Symbol.asyncDispose]();
      await rm(stateDir, { recursive: true });
    },
  };
}

const expired = { notBefore: new Date(Date.now() - 30 * hour), notAfter: new Date(Date.now() - 6 * hour) };
const connected = ({ state }: LinkStatus): boolean => state === "connected";

function storedCertificate(stateDir: string): X509Certificate {
  return new X509Certificate(Buffer.from(IdentityStore.open(stateDir).identity?.certificateChain[0] ?? []));
}

describe("a certificate", () => {
  test("that has expired is renewed before the first hello", async () => {
    await using it = await lab({ host: expired });
    const { session } = await it.controller.session();
    assert.equal(it.renewals.count, 1);
    session.welcome(it.authority);
    await it.until(connected);
    assert.ok(Date.parse(storedCertificate(it.stateDir).validTo) > Date.now());
    const key = createPublicKey(IdentityStore.open(it.stateDir).privateKey());
    assert.ok(key.equals(storedCertificate(it.stateDir).publicKey));
  });

  test("that the controller calls expired is renewed, though by this host's clock it is good", async () => {
    // The clock stands at a time when the certificate was good.
    await using it = await lab({ host: expired, clock: fastClock(1, -10 * hour) });
    const first = await it.controller.session();
    assert.equal(it.renewals.count, 0);
    first.session.refuse(status.UNAUTHENTICATED, "the certificate has expired");
    const second = await it.controller.session();
    assert.equal(it.renewals.count, 1);
    second.session.welcome(it.authority);
    await it.until(connected);
  });

  test("that is due is renewed while the session stands; then a new one begins with it", async () => {
    const due = { notBefore: new Date(Date.now() - 20 * hour), notAfter: new Date(Date.now() + 4 * hour) };
    await using it = await lab({ host: due, clock: fastClock(20) });
    const { session } = await it.controller.session();
    session.welcome(it.authority, { token: Buffer.from("of this session") });
    await session.ended();
    assert.equal(it.renewals.count, 1);
    assert.deepEqual(it.renewals.tokens, ["of this session"]);
    const next = await it.controller.session();
    assert.equal(Buffer.from(next.hello.token).toString(), "of this session");
    next.session.welcome(it.authority);
    await it.until(connected);
    assert.ok(Date.parse(storedCertificate(it.stateDir).validTo) > Date.now() + 20 * hour);
  });

  test("that has expired is told from a controller that is only away, by this host's own clock", async () => {
    for (const [host, isTold] of [
      [expired, true],
      [{}, false],
    ] as const) {
      const authority = new TestAuthority();
      const stateDir = await mkdtemp(join(tmpdir(), "antenna-renew-"));
      await pairHost(stateDir, authority, host);
      const link = grpcLink({ controller: "127.0.0.1:1", stateDir });
      const down = new Promise<string>((resolve) => {
        link.onStatus(({ problems: [first] }) => {
          if (first !== undefined) resolve(first.message);
        });
      });
      link.open(new FakeAgent(), { clock: systemClock, logger: new MemoryLogger() });
      const message = await down;
      assert.match(message, /ECONNREFUSED/);
      assert.equal(/its certificate expired on/.test(message), isTold);
      await link[Symbol.asyncDispose]();
      await rm(stateDir, { recursive: true });
    }
  });

  const useless: readonly [
    string,
    (authority: TestAuthority, issued: IssuedIdentity) => IssuedIdentity,
    RegExp,
  ][] = [
    [
      "of another key",
      (authority, issued) => ({ ...issued, certificateChain: [authority.agent(authority.publicKey).raw] }),
      /another key/,
    ],
    [
      "under another root",
      (_authority, issued) => ({ ...issued, roots: [new TestAuthority("Other").root.raw] }),
      /leads to none of the roots/,
    ],
    [
      "with roots that are none",
      (authority, issued) => ({ ...issued, roots: [authority.agent(authority.publicKey).raw] }),
      /not a CA's/,
    ],
  ];
  for (const [name, change, words] of useless) {
    test(`${name} is not taken, and the old one stays`, async () => {
      const authority = new TestAuthority();
      await using it = await lab({ authority, host: expired, change: (issued) => change(authority, issued) });
      const before = storedCertificate(it.stateDir).fingerprint256;
      const now = await it.until(({ problems }) => problems.some(({ code }) => code === "link-down"));
      assert.match(now.problems.map(({ message }) => message).join("\n"), words);
      assert.equal(storedCertificate(it.stateDir).fingerprint256, before);
    });
  }

  test("roots and keys of a rotation come with a renewal; keys that nobody vouches for do not", async () => {
    const authority = new TestAuthority();
    const newer = new TestAuthority("Newer");
    const next = generatePolicyKey(authority.policyKey);
    const roots = [authority.root.raw, newer.root.raw];
    await using it = await lab({
      ...{ authority, host: expired },
      change: (issued) => ({ ...issued, roots, policyKeys: [authority.policyKey.key, next.key] }),
    });
    await it.controller.session();
    const stored = IdentityStore.open(it.stateDir).identity;
    assert.equal(stored?.roots.length, 2);
    assert.deepEqual(
      stored?.policyKeys.current.map(String),
      [authority.policyKey, next].map(({ key }) => String(key.publicKey)),
    );

    const stranger = generatePolicyKey(null);
    await using other = await lab({
      ...{ authority, host: expired },
      change: (issued) => ({ ...issued, policyKeys: [stranger.key] }),
    });
    await other.controller.session();
    assert.ok(other.link.status().problems.some(({ code }) => code === "trust-refused"));
    const kept = IdentityStore.open(other.stateDir).identity;
    assert.deepEqual(kept?.policyKeys.current.map(String), [String(authority.policyKey.key.publicKey)]);
  });
});
