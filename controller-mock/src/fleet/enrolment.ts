import { createHash, createPublicKey, verify } from "node:crypto";
import type { Clock } from "@antenna/sdk";
import {
  type IssuedIdentity,
  type PairRequestMessage,
  type PairResponseMessage,
  renewalText,
} from "@antenna/sdk/protocol";
import {
  type AgentIdentity,
  keyFingerprint,
  newPairing,
  verifyAgentCertificate,
  workloadOf,
} from "../identity/agent-certificate.js";
import { readCertificateRequest } from "../identity/certificate-request.js";
import type { KeyRefusal, PairingKeys } from "../identity/pairing-keys.js";
import type { RenewStart } from "../server/service.js";
import { CallRefusal } from "../session/call-refusal.js";
import type { PairingKeyRecord, WorkloadRecord } from "../store-port.js";
import type { Fleet } from "./fleet.js";
import type { Journal } from "./journal.js";
import type { TrustKeeper } from "./trust-keeper.js";

export interface EnrolmentOptions {
  readonly keys: PairingKeys;
  readonly trust: TrustKeeper;
  readonly fleet: Fleet;
  readonly journal: Journal;
  readonly clock: Clock;
}

/** Beyond this the controller is the wrong one. */
const mostWorkloads = 100_000;

/** How workloads get their identity and keep it. */
export class Enrolment {
  readonly #options: EnrolmentOptions;

  constructor(options: EnrolmentOptions) {
    this.#options = options;
  }

  /** Rejects with a CallRefusal. */
  async pair(request: PairRequestMessage, address: string): Promise<PairResponseMessage> {
    const { keys, trust, fleet, clock } = this.#options;
    const proof = readCertificateRequest(request.certificateRequest);
    if (proof.kind === "refused") throw badRequest(`the certificate request is refused: ${proof.reason}`);
    const id = workloadOf(proof.publicKey);
    const before = fleet.workloads.get(id);
    const holder = before?.state === "active" ? before.key : null;
    const verdict = keys.check(request.keyId, request.secret, holder, clock.date());
    if (verdict.kind === "refused") throw keyRefusal(verdict.why);
    if (before === null && fleet.workloads.size >= mostWorkloads) {
      throw new CallRefusal("too-fast", `this controller takes ${mostWorkloads} workloads at most`);
    }
    const pairing = before?.state === "active" ? before.pairing : newPairing();
    await this.#admit(id, before, verdict.record, pairing, proof.publicKey, request.hostname, address);
    return { workload: id, ...trust.issueAgent(id, proof.publicKey, pairing) };
  }

  /** @throws CallRefusal */
  openRenewal(start: RenewStart, address: string): void {
    const { fleet } = this.#options;
    const identity = this.#verifyRenewable(start);
    const { tokens } = fleet.requireActive(identity);
    fleet.sessions.admitRenewal(identity.workload, start.token, tokens, address);
  }

  /** Rejects with a CallRefusal. */
  async renew(start: RenewStart, nonce: Uint8Array, signature: Uint8Array): Promise<IssuedIdentity> {
    const { trust, fleet, journal } = this.#options;
    // Again: a revocation may have come between the two messages.
    const { workload, pairing, publicKey } = this.#verifyRenewable(start);
    fleet.requireActive({ workload, pairing });
    const text = renewalText(nonce, createHash("sha256").update(start.certificate).digest());
    const key = createPublicKey({ key: publicKey, format: "der", type: "spki" });
    if (!verify("sha256", text, key, signature)) {
      throw new CallRefusal(
        "unauthenticated",
        "the signature over the nonce is not of the certificate's key",
      );
    }
    await journal.write([
      journal.event({ type: "renewed", workload, message: `the certificate of ${workload} was renewed` }),
    ]);
    return trust.issueAgent(workload, publicKey, pairing);
  }

  /** Is it a certificate that may call anything, at this moment? @throws CallRefusal */
  authenticate(certificate: Uint8Array): AgentIdentity {
    const { trust, fleet, clock } = this.#options;
    const verdict = verifyAgentCertificate(certificate, trust.authority, clock.date(), {
      allow: "unexpired",
    });
    if (verdict.kind === "refused") {
      throw new CallRefusal("unauthenticated", `the certificate is not accepted: ${verdict.reason}`);
    }
    fleet.requireActive(verdict.identity);
    return verdict.identity;
  }

  #verifyRenewable({ certificate, certificateRequest }: RenewStart): AgentIdentity {
    const { trust, clock } = this.#options;
    const verdict = verifyAgentCertificate(certificate, trust.authority, clock.date(), {
      allow: "renewable",
    });
    if (verdict.kind === "refused") {
      throw new CallRefusal("unauthenticated", `the certificate is not renewed: ${verdict.reason}`);
    }
    const proof = readCertificateRequest(certificateRequest);
    if (proof.kind === "refused") throw badRequest(`the certificate request is refused: ${proof.reason}`);
    if (!proof.publicKey.equals(verdict.identity.publicKey)) {
      throw new CallRefusal(
        "unauthenticated",
        "the certificate request is of another key than the certificate",
      );
    }
    return verdict.identity;
  }

  async #admit(
    id: string,
    before: WorkloadRecord | null,
    key: PairingKeyRecord,
    pairing: string,
    publicKey: Buffer,
    hostname: string,
    address: string,
  ): Promise<void> {
    const { keys, fleet, clock } = this.#options;
    // What it has it keeps; only its tokens are forgotten, for it may have lost them.
    if (before?.state === "active" && before.key === key.id) {
      const same = { ...before, tokens: [] };
      await fleet.relabel(same, [this.#paired(id, same.name, key, address, "again")]);
      return;
    }
    const taken = { ...key, used: key.used + 1 };
    keys.put(taken);
    const record: WorkloadRecord = {
      id,
      name: hostname || (before?.name ?? id),
      host: null,
      state: "active",
      fingerprint: keyFingerprint(publicKey),
      pairing,
      key: key.id,
      ranges: key.addresses,
      delegate: key.delegate,
      labels: key.labels,
      claims: before?.claims ?? [],
      tokens: [],
      paired: clock.date().toISOString(),
      lastSeen: before?.lastSeen ?? null,
      reported: before?.reported ?? null,
      issued: before?.issued ?? null,
    };
    await fleet.join(record, [
      { kind: "key", key: taken },
      this.#paired(id, record.name, key, address, "for the first time"),
    ]);
  }

  #paired(id: string, name: string, { id: key }: PairingKeyRecord, address: string, when: string) {
    const message = `${name} was paired with key ${key} ${when}`;
    return this.#options.journal.event({ type: "paired", workload: id, address, message });
  }
}

const keyWords: Readonly<Record<KeyRefusal, string>> = {
  unknown:
    "the pairing key is not known here, or its secret is wrong; make one with `antenna-controller key create`",
  revoked: "the pairing key was revoked; ask for another one",
  expired: "the pairing key has expired; ask for another one",
  "used-up": "the pairing key has no uses left; ask for another one",
};

function keyRefusal(why: KeyRefusal): CallRefusal {
  return new CallRefusal(why === "unknown" ? "key-unknown" : "key-spent", keyWords[why]);
}

function badRequest(message: string): CallRefusal {
  return new CallRefusal("bad-request", message);
}
