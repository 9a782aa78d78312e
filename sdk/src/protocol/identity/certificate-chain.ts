import { createHash, X509Certificate } from "node:crypto";
import type { TLSSocket } from "node:tls";

/** The name that every controller's certificate carries, whatever its host is called. */
export const controllerName = "antenna-controller";

/** Chains are short: leaf, issuer, a cross-signed one, roots. */
const maxChain = 8;
const maxDepth = 4;
/** id-kp-serverAuth (RFC 5280, 4.2.1.12). */
const serverAuth = "1.3.6.1.5.5.7.3.1";

/** What a server is, judged by the certificates it sent. */
export type ServerVerdict =
  | {
      readonly kind: "trusted";
      /** `early`: by this host's clock the certificate is not valid yet; `late`: not any more; either way the clock is in doubt. */
      readonly skew: "early" | "late" | null;
    }
  | { readonly kind: "untrusted"; readonly reason: string };

export interface ServerJudgement {
  /** What OpenSSL found: null, or the code of what it found last (`tlsSocket.authorizationError`). */
  readonly error: string | null;
  /** As the server sent them, its own first. */
  readonly sent: readonly X509Certificate[];
  readonly roots: readonly X509Certificate[];
  /** It is this late at least, whatever the clock says; null: nothing is known. */
  readonly notBefore: Date | null;
}

/**
 * The certificates that the other end of a handshake sent, in its order. To be called once: on a client's side Node moves
 * them out of the connection (seen in 20 to 26).
 */
export function sentCertificates(socket: TLSSocket): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  let next = socket.getPeerX509Certificate();
  while (next !== undefined && chain.length < maxChain) {
    chain.push(next);
    next = next.issuerCertificate;
  }
  return chain;
}

/** @throws Error of OpenSSL when it is none. */
export function readCertificate(der: Uint8Array): X509Certificate {
  return new X509Certificate(Buffer.from(der.buffer, der.byteOffset, der.byteLength));
}

/** SHA-256 of the DER form, 64 hexadecimal digits. */
export function fingerprintOf(certificate: X509Certificate): string {
  return createHash("sha256").update(certificate.raw).digest("hex");
}

/** True when it is a CA's and signed by its own key. */
export function isRoot(certificate: X509Certificate): boolean {
  return certificate.ca && certificate.checkIssued(certificate) && verifies(certificate, certificate);
}

/** From the leaf up to one of the roots by names and signatures, dates left out; null: there is no way. */
export function pathToRoot(
  leaf: X509Certificate,
  others: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): readonly X509Certificate[] | null {
  return climb([leaf], others.slice(0, maxChain), roots);
}

function climb(
  path: readonly X509Certificate[],
  others: readonly X509Certificate[],
  roots: readonly X509Certificate[],
): readonly X509Certificate[] | null {
  const last = path[path.length - 1] as X509Certificate;
  const root = roots.find((candidate) => candidate.raw.equals(last.raw) || issued(candidate, last));
  if (root !== undefined) return root.raw.equals(last.raw) ? path : [...path, root];
  if (path.length >= maxDepth) return null;
  for (const issuer of others) {
    if (path.includes(issuer) || !issued(issuer, last)) continue;
    const whole = climb([...path, issuer], others, roots);
    if (whole !== null) return whole;
  }
  return null;
}

/** False where OpenSSL refuses to look at all. */
function issued(issuer: X509Certificate, subject: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && verifies(subject, issuer);
}

function verifies(subject: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return subject.verify(issuer.publicKey);
  } catch {
    return false;
  }
}

/**
 * Is this the controller? Only what OpenSSL finds trusted is. One thing it finds is looked at again: dates. A host that
 * boots in 1970 could never come back if its own clock decided, and OpenSSL tells a date even where a signature is wrong
 * too. So there the chain is walked here, by names, signatures and purpose, and must end in a pinned root all the
 * same; and a certificate that ran out before `notBefore` has run out, whatever the clock says.
 */
export function judgeServer({ error, sent, roots, notBefore }: ServerJudgement): ServerVerdict {
  const [leaf, ...others] = sent;
  if (leaf === undefined) return { kind: "untrusted", reason: "it shows no certificate" };
  if (leaf.checkHost(controllerName, { subject: "never" }) === undefined)
    return { kind: "untrusted", reason: `its certificate does not carry the name ${controllerName}` };
  if (error === null) return { kind: "trusted", skew: null };
  const skew = error === "CERT_NOT_YET_VALID" ? "early" : error === "CERT_HAS_EXPIRED" ? "late" : null;
  const path = skew === null ? null : pathToRoot(leaf, others, roots);
  if (skew === null || path === null || !servesTls(leaf))
    return {
      kind: "untrusted",
      reason: `its certificate does not lead to a root of the controller that this host is paired with (${error})`,
    };
  const expired = path.find((one) => notBefore !== null && Date.parse(one.validTo) < notBefore.getTime());
  if (expired !== undefined)
    return { kind: "untrusted", reason: `its certificate expired on ${expired.validTo}` };
  return { kind: "trusted", skew };
}

/** No extended key usage: every use (RFC 5280, 4.2.1.12). */
function servesTls(leaf: X509Certificate): boolean {
  const usages: readonly string[] | undefined = leaf.keyUsage;
  return usages === undefined || usages.includes(serverAuth);
}
