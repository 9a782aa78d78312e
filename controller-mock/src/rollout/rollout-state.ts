import { AntennaError, type Version } from "@antenna/sdk";

/** The content of label policies, 1, 2, 3…; 0 is what holds before any. */
export type Revision = number;

export type RevisionState = "in-force" | "in-waves" | "replaced" | "withdrawn";

/** One online member in an enforcing mode, a tenth, everyone. */
export type Wave = "one" | "tenth" | "all";

/** The version and content that a workload was last given. */
export interface Issued {
  readonly version: Version;
  readonly digest: string;
  readonly revision: Revision;
}

/** What a workload is in the middle of. */
export interface Unsettled {
  /** The first version under which it was given a revision that it has not confirmed; null: it has. */
  readonly since: Version | null;
  /** How often it was killed while on probation with that revision. */
  readonly interruptions: number;
  /** True: it has seen versions that were never issued here; only the operator's new epoch goes beyond them. */
  readonly ahead: boolean;
}

/** Where the waves stand, as the store keeps it; what was issued to whom is kept beside it. */
export interface RolloutState {
  readonly inForce: Revision;
  /** Revisions that were in force before, the newest last: what a withdrawal goes back to. */
  readonly good: readonly Revision[];
  readonly candidate: {
    readonly revision: Revision;
    readonly wave: Wave;
    readonly chosen: readonly string[];
  } | null;
  /** By workload; those that are not named are settled. */
  readonly unsettled: Readonly<Record<string, Unsettled>>;
}

export const initialRollout: RolloutState = { inForce: 0, good: [], candidate: null, unsettled: {} };

/** Revisions whose label policies a rollout in this state needs; 0 is known to all. */
export function revisionsOf({ inForce, good, candidate }: RolloutState): readonly Revision[] {
  const all = new Set([...good, inForce, ...(candidate === null ? [] : [candidate.revision])]);
  return Array.from(all).filter((revision) => revision !== 0);
}

export function formatRollout(state: RolloutState): string {
  return JSON.stringify(state);
}

/** @throws AntennaError `corrupt` */
export function parseRollout(text: string): RolloutState {
  try {
    const value: unknown = JSON.parse(text);
    if (isRollout(value)) return value;
  } catch {
    // Not JSON is as corrupt as anything else that no rollout wrote.
  }
  throw new AntennaError({
    code: "corrupt",
    operation: "read where the waves stand",
    message: "the stored state of the rollout cannot be read; restore the database from a backup",
  });
}

function isRollout(value: unknown): value is RolloutState {
  if (!isRecord(value)) return false;
  const { inForce, good, candidate, unsettled } = value;
  return (
    isRevision(inForce) &&
    Array.isArray(good) &&
    good.every(isRevision) &&
    (candidate === null || isCandidate(candidate)) &&
    isRecord(unsettled) &&
    Object.values(unsettled).every(isUnsettled)
  );
}

function isCandidate(value: unknown): boolean {
  if (!isRecord(value) || !Array.isArray(value.chosen)) return false;
  const isWave = value.wave === "one" || value.wave === "tenth" || value.wave === "all";
  return isRevision(value.revision) && isWave && value.chosen.every((id) => typeof id === "string");
}

function isUnsettled(value: unknown): boolean {
  if (!isRecord(value)) return false;
  const { since, interruptions, ahead } = value;
  return (since === null || isVersion(since)) && isRevision(interruptions) && typeof ahead === "boolean";
}

function isVersion(value: unknown): boolean {
  return isRecord(value) && isRevision(value.epoch) && isRevision(value.sequence);
}

function isRevision(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
