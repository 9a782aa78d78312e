import type { Policy } from "../policy/model.js";
import type { Clock } from "../ports.js";
import type { PathAttempt } from "./path-attempt.js";

/**
 * How a trial stands.
 *
 * - `confirmed`: every path answered.
 * - `denied`: a try failed and the policy on trial itself denies it: no need to wait any longer.
 * - `silent`: the window is over and some paths never answered; the policy may be the reason, or not.
 * - `open`: as `silent`, but each of them refused a connection at least once: the policy lets it through.
 */
export type TrialResult =
  | { readonly kind: "confirmed" }
  | { readonly kind: "denied"; readonly reason: string }
  | { readonly kind: "silent"; readonly waiting: readonly string[] }
  | { readonly kind: "open"; readonly waiting: readonly string[] };

export interface TrialOptions {
  readonly clock: Clock;
  /** Ends the trial early; it then rejects. */
  readonly signal: AbortSignal;
}

/** How long one try may take, and how long it is until the next. */
const tryMs = 2_000;
const usualPauseMs = 500;

/**
 * The paths that have to work under a policy, tried until each has worked once. One trial, one object: what has worked is not
 * tried again.
 */
export class CommitConfirm {
  readonly #waiting: Set<PathAttempt>;
  readonly #refused = new Set<PathAttempt>();
  readonly #options: TrialOptions;

  constructor(attempts: readonly PathAttempt[], options: TrialOptions) {
    this.#waiting = new Set(attempts);
    this.#options = options;
  }

  /** Tries for `windowMs`, and pauses after each try that fails; `policy` is the one on trial. */
  async run(policy: Policy, windowMs: number, pauseMs: number = usualPauseMs): Promise<TrialResult> {
    const { clock } = this.#options;
    const until = clock.now() + windowMs;
    const denied = new AbortController();
    const results = await Promise.all(
      [...this.#waiting].map((attempt) => this.#insist(attempt, policy, { until, pauseMs, denied })),
    );
    this.#options.signal.throwIfAborted();
    const reason = results.find((found) => found !== null);
    if (reason !== undefined && reason !== null) return { kind: "denied", reason };
    if (this.#waiting.size === 0) return { kind: "confirmed" };
    const waiting = [...this.#waiting].map(({ name }) => name);
    const isOpen = [...this.#waiting].every((attempt) => this.#refused.has(attempt));
    return { kind: isOpen ? "open" : "silent", waiting };
  }

  /**
   * One try of each path that has not worked yet, for `limitMs` at most: do they all work under `policy`, the one in force
   * now? Nothing is remembered.
   */
  async works(policy: Policy | null, limitMs: number): Promise<boolean> {
    const works = async (attempt: PathAttempt): Promise<boolean> => {
      const answer = await this.#try(attempt, policy, limitMs).catch(() => null);
      return answer === "answered" || (answer === "refused" && !isOwnRefusal(attempt, policy));
    };
    const found = await Promise.all([...this.#waiting].map(works));
    this.#options.signal.throwIfAborted();
    return !found.includes(false);
  }

  /** The reason why the policy is to blame; null: it worked, or time is up. */
  async #insist(
    attempt: PathAttempt,
    policy: Policy,
    {
      until,
      pauseMs,
      denied,
    }: { readonly until: number; readonly pauseMs: number; readonly denied: AbortController },
  ): Promise<string | null> {
    const { clock, signal } = this.#options;
    while (!signal.aborted && !denied.signal.aborted) {
      const left = until - clock.now();
      if (left <= 0) return null;
      try {
        const answer = await this.#try(attempt, policy, Math.min(tryMs, left), denied.signal);
        if (answer === "refused" && isOwnRefusal(attempt, policy)) throw new Error("connection refused");
        if (answer === "answered" || attempt.refusalSuffices) {
          this.#waiting.delete(attempt);
          return null;
        }
        this.#refused.add(attempt);
      } catch (error) {
        const why = attempt.denial(policy);
        if (why !== null && !denied.signal.aborted) {
          denied.abort();
          const words = error instanceof Error ? error.message : String(error);
          return `${attempt.name}: ${why} (${words})`;
        }
      }
      await pause(clock, Math.min(pauseMs, Math.max(0, until - clock.now())), [signal, denied.signal]);
    }
    return null;
  }

  async #try(
    attempt: PathAttempt,
    policy: Policy | null,
    limitMs: number,
    also?: AbortSignal,
  ): ReturnType<PathAttempt["open"]> {
    const { clock, signal } = this.#options;
    const ending = new AbortController();
    const end = (): void => ending.abort();
    signal.addEventListener("abort", end, { once: true });
    also?.addEventListener("abort", end, { once: true });
    if (signal.aborted || also?.aborted === true) end();
    using _ = clock.after(limitMs, end);
    try {
      return await attempt.open(ending.signal, policy);
    } finally {
      signal.removeEventListener("abort", end);
      also?.removeEventListener("abort", end);
    }
  }
}

/** A policy that rejects answers what it denies with a refusal of its own (`reject: true`): it proves nothing. */
function isOwnRefusal(attempt: PathAttempt, policy: Policy | null): boolean {
  return policy !== null && attempt.denial(policy) !== null;
}

function pause(clock: Clock, ms: number, signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      timer[Symbol.dispose]();
      for (const signal of signals) signal.removeEventListener("abort", end);
      resolve();
    };
    const timer = clock.after(ms, end);
    for (const signal of signals) signal.addEventListener("abort", end, { once: true });
    if (signals.some(({ aborted }) => aborted)) end();
  });
}
