import type { Stage, Verdict } from "./evaluate/packet.js";
import type { PolicyDelta } from "./policy/delta.js";
import type { Address, Direction, EnforcementMode, Policy } from "./policy/model.js";
import type { PolicyCost } from "./program/cost.js";
import type { SyncState } from "./reconcile/sync-state.js";

/**
 * A policy in normal form; what changes in the policy accepted last; or the bytes of a document (YAML, or JSON if its
 * first character is `{`), whole or as a stream.
 */
export type PolicyInput = Policy | PolicyDelta | Uint8Array | AsyncIterable<Uint8Array>;

export interface ApplyResult {
  /** The version in force: the policy's own, or the one the agent counted on to. */
  readonly version: string;
  /** `sha256:…` */
  readonly digest: string;
  readonly mode: EnforcementMode;
  /** `in-sync`, `idle`, `suspended` or, when something is not as asked although the policy is in force, `degraded`. */
  readonly state: SyncState;
  /** False when the kernel meant this policy already: nothing was written. */
  readonly changed: boolean;
  /** False when a newer policy came before this one was in force. */
  readonly inForce: boolean;
}

/** What a policy would change and cut: the document of `antenna policy preview --json`. */
export interface PreviewReport {
  readonly from: string | null;
  readonly to: string;
  readonly sets: Readonly<Record<string, { readonly added: number; readonly removed: number }>>;
  readonly rules: {
    readonly added: readonly string[];
    readonly removed: readonly string[];
    readonly changed: readonly string[];
  };
  readonly cuts: {
    readonly flows: number;
    readonly complete: boolean;
    readonly examples: readonly PreviewedCut[];
  };
  /** Of the whole policy, not of the change. */
  readonly cost: PolicyCost;
}

export interface PreviewedCut {
  readonly source: string;
  readonly sourcePort: number | null;
  readonly destination: string;
  readonly protocol: string;
  readonly port: number | null;
  readonly direction: Direction;
  /** The rule that allows it now. */
  readonly rule: string | null;
}

/** A new packet to be explained. */
export interface ExplainQuestion {
  readonly direction: Direction;
  /** IANA number. */
  readonly protocol: number;
  readonly peer: Address;
  /** Destination port; null for protocols without. */
  readonly port: number | null;
  readonly icmpType?: number | null;
  readonly icmpCode?: number | null;
  /** The peer is an own address, so that the packet passes the loopback interface; 127.0.0.0/8 and ::1 always do. Default false. */
  readonly loopback?: boolean;
  /** null: any, so that nothing that asks for one matches. Default null. */
  readonly sourcePort?: number | null;
  /** The packet arrives or leaves inside IPsec. Default false. */
  readonly protected?: boolean;
}

export interface Explanation {
  readonly verdict: Verdict;
  readonly stage: Stage;
  /** The first rule, in the order of the policy, that decided; null for stages without rules. */
  readonly rule: string | null;
  readonly policyVersion: string | null;
}
