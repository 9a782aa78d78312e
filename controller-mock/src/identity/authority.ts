import {
  createHash,
  createPrivateKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  X509Certificate,
} from "node:crypto";
import type { AuthorityRecord } from "../store-port.js";
import { issueCertificate } from "./certificate.js";

const second = 1000;
const day = 86_400 * second;
/** The name that agents expect, whatever the controller's address. */
export const controllerName = "antenna-controller";
export const agentLifetimeMs = day;
/** How long after its end a certificate still renews. */
export const renewalGraceMs = 90 * day;
/** A generation that was replaced verifies as long as its last certificate renews. */
const retentionMs = renewalGraceMs + agentLifetimeMs;
const rootLifetimeMs = 3650 * day;
const serverLifetimeMs = 30 * day;
/** Certificates begin a little early: a clock that is slow by less still accepts them. */
const authoritySkewMs = day;
/** Each generation costs two certificates in every handshake. */
const mostGenerations = 8;

/** A generation of the authority, ready for use. */
interface Generation {
  readonly record: AuthorityRecord;
  readonly root: X509Certificate;
  readonly publicKey: KeyObject;
  /** null: replaced. */
  readonly privateKey: KeyObject | null;
  readonly subject: string;
}

export interface RootDescription {
  /** SHA-256 of the self-signed root (DER), as in pairing keys. */
  readonly fingerprint: string;
  readonly created: string;
  readonly expires: string;
  /** Until when a root that was replaced still verifies renewals; null: the newest. */
  readonly retained: string | null;
}

/** What TLS needs to be the controller. */
export interface ServerIdentity {
  /** PEM: the leaf, then every cross-signed root, newest first, then every root: each agent finds the one it knows. */
  readonly chain: string;
  /** PEM, PKCS #8. */
  readonly privateKey: string;
  readonly notAfter: Date;
}

/**
 * The controller's certificate authority, immutable: P-256, the newest generation signs, those it replaced verify until
 * their last certificate can't be renewed any more (90 days and 24 h).
 */
export class Authority {
  readonly #generations: readonly Generation[];

  private constructor(generations: readonly Generation[]) {
    this.#generations = generations;
  }

  /** A first generation, which nobody knows yet. */
  static create(now: Date): Authority {
    return new Authority([createGeneration(now, null)]);
  }

  /** From what was stored; records are oldest first, and at least one. */
  static load(records: readonly AuthorityRecord[]): Authority {
    return new Authority(records.map(loadGeneration));
  }

  /** What is to be stored before anything is signed. */
  records(): readonly AuthorityRecord[] {
    return this.#generations.map(({ record }) => record);
  }

  /**
   * The authority with one more generation, which the one before vouches for, and without those that nobody needs any more.
   * null: too many are still needed.
   */
  rotate(now: Date): Authority | null {
    const newest = this.#newest();
    const { privateKey, ...replaced } = newest;
    if (privateKey === null) throw new TypeError("the newest generation has no key");
    const kept = this.#generations.slice(0, -1).filter((generation) => !isOver(generation, now));
    if (kept.length + 2 > mostGenerations) return null;
    const record = { ...replaced.record, privateKey: null, replaced: now.toISOString() };
    return new Authority([...kept, { ...replaced, record, privateKey: null }, createGeneration(now, newest)]);
  }

  /** DER, oldest first: whatever the controller may be verified by, now and after the next change of its leaf. */
  roots(): readonly Buffer[] {
    return this.#generations.map(({ root }) => root.raw);
  }

  describe(): readonly RootDescription[] {
    return this.#generations.map(({ root, record }) => ({
      fingerprint: createHash("sha256").update(root.raw).digest("hex"),
      created: record.created,
      expires: new Date(root.validTo).toISOString(),
      retained:
        record.replaced === null ? null : new Date(Date.parse(record.replaced) + retentionMs).toISOString(),
    }));
  }

  /** Of the newest root, for pairing keys. */
  fingerprint(): Buffer {
    return createHash("sha256").update(this.#newest().root.raw).digest();
  }

  /** A leaf of a key of its own, for `antenna-controller` and the names given (DNS names, IP addresses). */
  issueServer(names: readonly string[], now: Date): ServerIdentity {
    const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const newest = this.#newest();
    const notAfter = atSecond(now.getTime() + serverLifetimeMs);
    const leaf = issueCertificate({
      use: { kind: "server", names: [...new Set([controllerName, ...names])] },
      subject: controllerName,
      issuer: newest.subject,
      serial: Buffer.concat([Buffer.of(2), randomBytes(16)]),
      notBefore: atSecond(Math.max(now.getTime() - authoritySkewMs, Date.parse(newest.root.validFrom))),
      notAfter,
      publicKey: publicKey.export({ type: "spki", format: "der" }),
      signer: this.#signer(),
    });
    const newestFirst = [...this.#generations].reverse();
    // OpenSSL takes the first issuer that fits: cross-signed ones go first, so that the way to an older root is found.
    const cross = newestFirst.flatMap(({ record }) =>
      record.cross === null ? [] : [Buffer.from(record.cross, "base64")],
    );
    const chain = [leaf, ...cross, ...newestFirst.map(({ root }) => root.raw)];
    return {
      chain: chain.map(pem).join(""),
      privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      notAfter,
    };
  }

  /** A certificate (DER) for an agent's key. `serial` carries its pairing, see AgentSerial. */
  issueAgent(workload: string, publicKey: Uint8Array, serial: Uint8Array, now: Date): Buffer {
    const notBefore = atSecond(now.getTime());
    return issueCertificate({
      use: { kind: "agent" },
      subject: workload,
      issuer: this.#newest().subject,
      serial,
      notBefore,
      notAfter: new Date(notBefore.getTime() + agentLifetimeMs),
      publicKey,
      signer: this.#signer(),
    });
  }

  /** True when a generation that is still good signed the certificate: issuer, key identifier and signature. */
  signed(certificate: X509Certificate, now: Date): boolean {
    return this.#generations.some(
      (generation) =>
        !isOver(generation, now) &&
        certificate.issuer === generation.root.subject &&
        certificate.checkIssued(generation.root) &&
        certificate.verify(generation.publicKey),
    );
  }

  #newest(): Generation {
    const newest = this.#generations.at(-1);
    if (newest === undefined) throw new TypeError("an authority has at least one generation");
    return newest;
  }

  #signer(): KeyObject {
    const { privateKey } = this.#newest();
    if (privateKey === null) throw new TypeError("the newest generation has no key");
    return privateKey;
  }
}

function createGeneration(now: Date, before: Generation | null): Generation {
  const { publicKey, privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  // A name of its own: with equal names OpenSSL would have to guess which of the keys signed.
  const subject = `Antenna CA ${createHash("sha256").update(spki).digest("hex").slice(0, 16)}`;
  const issue = (issuer: string, signer: KeyObject) =>
    issueCertificate({
      use: { kind: "authority" },
      subject,
      issuer,
      serial: Buffer.concat([Buffer.of(3), randomBytes(16)]),
      notBefore: atSecond(now.getTime() - authoritySkewMs),
      notAfter: atSecond(now.getTime() + rootLifetimeMs),
      publicKey: spki,
      signer,
    }).toString("base64");
  const vouching = before?.privateKey ?? null;
  return loadGeneration({
    root: issue(subject, privateKey),
    cross: before === null || vouching === null ? null : issue(before.subject, vouching),
    privateKey: privateKey.export({ type: "pkcs8", format: "der" }).toString("base64"),
    created: now.toISOString(),
    replaced: null,
  });
}

function loadGeneration(record: AuthorityRecord): Generation {
  const root = new X509Certificate(Buffer.from(record.root, "base64"));
  const privateKey =
    record.privateKey === null
      ? null
      : createPrivateKey({ key: Buffer.from(record.privateKey, "base64"), format: "der", type: "pkcs8" });
  // Node writes a name as `CN=…`, one attribute a line; ours have one.
  const subject = root.subject.replace(/^CN=/, "");
  return { record, root, publicKey: root.publicKey, privateKey, subject };
}

function isOver({ record }: Generation, now: Date): boolean {
  return record.replaced !== null && Date.parse(record.replaced) + retentionMs <= now.getTime();
}

/** X.509 has no fractions of a second (RFC 5280, 4.1.2.5). */
function atSecond(time: number): Date {
  return new Date(Math.floor(time / second) * second);
}

function pem(der: Buffer): string {
  const lines = der.toString("base64").replace(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`;
}
