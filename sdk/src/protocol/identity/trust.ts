import type { KeyObject, X509Certificate } from "node:crypto";
import { AntennaError } from "../../error.js";
import type { IssuedIdentity, Trust } from "../codec/trust-message.js";
import { PolicyKeyChain } from "../signature/policy-key-chain.js";
import { isRoot, pathToRoot, readCertificate } from "./certificate-chain.js";
import type { Identity } from "./stored-identity.js";

/** Certificates as they were handed out, in the hands of somebody who may be wrong. */
export interface CertificateCheck {
  readonly issued: IssuedIdentity;
  /** The own key: the certificate must be of it. */
  readonly privateKey: KeyObject;
  /** What the server showed that handed them out: its chain must lead to one of the roots. */
  readonly sent: readonly X509Certificate[];
}

/** Why what was issued is of no use to this host; null: it is good. */
export function issuedProblem({ issued, privateKey, sent }: CertificateCheck): string | null {
  try {
    const [own, ...others] = issued.certificateChain.map(readCertificate);
    if (own === undefined || !own.checkPrivateKey(privateKey)) return "the certificate is of another key";
    const problem = rootsProblem(issued.roots, sent);
    if (problem !== null) return problem;
    const isIssued = pathToRoot(own, others, issued.roots.map(readCertificate)) !== null;
    return isIssued ? null : "the certificate leads to none of the roots";
  } catch (reason) {
    return `a certificate cannot be read (${reason instanceof Error ? reason.message : String(reason)})`;
  }
}

/** Roots under which the controller that tells them could not be reached again are not taken. */
function rootsProblem(roots: readonly Uint8Array[], sent: readonly X509Certificate[]): string | null {
  const read = roots.map(readCertificate);
  if (read.length === 0 || !read.every(isRoot))
    return "one of the roots is not a CA's, signed by its own key";
  const [leaf, ...others] = sent;
  const leads = leaf !== undefined && pathToRoot(leaf, others, read) !== null;
  return leads ? null : "the controller's own certificate leads to none of the roots that it tells";
}

export interface FollowedTrust {
  /** The same object when nothing changed. */
  readonly identity: Identity;
  /** What was told and not taken, for people; null: all of it was. */
  readonly problem: string | null;
}

/**
 * The identity once the controller has told its roots and policy keys in a session of its own. Roots are as it tells them,
 * old ones until it drops them; keys only if a trusted one vouches for them.
 */
export function followTrust(
  identity: Identity,
  trust: Trust,
  sent: readonly X509Certificate[],
): FollowedTrust {
  const problems: string[] = [];
  let { roots, policyKeys } = identity;
  if (!sameList(roots, trust.roots)) {
    const problem = readable(() => rootsProblem(trust.roots, sent));
    if (problem === null) roots = trust.roots;
    else problems.push(problem);
  }
  try {
    const chain = PolicyKeyChain.pinned(policyKeys);
    const followed = chain.follow(trust.policyKeys);
    if (followed !== chain) policyKeys = followed.pins;
  } catch (reason) {
    problems.push(AntennaError.from(reason, "follow the controller's policy keys").message);
  }
  const isSame = roots === identity.roots && policyKeys === identity.policyKeys;
  return {
    identity: isSame ? identity : { ...identity, roots, policyKeys },
    problem: problems.length === 0 ? null : problems.join("; "),
  };
}

function readable(check: () => string | null): string | null {
  try {
    return check();
  } catch (reason) {
    return `a root cannot be read (${reason instanceof Error ? reason.message : String(reason)})`;
  }
}

function sameList(a: readonly Uint8Array[], b: readonly Uint8Array[]): boolean {
  return (
    a.length === b.length && a.every((each, index) => Buffer.compare(each, b[index] as Uint8Array) === 0)
  );
}
