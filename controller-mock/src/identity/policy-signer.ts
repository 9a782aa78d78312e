import { createPrivateKey } from "node:crypto";
import {
  generatePolicyKey,
  type PolicyClaim,
  type PolicyKey,
  type PolicySigningKey,
  policySigningKey,
  signPolicy,
} from "@antenna/sdk/protocol";
import type { PolicyKeyRecord } from "../store-port.js";

/** As many as agents look at in one message. */
const mostKeys = 8;

/** The keys that policies are signed with, immutable: the newest signs, those before it lead agents that were away to it. */
export class PolicySigner {
  readonly #records: readonly PolicyKeyRecord[];
  readonly #signing: PolicySigningKey;

  private constructor(records: readonly PolicyKeyRecord[], signing: PolicySigningKey) {
    this.#records = records;
    this.#signing = signing;
  }

  static create(): PolicySigner {
    const signing = generatePolicyKey(null);
    return new PolicySigner([recordOf(signing)], signing);
  }

  /** From what was stored; records are oldest first, and at least one. */
  static load(records: readonly PolicyKeyRecord[]): PolicySigner {
    const newest = records.at(-1);
    if (newest === undefined || newest.privateKey === null) {
      throw new TypeError("the newest policy key has no private half");
    }
    const privateKey = createPrivateKey({
      key: Buffer.from(newest.privateKey, "base64"),
      format: "der",
      type: "pkcs8",
    });
    return new PolicySigner(records, {
      key: keyOf(newest),
      privateKey: policySigningKey(privateKey, null).privateKey,
    });
  }

  /** To be stored before it is told. */
  records(): readonly PolicyKeyRecord[] {
    return this.#records;
  }

  /** One key more, which the newest vouches for; the private half of that one is forgotten. */
  rotate(): PolicySigner {
    const signing = generatePolicyKey(this.#signing);
    const before = this.#records.map((record) => ({ ...record, privateKey: null }));
    return new PolicySigner([...before.slice(1 - mostKeys), recordOf(signing)], signing);
  }

  /**
   * What agents are told, oldest first. The first key of all is left out once it was replaced: whoever trusts it needs only
   * those that follow, and whoever does not shall not begin to.
   */
  told(): readonly PolicyKey[] {
    const told = this.#records.length > 1 ? this.#records.slice(1) : this.#records;
    return told.map(keyOf);
  }

  sign(claim: PolicyClaim): Uint8Array {
    return signPolicy(claim, this.#signing);
  }
}

function recordOf({ key, privateKey }: PolicySigningKey): PolicyKeyRecord {
  return {
    id: base64(key.id),
    publicKey: base64(key.publicKey),
    privateKey: privateKey.export({ type: "pkcs8", format: "der" }).toString("base64"),
    signedBy: key.vouched === null ? "" : base64(key.vouched.by),
    signature: key.vouched === null ? "" : base64(key.vouched.signature),
  };
}

function keyOf({ id, publicKey, signedBy, signature }: PolicyKeyRecord): PolicyKey {
  return {
    id: bytes(id),
    publicKey: bytes(publicKey),
    vouched: signedBy === "" ? null : { by: bytes(signedBy), signature: bytes(signature) },
  };
}

function base64(value: Uint8Array): string {
  return Buffer.from(value).toString("base64");
}

function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text, "base64"));
}
