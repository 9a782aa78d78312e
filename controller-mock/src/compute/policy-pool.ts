import { type Policy, policyDigest } from "@antenna/sdk";

/** Policies in use, one object for equal ones: what is made of a policy, its deltas too, is kept by its identity. */
export class PolicyPool {
  readonly #entries = new Map<string, { readonly policy: Policy; users: number }>();
  /** Where objects come from that this pool has not met yet. */
  #like: PolicyPool | null;

  constructor(like: PolicyPool | null) {
    this.#like = like;
  }

  /** One more user of the policy, who gets the object that the others have. */
  take(policy: Policy): Policy {
    const digest = policyDigest(policy);
    const known = this.#entries.get(digest);
    if (known !== undefined) {
      known.users++;
      return known.policy;
    }
    const like = this.#like === null ? undefined : this.#like.#entries.get(digest);
    const shared = like === undefined ? policy : like.policy;
    this.#entries.set(digest, { policy: shared, users: 1 });
    return shared;
  }

  release(policy: Policy): void {
    const digest = policyDigest(policy);
    const known = this.#entries.get(digest);
    if (known !== undefined && --known.users === 0) this.#entries.delete(digest);
  }

  /** Stands on its own from now on. */
  detach(): void {
    this.#like = null;
  }
}
