import { AntennaError } from "../error.js";
import { applyDelta, type PolicyDelta } from "../policy/delta.js";
import { policyDigest } from "../policy/digest.js";
import type { Policy, Version } from "../policy/model.js";
import { type AcceptedPolicy, admitVersion, compareVersions } from "../policy/version.js";
import type { MemberChanges } from "../reconcile/policy-store.js";

/** A policy with the version and digest under which it was accepted; both null for one that the agent made up. */
export interface EnforceablePolicy {
  readonly policy: Policy;
  readonly version: Version | null;
  readonly digest: string | null;
  /** Who vouches for it, as it came over the link; absent: it did not come that way. */
  readonly proof?: Uint8Array;
}

/** A policy that may come into force. */
export interface AdmittedPolicy extends EnforceablePolicy {
  readonly version: Version;
  readonly digest: string;
}

/** False: there is none, or the agent made it up. */
export function isAdmitted(policy: EnforceablePolicy | null): policy is AdmittedPolicy {
  return policy !== null && policy.version !== null && policy.digest !== null;
}

export interface Admission {
  readonly admitted: AdmittedPolicy;
  /** False: the policy that was accepted last was offered again; `admitted.policy` is the same object. */
  readonly isNew: boolean;
  /** null: not to be had as changes of `base`. */
  readonly members: { readonly base: Policy; readonly sets: MemberChanges } | null;
}

/**
 * Whether what is offered may follow the policy that was accepted last, and what it then is.
 *
 * @param floor the highest version accepted so far.
 * @param signed what was signed, and who vouches for it.
 * @throws AntennaError `version-refused`, and `input-refused` for a delta that does not fit.
 */
export function admitPolicy(
  input: Policy | PolicyDelta,
  current: EnforceablePolicy | null,
  floor: AcceptedPolicy | null,
  signed?: { readonly digest: string; readonly proof: Uint8Array },
): Admission {
  const before = current?.policy ?? null;
  const policy = "base" in input ? applyDelta(baseOf(before), input) : input;
  const digest = policyDigest(policy, before ?? undefined);
  if (signed !== undefined && signed.digest !== digest) throw otherDigest(signed.digest, digest);
  const version = admitVersion(policy.version, digest, floor);
  // The same again is the same object: nothing is compiled, compared or stored anew.
  if (before !== null && current?.digest === digest && isSameVersion(version, current.version)) {
    return { admitted: { ...current, policy: before, version, digest }, isNew: false, members: null };
  }
  const admitted = {
    policy: policy.version === null ? { ...policy, version } : policy,
    version,
    digest,
    ...(signed !== undefined && { proof: signed.proof }),
  };
  return { admitted, isNew: true, members: memberChanges(input, before) };
}

/** A delta that leads elsewhere was made against something else, or its signature is of another policy. */
function otherDigest(signed: string, found: string): AntennaError {
  const problem = `the signature is of ${signed}, the policy is ${found}; ask for the whole policy`;
  return new AntennaError({
    code: "input-refused",
    operation: "accept a policy",
    message: problem,
    problems: [{ path: "base", problem }],
  });
}

function isSameVersion(one: Version, other: Version | null): boolean {
  return other !== null && compareVersions(one, other) === 0;
}

function baseOf(policy: Policy | null): Policy {
  if (policy !== null) return policy;
  const problem = "there is no policy yet that a delta could change; give the whole policy";
  throw new AntennaError({
    code: "input-refused",
    operation: "apply a policy delta",
    message: problem,
    problems: [{ path: "base", problem }],
  });
}

/** What the store may keep as a short record; null: the policy changed in other ways, or is a whole one. */
function memberChanges(input: Policy | PolicyDelta, base: Policy | null): Admission["members"] {
  if (!("base" in input) || base === null || input.rest !== null || input.removedSets.length > 0) return null;
  return [...input.sets.keys()].every((name) => base.sets.has(name)) ? { base, sets: input.sets } : null;
}
