import { AntennaError } from "../error.js";
import type { Policy } from "../policy/model.js";
import type { Clock } from "../ports.js";
import { CommitConfirm, type TrialResult } from "../reconcile/commit-confirm.js";
import type { PathAttempt } from "../reconcile/path-attempt.js";
import type { AdmittedPolicy, EnforceablePolicy } from "./admitted-policy.js";
import { refusalText } from "./standing-problems.js";

/** What a policy has to pass before it counts as good. */
export interface TrialTerms {
  /** What has to work under it; none: it is confirmed as soon as it is in force. */
  readonly paths: readonly PathAttempt[];
  readonly windowMs: number;
}

export interface ProbationOptions extends TrialTerms {
  /** The policy on trial. */
  readonly target: AdmittedPolicy;
  /** What was in force before, and is again when the trial fails; null: nothing was. */
  readonly previous: EnforceablePolicy | null;
  readonly clock: Clock;
  /** Brings the kernel to a policy; resolves when packets are judged by it. */
  readonly put: (policy: EnforceablePolicy | null) => Promise<unknown>;
  /** True: nothing is enforced now, so nothing can be tried; see `resume`. */
  readonly suspended: boolean;
}

export type ProbationOutcome =
  | { readonly kind: "confirmed" }
  | { readonly kind: "rolled-back"; readonly reason: string }
  /** Another policy took its place. */
  | { readonly kind: "replaced" };

/** How long the policy before may take to show that it does better. */
const compareMs = 2_000;
/** After its window a policy that nothing speaks against is tried on, at leisure. */
const later = { windowMs: 600_000, pauseMs: 10_000 };

/**
 * A policy in force on trial (commit-confirm). It is rolled back when it denies a path itself, when the kernel refuses it, or
 * when a path that is silent for the whole window works under the policy before. Else the silence has another reason: it
 * stays, and is confirmed when the paths work.
 *
 * While the operator has suspended enforcement nothing is proved, for every path works without rules: the trial waits, and
 * begins anew afterwards.
 */
export class Probation {
  readonly target: AdmittedPolicy;
  readonly #options: ProbationOptions;
  readonly #stop = new AbortController();
  /** Ends the round in hand; the next one begins when nothing is suspended. */
  #round = new AbortController();
  #suspended: boolean;
  #resumed: () => void = () => {};
  readonly #outcome: Promise<ProbationOutcome>;

  constructor(options: ProbationOptions) {
    this.target = options.target;
    this.#options = options;
    this.#suspended = options.suspended;
    this.#outcome = this.#run();
  }

  /** Never rejects. */
  get outcome(): Promise<ProbationOutcome> {
    return this.#outcome;
  }

  /** Another policy comes, or the agent ends. */
  stop(): void {
    this.#stop.abort();
    this.#round.abort();
    this.#resumed();
  }

  suspend(): void {
    this.#suspended = true;
    this.#round.abort();
  }

  resume(): void {
    this.#suspended = false;
    this.#resumed();
  }

  async #run(): Promise<ProbationOutcome> {
    while (!this.#stop.signal.aborted) {
      if (this.#suspended) {
        await new Promise<void>((resolve) => {
          this.#resumed = resolve;
        });
        continue;
      }
      this.#round = new AbortController();
      const { signal } = this.#round;
      try {
        return await this.#try(signal);
      } catch (reason) {
        if (!signal.aborted) return await this.#back(`it could not be put in force: ${wordsOf(reason)}`);
      }
    }
    return { kind: "replaced" };
  }

  async #try(signal: AbortSignal): Promise<ProbationOutcome> {
    const { target, previous, paths, windowMs, clock } = this.#options;
    await this.#put(target, signal);
    const confirm = new CommitConfirm(paths, { clock, signal });
    let result: TrialResult = await confirm.run(target.policy, windowMs);
    if (result.kind === "silent" && (await this.#isBetterBefore(confirm, previous, signal))) {
      const seconds = Math.round(windowMs / 1_000);
      const names = result.waiting.join(" and ");
      const reason = `${names} did not answer within ${seconds} s, and did under the policy before`;
      return { kind: "rolled-back", reason };
    }
    while (result.kind !== "confirmed") {
      if (result.kind === "denied") return await this.#back(result.reason);
      result = await confirm.run(target.policy, later.windowMs, later.pauseMs);
    }
    return { kind: "confirmed" };
  }

  /** Leaves in force what is better. */
  async #isBetterBefore(
    confirm: CommitConfirm,
    previous: EnforceablePolicy | null,
    signal: AbortSignal,
  ): Promise<boolean> {
    const before: Policy | null = previous?.policy ?? null;
    const isBack = await this.#put(previous, signal).then(
      () => true,
      (reason: unknown) => {
        if (signal.aborted) throw reason;
        return false;
      },
    );
    if (isBack && (await confirm.works(before, compareMs))) return true;
    await this.#put(this.target, signal);
    return false;
  }

  /** What the kernel refuses of the policy before is tried on without us, and a problem of its own. */
  async #back(reason: string): Promise<ProbationOutcome> {
    if (!this.#stop.signal.aborted) await this.#options.put(this.#options.previous).catch(() => undefined);
    return this.#stop.signal.aborted ? { kind: "replaced" } : { kind: "rolled-back", reason };
  }

  async #put(policy: EnforceablePolicy | null, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await this.#options.put(policy);
    signal.throwIfAborted();
  }
}

function wordsOf(reason: unknown): string {
  const error = AntennaError.from(reason, "put a policy in force");
  const text = refusalText(error);
  return error.detail === null ? text : `${text} (${error.detail})`;
}
