import { AntennaError } from "../error.js";
import type { PolicyDelta } from "../policy/delta.js";
import type { Policy } from "../policy/model.js";
import { compareVersions } from "../policy/version.js";
import type { OfferOutcome } from "../ports.js";
import type { StoredState } from "../reconcile/policy-store.js";
import type { TrialTerms } from "./probation.js";
import { refusalText } from "./standing-problems.js";

/** A policy that came over the link. */
export interface OfferedPolicy {
  readonly policy: Policy | PolicyDelta;
  /** Of the policy that results: what the controller signed. */
  readonly digest: string;
  readonly proof: Uint8Array;
  /** What has to work before it counts as good; null: it is not on trial. */
  readonly trial: TrialTerms | null;
}

/** The policy that was accepted, and never stored as good, when the agent ended the last time; null: there is none. */
export function interruptedOffer({ floor, policy }: StoredState): OfferOutcome | null {
  const good = policy?.version ?? null;
  if (floor === null || (good !== null && compareVersions(floor.version, good) <= 0)) return null;
  return {
    version: floor.version,
    result: "interrupted",
    reason: "the agent ended before this policy was in force and confirmed; the one before is in force again",
  };
}

/** What the controller is told of an offer that failed; null: the whole policy is asked for, or the agent ends. */
export function refusedOffer({ policy }: OfferedPolicy, reason: unknown): OfferOutcome | null {
  const error = AntennaError.from(reason, "take a policy");
  const { code, problems } = error;
  const isBase = problems.some(({ path }) => path === "base");
  if (policy.version === null || isBase || code === "closed" || code === "aborted") return null;
  return { version: policy.version, result: "refused", reason: refusalText(error) };
}
