import type { antenna } from "#antenna.v1";
import type { FieldReader } from "./field-reader.js";
import { protocolLimits } from "./protocol-limits.js";

/** A key that signs policies, as it is told. Whether it is trusted: `PolicyKeyChain`. */
export interface PolicyKey {
  /** The first 16 bytes of the SHA-256 of `publicKey`. */
  readonly id: Uint8Array;
  /** Ed25519, 32 bytes. */
  readonly publicKey: Uint8Array;
  /** The key before it, which vouches for it; null for the first. */
  readonly vouched: { readonly by: Uint8Array; readonly signature: Uint8Array } | null;
}

/** Roots (DER) and policy keys as they stand; the newest key last. */
export interface Trust {
  readonly roots: readonly Uint8Array[];
  readonly policyKeys: readonly PolicyKey[];
}

/** An identity as it is handed out. */
export interface IssuedIdentity extends Trust {
  /** The agent's certificate (DER) and those it needs to reach a root, the agent's own first. */
  readonly certificateChain: readonly Uint8Array[];
}

interface WireTrust {
  readonly roots?: Uint8Array[] | null;
  readonly policyKeys?: antenna.v1.PolicyKey.$Properties[] | null;
}

export function writeTrust(trust: Trust): {
  roots: Uint8Array[];
  policyKeys: antenna.v1.PolicyKey.$Properties[];
} {
  return {
    roots: [...trust.roots],
    policyKeys: trust.policyKeys.map(({ id, publicKey, vouched }) => ({
      id,
      publicKey,
      ...(vouched === null ? {} : { signedBy: vouched.by, signature: vouched.signature }),
    })),
  };
}

export function readTrust(reader: FieldReader, path: string, value: WireTrust | null | undefined): Trust {
  const { certificate, certificates, policyKeys } = protocolLimits;
  return {
    roots: reader.list(`${path}roots`, value?.roots, certificates, (root, at) =>
      reader.bytes(at, root, 1, certificate),
    ),
    policyKeys: reader.list(`${path}policyKeys`, value?.policyKeys, policyKeys, (key, at) => ({
      id: reader.bytes(`${at}.id`, key.id, 16, 16),
      publicKey: reader.bytes(`${at}.publicKey`, key.publicKey, 32, 32),
      vouched: isEmpty(key.signedBy)
        ? null
        : {
            by: reader.bytes(`${at}.signedBy`, key.signedBy, 16, 16),
            signature: reader.bytes(`${at}.signature`, key.signature, 64, 64),
          },
    })),
  };
}

export function readIssuedIdentity(
  reader: FieldReader,
  path: string,
  value: (WireTrust & { readonly certificateChain?: Uint8Array[] | null }) | null | undefined,
): IssuedIdentity {
  const { certificate, certificates } = protocolLimits;
  const certificateChain = reader.list(
    `${path}certificateChain`,
    value?.certificateChain,
    certificates,
    (each, at) => reader.bytes(at, each, 1, certificate),
  );
  const trust = readTrust(reader, path, value);
  if (certificateChain.length === 0) reader.refuse(`${path}certificateChain`, "is empty");
  if (trust.roots.length === 0) reader.refuse(`${path}roots`, "is empty");
  if (trust.policyKeys.length === 0) reader.refuse(`${path}policyKeys`, "is empty");
  return { certificateChain, ...trust };
}

export function writeIssuedIdentity(identity: IssuedIdentity) {
  return { certificateChain: [...identity.certificateChain], ...writeTrust(identity) };
}

function isEmpty(bytes: Uint8Array | null | undefined): boolean {
  return bytes === null || bytes === undefined || bytes.length === 0;
}
