import type { Policy, Version } from "@antenna/sdk";
import type { Issued, Revision, RevisionState } from "./rollout-state.js";

/** A policy for a workload that is connected. The newest one counts; older ones that were not sent yet need not be. */
export interface Offer {
  readonly workload: string;
  readonly version: Version;
  readonly digest: string;
  readonly policy: Policy;
  /** True: a revision that the workload has not confirmed. */
  readonly probation: boolean;
}

export interface IssuedTo extends Issued {
  readonly workload: string;
}

export interface RolloutEvent {
  readonly type: "policy-applied" | "policy-refused" | "rolled-back" | "policy-withdrawn" | "epoch-raised";
  /** null: of the fleet. */
  readonly workload: string | null;
  readonly message: string;
}

/** What follows from an event. All but the offers is stored first; only then the offers are sent. */
export interface Decisions {
  readonly offers: readonly Offer[];
  /** What workloads were given last, connected or not. */
  readonly issued: readonly IssuedTo[];
  /** Revisions that changed their state, in the order of what happened. */
  readonly revisions: readonly { readonly revision: Revision; readonly state: RevisionState }[];
  readonly events: readonly RolloutEvent[];
  /** True: `state()` gives something else than before. */
  readonly stateChanged: boolean;
}

/** Gathers decisions while an event is worked on. */
export class DecisionList {
  readonly #offers = new Map<string, Offer>();
  readonly #issued = new Map<string, IssuedTo>();
  readonly #revisions: { revision: Revision; state: RevisionState }[] = [];
  readonly #events: RolloutEvent[] = [];
  stateChanged = false;

  offer(offer: Offer): void {
    this.#offers.set(offer.workload, offer);
  }

  issue(issued: IssuedTo): void {
    this.#issued.set(issued.workload, issued);
  }

  revision(revision: Revision, state: RevisionState): void {
    this.#revisions.push({ revision, state });
  }

  tell(type: RolloutEvent["type"], workload: string | null, message: string): void {
    this.#events.push({ type, workload, message });
  }

  take(): Decisions {
    return {
      offers: Array.from(this.#offers.values()),
      issued: Array.from(this.#issued.values()),
      revisions: this.#revisions,
      events: this.#events,
      stateChanged: this.stateChanged,
    };
  }
}
