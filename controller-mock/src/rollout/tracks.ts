import type { Policy } from "@antenna/sdk";
import type { ControllerFacts, WorkloadFacts } from "../compute/facts.js";
import { FleetPolicies, type FleetUpdate } from "../compute/fleet-policies.js";
import { emptyLabelPolicy, type LabelPolicy } from "../policy/model.js";
import type { Revision } from "./rollout-state.js";

/** The policies of the whole fleet under one revision. */
export interface Track {
  readonly revision: Revision;
  readonly fleet: FleetPolicies;
}

/** Revisions that were in force and are kept to go back to. */
const goodKept = 3;

/** The fleet under the revision in force and, while waves go, under the one that may come after it. */
export class Tracks {
  #inForce: Track;
  #candidate: Track | null = null;
  #good: { readonly revision: Revision; readonly policy: LabelPolicy }[] = [];

  constructor(
    options: {
      readonly workloads: Iterable<WorkloadFacts>;
      readonly controller: ControllerFacts | null;
      readonly labelPolicies: ReadonlyMap<Revision, LabelPolicy>;
    },
    revisions: {
      readonly inForce: Revision;
      readonly good: readonly Revision[];
      readonly candidate: Revision | null;
    },
  ) {
    const { workloads, controller, labelPolicies } = options;
    const known = (revision: Revision) => (revision === 0 ? emptyLabelPolicy : labelPolicies.get(revision));
    const policy = known(revisions.inForce);
    if (policy === undefined)
      throw new TypeError(`the label policy of revision ${revisions.inForce}, in force, is not given`);
    this.#inForce = {
      revision: revisions.inForce,
      fleet: new FleetPolicies({ policy, controller, workloads }),
    };
    // A revision that is no longer kept cannot be gone back to.
    this.#good = revisions.good.flatMap((revision) => {
      const good = known(revision);
      return good === undefined ? [] : [{ revision, policy: good }];
    });
    if (revisions.candidate === null) return;
    const next = known(revisions.candidate);
    if (next === undefined)
      throw new TypeError(`the label policy of revision ${revisions.candidate}, in waves, is not given`);
    this.begin(revisions.candidate, next);
  }

  get inForce(): Track {
    return this.#inForce;
  }

  get candidate(): Track | null {
    return this.#candidate;
  }

  get good(): readonly Revision[] {
    return this.#good.map(({ revision }) => revision);
  }

  policyOf(workload: string, revision: Revision): Policy | null {
    const track = this.#candidate?.revision === revision ? this.#candidate : this.#inForce;
    return track.fleet.policyOf(workload);
  }

  /** The workloads whose policy became another, under either revision. */
  update(update: FleetUpdate): ReadonlySet<string> {
    const [put, gone] = [Array.from(update.put ?? []), Array.from(update.gone ?? [])];
    const changes = [this.#inForce, this.#candidate].flatMap(
      (track) => track?.fleet.update({ put, gone }) ?? [],
    );
    return new Set(changes.map(({ workload }) => workload));
  }

  /** A candidate, in place of one there is. */
  begin(revision: Revision, policy: LabelPolicy): void {
    this.#candidate = { revision, fleet: this.#inForce.fleet.withLabelPolicy(policy) };
  }

  /** The candidate comes into force. */
  promote(): void {
    if (this.#candidate === null) return;
    const { revision, fleet } = this.#inForce;
    this.#good = [...this.#good, { revision, policy: fleet.labelPolicy }].slice(-goodKept);
    this.#inForce = this.#candidate;
    this.#candidate = null;
  }

  dropCandidate(): void {
    this.#candidate = null;
  }

  /** The revision before the one in force comes back. False: none is kept. */
  goBack(): boolean {
    const last = this.#good.pop();
    if (last === undefined) return false;
    const { fleet } = this.#inForce;
    this.#inForce = { revision: last.revision, fleet: fleet.withLabelPolicy(last.policy) };
    return true;
  }
}
