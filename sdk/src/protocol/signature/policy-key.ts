import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  sign,
  verify,
} from "node:crypto";
import type { PolicyKey } from "../codec/trust-message.js";
import { keySignatureText } from "./signed-text.js";

/** A policy key with its private half: the controller's. */
export interface PolicySigningKey {
  readonly key: PolicyKey;
  readonly privateKey: KeyObject;
}

/** A new key, vouched for by the one before it; null: the first. */
export function generatePolicyKey(previous: PolicySigningKey | null): PolicySigningKey {
  const { privateKey } = generateKeyPairSync("ed25519");
  return policySigningKey(privateKey, previous);
}

/** The signing key that an Ed25519 private key makes (PKCS #8 PEM, or a KeyObject). @throws TypeError for another kind. */
export function policySigningKey(
  privateKey: KeyObject | string,
  previous: PolicySigningKey | null,
): PolicySigningKey {
  const secret = typeof privateKey === "string" ? createPrivateKey(privateKey) : privateKey;
  if (secret.asymmetricKeyType !== "ed25519") throw new TypeError("policies are signed with Ed25519");
  const publicKey = Uint8Array.from(
    createPublicKey(secret).export({ type: "spki", format: "der" }).subarray(-32),
  );
  const vouched =
    previous === null
      ? null
      : {
          by: previous.key.id,
          signature: Uint8Array.from(sign(null, keySignatureText(publicKey), previous.privateKey)),
        };
  return { key: { id: policyKeyId(publicKey), publicKey, vouched }, privateKey: secret };
}

/** The first 16 bytes of the SHA-256. */
export function policyKeyId(publicKey: Uint8Array): Uint8Array {
  return Uint8Array.from(createHash("sha256").update(publicKey).digest().subarray(0, 16));
}

/** True when `signature` is of that Ed25519 public key over `text`; never throws. */
export function isSignedBy(publicKey: Uint8Array, text: Uint8Array, signature: Uint8Array): boolean {
  try {
    return verify(null, text, keyObjectOf(publicKey), signature);
  } catch {
    return false;
  }
}

/** Making one costs twice what a verification costs. Held by the bytes of the pinned key, and gone with them. */
const keyObjects = new WeakMap<Uint8Array, KeyObject>();

function keyObjectOf(publicKey: Uint8Array): KeyObject {
  const known = keyObjects.get(publicKey);
  if (known !== undefined) return known;
  const key = createPublicKey({
    key: Buffer.concat([spkiPrefix, publicKey]),
    format: "der",
    type: "spki",
  });
  keyObjects.set(publicKey, key);
  return key;
}

/** SubjectPublicKeyInfo of an Ed25519 key up to the key itself (RFC 8410, 4). */
const spkiPrefix = Buffer.from("302a300506032b6570032100", "hex");
