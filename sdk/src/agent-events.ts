import type { EnforcementMode } from "./policy/model.js";
import type { Difference, TrackedFlow } from "./ports.js";
import type { StandingProblem } from "./reconcile/problem-board.js";
import type { SyncState } from "./reconcile/sync-state.js";

/** What an agent tells its listeners, by name. Every event names the enforcement point. */
export interface AgentEvents {
  /** A policy came into force: from now on packets are judged by it. */
  readonly policy: PolicyEvent;
  readonly state: StateEvent;
  /** The kernel held something else than was written, and was repaired. */
  readonly drift: DriftEvent;
  /** Flows were cut, or may pass again. */
  readonly cut: CutEvent;
  /** A problem began, changed its message, or ended. */
  readonly problem: ProblemEvent;
}

export interface PolicyEvent {
  readonly workload: string;
  readonly version: string;
  /** `sha256:…` */
  readonly digest: string;
  readonly mode: EnforcementMode;
  /** From the call of `apply` (or from the start) to in force. */
  readonly elapsedMs: number;
}

export interface StateEvent {
  readonly workload: string;
  readonly state: SyncState;
  readonly previous: SyncState;
}

export interface DriftEvent {
  readonly workload: string;
  readonly differences: readonly Difference[];
  /** As the kernel's notice claims; both can lie. */
  readonly writer: { readonly pid: number; readonly name: string } | null;
  /** From the notice to the end of the repair. */
  readonly elapsedMs: number;
}

export interface CutEvent {
  readonly workload: string;
  /** Why: the policy narrowed, enforcement began, a repair, or somebody took the mark away and it was set again. */
  readonly reason: "policy" | "settled" | "repair" | "mark-overwritten" | "entry-deleted";
  readonly cut: number;
  readonly restored: number;
  readonly socketsEnded: number;
  /** Some of the flows that were cut, at most 20. */
  readonly examples: readonly TrackedFlow[];
}

export interface ProblemEvent {
  readonly workload: string;
  readonly problem: StandingProblem;
  /** False: it is over. */
  readonly standing: boolean;
}

export type AgentEventName = keyof AgentEvents;
