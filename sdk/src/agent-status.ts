import type { EnforcementMode, VisibilityLevel } from "./policy/model.js";
import type { Difference, FilterDescription, LinkStatus } from "./ports.js";
import type { StandingProblem } from "./reconcile/problem-board.js";
import type { SyncState } from "./reconcile/sync-state.js";

/** What `agent.status()` gives: the document of `antenna status --json`, without what only a daemon knows. */
export interface AgentStatus {
  readonly workload: string;
  /** null before any policy. */
  readonly mode: EnforcementMode | null;
  readonly visibility: VisibilityLevel | null;
  readonly visibilityInForce: VisibilityLevel | null;
  /** `epoch.sequence` of the policy in force; null before any. */
  readonly policyVersion: string | null;
  /** `sha256:…`; null before any. */
  readonly policyDigest: string | null;
  /** The worst of the points. */
  readonly state: SyncState;
  readonly points: readonly PointStatus[];
  readonly drift: DriftStatus;
  readonly link: Omit<LinkStatus, "problems">;
  readonly problems: readonly StandingProblem[];
}

export interface PointStatus {
  readonly workload: string;
  /** `host`, or the container's name. */
  readonly name: string;
  readonly mode: EnforcementMode | null;
  readonly policyVersion: string | null;
  readonly policyDigest: string | null;
  readonly state: SyncState;
  /** Milliseconds until the first denied packet is dropped; null when nothing settles. */
  readonly settlesInMs: number | null;
  /** What enforces here, and how often the kernel is looked at. */
  readonly filter: FilterDescription;
  /** Flows that are kept cut now. */
  readonly flowsCut: number;
  /** False while the policy in force is not on disk. */
  readonly stored: boolean;
}

export interface DriftStatus {
  /** Repairs since the start. */
  readonly repairs: number;
  readonly last: LastRepair | null;
}

export interface LastRepair {
  /** Wall clock, ISO 8601. */
  readonly time: string;
  readonly differences: readonly Difference[];
  /** As the kernel's notice claims; both can lie. */
  readonly writer: { readonly pid: number; readonly name: string } | null;
  /** From the notice to the end of the repair. */
  readonly elapsedMs: number;
}

/** What `agent.verify()` gives: the document of `antenna verify --json`. */
export interface VerifyReport {
  readonly ok: boolean;
  readonly policyVersion: string | null;
  readonly points: readonly {
    readonly workload: string;
    readonly ok: boolean;
    readonly differences: readonly Difference[];
  }[];
}
