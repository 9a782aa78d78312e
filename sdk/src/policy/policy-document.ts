import type { Direction, EnforcementMode, RuleAction, VisibilityLevel } from "./model.js";

/** A policy as people and programs write it (contract, section 1), for policies made in memory. */
export interface PolicyDocument {
  /** A sequence, or "epoch.sequence"; absent: the agent counts on. */
  readonly version?: number | string;
  readonly mode: EnforcementMode;
  /** `blocked+allowed` when absent. */
  readonly visibility?: VisibilityLevel;
  /** False when absent. */
  readonly reject?: boolean;
  /** Addresses and blocks, by the name of the set. */
  readonly sets?: Readonly<Record<string, readonly string[]>> | ReadonlyMap<string, readonly string[]>;
  readonly rules?: readonly RuleDocument[];
  readonly enforce?: readonly ServiceDocument[];
  /** IKE identities, by address. */
  readonly identities?: Readonly<Record<string, string>> | ReadonlyMap<string, string>;
}

export interface RuleDocument {
  readonly id: string;
  readonly direction: Direction;
  readonly action: RuleAction;
  readonly peers: readonly string[];
  /** Absent: every protocol and port. */
  readonly services?: readonly ServiceDocument[];
  readonly secure?: boolean;
}

export interface ServiceDocument {
  /** By name in lower case, or by number. */
  readonly protocol: string | number;
  /** `80`, `"80"` or `"8000-8010"`; absent: all. */
  readonly ports?: readonly (number | string)[];
  readonly type?: number;
  readonly code?: number;
}
