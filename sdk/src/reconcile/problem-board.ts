import type { AntennaError } from "../error.js";
import type { Clock } from "../ports.js";

/** Why an agent is not as it should be. Codes are part of the contract of `status`; more may come. */
export type ProblemCode =
  | "policy-refused" // a policy was refused; the old one is kept
  | "rolled-back" // a policy on trial failed; the one before is in force again
  | "policy-missing" // nothing to enforce yet
  | "apply-failed" // the kernel refuses what the policy asks; the last good one is kept
  | "verify-failed" // the kernel cannot be read, so drift may go unseen
  | "cut-failed" // tracked flows could not be judged or cut
  | "settle-incomplete" // silent connections could not be entered into tracking
  | "not-protected" // a secure rule without IPsec: what it covers is denied
  | "disk-full"
  | "storage" // the state directory cannot be written
  | "state-corrupt" // stored state failed its checksum
  | "rule-displaced"
  | "leftovers" // the kernel keeps what an earlier policy left, since a rule that is not ours refers to it
  | "drift-fight"
  | "cut-mark-overwritten"
  | "not-paired" // a controller is configured, and this host has no identity
  | "link-down" // no session with the controller; the last policy is enforced
  | "clock-skew" // this host's clock and the controller's disagree
  | "trust-refused"; // the controller told roots or keys that nobody trusted vouches for

/** Something that is wrong now. */
export interface StandingProblem {
  readonly code: ProblemCode;
  /** What failed, on what, in whose words, and what to do. */
  readonly message: string;
  /** Wall clock, ISO 8601. */
  readonly since: string;
}

export interface ProblemChange {
  readonly problem: StandingProblem;
  /** False: it is over. */
  readonly standing: boolean;
}

/** Problems under which the policy is not in force, not provably or not durably. The others leave it untouched. */
const degrading: ReadonlySet<ProblemCode> = new Set([
  "apply-failed",
  "verify-failed",
  "cut-failed",
  "not-protected",
  "disk-full",
  "storage",
  "drift-fight",
]);

/** The problems that stand, at most one of each code. Each has a beginning and an end, and both are told. */
export class ProblemBoard {
  readonly #standing = new Map<ProblemCode, StandingProblem>();
  readonly #lingering = new Map<ProblemCode, Disposable>();
  readonly #clock: Clock;
  readonly #onChange: (change: ProblemChange) => void;

  constructor(clock: Clock, onChange: (change: ProblemChange) => void) {
    this.#clock = clock;
    this.#onChange = onChange;
  }

  list(): readonly StandingProblem[] {
    return [...this.#standing.values()];
  }

  has(code: ProblemCode): boolean {
    return this.#standing.has(code);
  }

  /** True while a problem stands that makes the state `degraded`. */
  get degrades(): boolean {
    for (const code of this.#standing.keys()) if (degrading.has(code)) return true;
    return false;
  }

  /** A problem that stands keeps its `since`; a new message is told again. */
  raise(code: ProblemCode, message: string): void {
    this.#endLingering(code);
    const before = this.#standing.get(code);
    if (before?.message === message) return;
    const problem = { code, message, since: before?.since ?? this.#clock.date().toISOString() };
    this.#standing.set(code, problem);
    this.#onChange({ problem, standing: true });
  }

  /** For what is over the moment it is told: stands for `forMs` after the last time, so that people see it. */
  raiseFor(code: ProblemCode, message: string, forMs: number): void {
    this.raise(code, message);
    this.#lingering.set(
      code,
      this.#clock.after(forMs, () => this.clear(code)),
    );
  }

  clear(code: ProblemCode): void {
    this.#endLingering(code);
    const problem = this.#standing.get(code);
    if (problem === undefined) return;
    this.#standing.delete(code);
    this.#onChange({ problem, standing: false });
  }

  close(): void {
    for (const code of [...this.#lingering.keys()]) this.#endLingering(code);
  }

  #endLingering(code: ProblemCode): void {
    this.#lingering.get(code)?.[Symbol.dispose]();
    this.#lingering.delete(code);
  }
}

/** An error in the words of a problem: what failed, on what, and what the operating system said. */
export function problemText(error: AntennaError): string {
  return error.detail === null ? error.message : `${error.message}: ${error.detail}`;
}
