import {
  createHash,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  randomBytes,
  X509Certificate,
} from "node:crypto";
import { type CertificateUse, issueCertificate } from "@antenna/controller/internal/identity/certificate.js";
import { IdentityStore } from "@antenna/sdk/internal/protocol/identity/identity-store.js";
import type { Identity } from "@antenna/sdk/internal/protocol/identity/stored-identity.js";
import { generatePolicyKey, type PolicySigningKey, type Trust } from "@antenna/sdk/protocol";

export const hour = 3_600_000;

export interface Issue {
  readonly use: CertificateUse;
  readonly subject: string;
  readonly publicKey: KeyObject;
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

/** A certificate authority for tests: it signs what it is asked to, the wrong things too. */
export class TestAuthority {
  readonly name: string;
  readonly #privateKey: KeyObject;
  readonly root: X509Certificate;
  readonly publicKey: KeyObject;
  readonly policyKey: PolicySigningKey;

  constructor(name = "Test CA", validity: { readonly from?: Date; readonly to?: Date } = {}) {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    this.name = name;
    this.#privateKey = privateKey;
    this.publicKey = publicKey;
    this.policyKey = generatePolicyKey(null);
    this.root = this.issue({
      use: { kind: "authority" },
      subject: name,
      publicKey,
      notBefore: validity.from ?? new Date(Date.now() - 24 * hour),
      notAfter: validity.to ?? new Date(Date.now() + 1000 * hour),
    });
  }

  get fingerprint(): string {
    return createHash("sha256").update(this.root.raw).digest("hex");
  }

  get trust(): Trust {
    return { roots: [this.root.raw], policyKeys: [this.policyKey.key] };
  }

  issue({ use, subject, publicKey, notBefore, notAfter }: Issue): X509Certificate {
    return new X509Certificate(
      issueCertificate({
        ...{ use, subject, issuer: this.name },
        serial: Buffer.concat([Buffer.of(1), randomBytes(8)]),
        notBefore: wholeSecond(notBefore ?? new Date(Date.now() - hour)),
        notAfter: wholeSecond(notAfter ?? new Date(Date.now() + 24 * hour)),
        publicKey: publicKey.export({ type: "spki", format: "der" }),
        signer: this.#privateKey,
      }),
    );
  }

  /** PEM of a server's chain (with the root, as controllers send it) and of its key. */
  server(options: Partial<Issue> & { readonly names?: readonly string[] } = {}): {
    readonly chain: string;
    readonly key: string;
  } {
    const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const names = options.names ?? ["antenna-controller"];
    const leaf = this.issue({ use: { kind: "server", names }, subject: "controller", publicKey, ...options });
    const key = privateKey.export({ type: "pkcs8", format: "pem" }).toString();
    return { chain: leaf.toString() + this.root.toString(), key };
  }

  agent(
    publicKey: KeyObject,
    validity: { readonly notBefore?: Date; readonly notAfter?: Date } = {},
  ): X509Certificate {
    return this.issue({ use: { kind: "agent" }, subject: "agent", publicKey, ...validity });
  }
}

export const testWorkload = `w-${"a1".repeat(16)}`;

/** A host that was paired, without a network. */
export async function pairHost(
  stateDir: string,
  authority: TestAuthority,
  options: {
    readonly controller?: string;
    readonly notBefore?: Date;
    readonly notAfter?: Date;
    readonly revoked?: boolean;
  } = {},
): Promise<IdentityStore> {
  const store = IdentityStore.open(stateDir);
  const { privateKey } = await store.ownKey({ fresh: false });
  const certificate = authority.agent(createPublicKey(privateKey), options);
  const identity: Identity = {
    workload: testWorkload,
    controller: options.controller ?? "controller.test:8443",
    revoked: options.revoked ?? false,
    certificateChain: [certificate.raw],
    roots: [authority.root.raw],
    policyKeys: { current: [authority.policyKey.key.publicKey], retired: [] },
  };
  await store.saveIdentity(identity);
  return store;
}

function wholeSecond(date: Date): Date {
  return new Date(Math.floor(date.getTime() / 1000) * 1000);
}
