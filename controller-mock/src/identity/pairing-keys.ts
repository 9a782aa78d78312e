import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import type { PairingKeyRecord } from "../store-port.js";

/** Hexadecimal digits of an id, bytes of a secret: 256 bits that nobody guesses. */
const idBytes = 8;
const secretBytes = 32;

export interface NewPairingKey {
  readonly labels: Readonly<Record<string, string>>;
  readonly uses: number;
  readonly ttlMs: number;
  readonly addresses: readonly string[];
  readonly delegate: readonly string[];
}

/** Why a key does not pair: `unknown` is said of a wrong secret too, so that ids can't be tried out. */
export type KeyRefusal = "unknown" | "revoked" | "expired" | "used-up";

export type KeyVerdict =
  | { readonly kind: "good"; readonly record: PairingKeyRecord }
  | { readonly kind: "refused"; readonly why: KeyRefusal };

/** A key and its secret, which exists only here and with whom it is given to. */
export interface IssuedPairingKey {
  readonly record: PairingKeyRecord;
  readonly secret: Buffer;
}

/** The pairing keys, by id; in memory what the store holds. */
export class PairingKeys {
  readonly #records: Map<string, PairingKeyRecord>;

  constructor(records: readonly PairingKeyRecord[]) {
    this.#records = new Map(records.map((record) => [record.id, record]));
  }

  /** In the order of creation. */
  list(): readonly PairingKeyRecord[] {
    return Array.from(this.#records.values()).sort(
      (a, b) => a.created.localeCompare(b.created) || a.id.localeCompare(b.id),
    );
  }

  get(id: string): PairingKeyRecord | null {
    return this.#records.get(id) ?? null;
  }

  get size(): number {
    return this.#records.size;
  }

  /** After it was stored. */
  put(record: PairingKeyRecord): void {
    this.#records.set(record.id, record);
  }

  /**
   * Does this key pair now? `holder`: the key that the asking identity was paired with before, if it still holds it: that one
   * takes no further use.
   */
  check(id: string, secret: Uint8Array, holder: string | null, now: Date): KeyVerdict {
    const record = this.#records.get(id);
    const hash = hashSecret(secret);
    // Unknown ids cost the same as known ones.
    const expected = Buffer.from(record?.secretHash ?? "00".repeat(32), "hex");
    if (!timingSafeEqual(hash, expected) || record === undefined) return { kind: "refused", why: "unknown" };
    if (record.revoked) return { kind: "refused", why: "revoked" };
    if (Date.parse(record.expires) <= now.getTime()) return { kind: "refused", why: "expired" };
    if (record.used >= record.uses && holder !== id) return { kind: "refused", why: "used-up" };
    return { kind: "good", record };
  }
}

/** Makes a key; it pairs nobody until it is stored. */
export function createPairingKey(options: NewPairingKey, now: Date): IssuedPairingKey {
  const secret = randomBytes(secretBytes);
  return {
    secret,
    record: {
      id: randomBytes(idBytes).toString("hex"),
      secretHash: hashSecret(secret).toString("hex"),
      labels: options.labels,
      uses: options.uses,
      used: 0,
      created: now.toISOString(),
      expires: new Date(now.getTime() + options.ttlMs).toISOString(),
      addresses: options.addresses,
      delegate: options.delegate,
      revoked: false,
    },
  };
}

function hashSecret(secret: Uint8Array): Buffer {
  return createHash("sha256").update(secret).digest();
}
