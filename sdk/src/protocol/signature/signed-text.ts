import type { Version } from "../../policy/model.js";

/** What a policy key signs for a policy (PolicyHeader.signature). */
export function policySignatureText(workload: string, version: Version, digest: string): Uint8Array {
  const counts = Buffer.alloc(16);
  counts.writeBigUInt64BE(BigInt(version.epoch), 0);
  counts.writeBigUInt64BE(BigInt(version.sequence), 8);
  const hash = Buffer.from(digest.slice("sha256:".length), "hex");
  return Buffer.concat([Buffer.from(`antenna policy v1\0${workload}\0`, "utf8"), counts, hash]);
}

/** What a policy key signs for the key after it (PolicyKey.signature). */
export function keySignatureText(publicKey: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from("antenna policy key v1\0", "utf8"), publicKey]);
}

/** What an agent signs to renew its certificate (RenewProof.signature); `certificateHash`: SHA-256 of the DER. */
export function renewalText(nonce: Uint8Array, certificateHash: Uint8Array): Uint8Array {
  return Buffer.concat([Buffer.from("antenna renew v1\0", "utf8"), nonce, certificateHash]);
}
