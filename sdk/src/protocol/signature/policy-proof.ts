import { sign } from "node:crypto";
import type { Version } from "../../policy/model.js";
import { isDigest } from "../codec/field-reader.js";
import { isSignedBy, type PolicySigningKey } from "./policy-key.js";
import type { PolicyKeyChain } from "./policy-key-chain.js";
import { policySignatureText } from "./signed-text.js";

/** What a policy key vouches for: this content, under this version, for this workload. */
export interface PolicyClaim {
  readonly workload: string;
  readonly version: Version;
  /** `sha256:…` */
  readonly digest: string;
}

/** The proof of a claim: id of the key (16 bytes) and signature (64 bytes). */
export function signPolicy(claim: PolicyClaim, { key, privateKey }: PolicySigningKey): Uint8Array {
  const signature = sign(null, textOf(claim), privateKey);
  return Uint8Array.from([...key.id, ...signature]);
}

export interface VerifyOptions {
  /** True for a policy that was accepted before and comes from the store: keys that retired since count too. */
  readonly retired?: boolean;
}

/** Why the proof is none; null: a key of the chain vouches for the claim. Offline, never throws. */
export function proofProblem(
  claim: PolicyClaim,
  proof: Uint8Array,
  keys: PolicyKeyChain,
  options: VerifyOptions = {},
): string | null {
  if (proof.length === 0) return "the policy is not signed";
  if (proof.length !== proofBytes) return `the proof is ${proof.length} bytes long; ${proofBytes} are right`;
  if (!isDigest(claim.digest) || !isCount(claim.version.epoch) || !isCount(claim.version.sequence))
    return "what is claimed has no digest or version";
  const publicKey = keys.find(proof.subarray(0, 16), options);
  if (publicKey === null) return "the key that signed the policy is not trusted";
  const isSigned = isSignedBy(publicKey, textOf(claim), proof.subarray(16));
  return isSigned ? null : "the signature is not of this workload, version and content";
}

/** True when a key of the chain vouches for the claim. */
export function verifyPolicy(
  claim: PolicyClaim,
  proof: Uint8Array,
  keys: PolicyKeyChain,
  options: VerifyOptions = {},
): boolean {
  return proofProblem(claim, proof, keys, options) === null;
}

function textOf({ workload, version, digest }: PolicyClaim): Uint8Array {
  return policySignatureText(workload, version, digest);
}

function isCount(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}

const proofBytes = 80;
