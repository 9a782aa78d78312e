import { createHash, randomBytes, X509Certificate } from "node:crypto";
import { type Authority, renewalGraceMs } from "./authority.js";
import { clientAuth } from "./certificate.js";

/** Ours have about 450 bytes. */
const longestCertificate = 4096;
const agentSerial = 1;
const pairingBytes = 8;

/** What a certificate of an agent says, once it is believed. */
export interface AgentIdentity {
  readonly workload: string;
  /** Which pairing the certificate comes from (16 hexadecimal digits): what revocation names. */
  readonly pairing: string;
  /** The agent's public key, SPKI (DER). */
  readonly publicKey: Buffer;
  readonly notAfter: Date;
}

export type AgentVerdict =
  | { readonly kind: "accepted"; readonly identity: AgentIdentity }
  | { readonly kind: "refused"; readonly reason: string };

/**
 * Is this (DER) a certificate that this authority gave to an agent, and good at this moment, or no longer than
 * `expiredMs` past its end? Nothing is taken from what TLS said about it: Node reports one reason only, and a forgery that
 * is expired reads as expired. Never throws.
 */
export function verifyAgentCertificate(
  der: Uint8Array,
  authority: Authority,
  now: Date,
  { allow }: { readonly allow: "unexpired" | "renewable" },
): AgentVerdict {
  if (der.length > longestCertificate) return refused(`it is longer than ${longestCertificate} bytes`);
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(der);
  } catch {
    return refused("it is not an X.509 certificate in DER");
  }
  // OpenSSL reads past trailing bytes; what is compared and hashed later must be what was verified.
  if (!certificate.raw.equals(der)) return refused("it is not an X.509 certificate in DER");
  if (!authority.signed(certificate, now)) return refused("it was not signed by this controller");
  const identity = readIdentity(certificate);
  if (identity === null) return refused("it is not a certificate of an agent");
  if (Date.parse(certificate.validFrom) > now.getTime()) {
    return refused(`it is not valid before ${new Date(certificate.validFrom).toISOString()}`);
  }
  const past = now.getTime() - identity.notAfter.getTime();
  if (past >= (allow === "renewable" ? renewalGraceMs : 0)) {
    const hint = allow === "renewable" ? "over 90 days ago; pair again" : "renew it";
    return refused(`it expired on ${identity.notAfter.toISOString()}: ${hint}`);
  }
  return { kind: "accepted", identity };
}

/** Serial number of a certificate of an agent: its kind, its pairing, and what makes it unique. */
export function agentCertificateSerial(pairing: string): Buffer {
  return Buffer.concat([Buffer.of(agentSerial), Buffer.from(pairing, "hex"), randomBytes(8)]);
}

export function newPairing(): string {
  return randomBytes(pairingBytes).toString("hex");
}

/** SHA-256 (hexadecimal) of a public key (SPKI, DER). */
export function keyFingerprint(publicKey: Uint8Array): string {
  return createHash("sha256").update(publicKey).digest("hex");
}

/** The same key pair is the same workload, whoever pairs it and whenever. */
export function workloadOf(publicKey: Uint8Array): string {
  return `w-${keyFingerprint(publicKey).slice(0, 32)}`;
}

function readIdentity(certificate: X509Certificate): AgentIdentity | null {
  const [, workload] = /^CN=(w-[0-9a-f]{32})$/.exec(certificate.subject) ?? [];
  const [, pairing] = /^01([0-9a-f]{16})[0-9a-f]{16}$/.exec(certificate.serialNumber.toLowerCase()) ?? [];
  if (workload === undefined || pairing === undefined || certificate.ca) return null;
  if (certificate.keyUsage?.length !== 1 || certificate.keyUsage[0] !== clientAuth) return null;
  const publicKey = certificate.publicKey.export({ type: "spki", format: "der" });
  if (workloadOf(publicKey) !== workload) return null;
  return { workload, pairing, publicKey, notAfter: new Date(certificate.validTo) };
}

function refused(reason: string): AgentVerdict {
  return { kind: "refused", reason };
}
