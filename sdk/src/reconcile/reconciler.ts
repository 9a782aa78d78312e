import { AntennaError } from "../error.js";
import type { Clock, Difference, Logger, PacketFilter, Removal, VerifyScope } from "../ports.js";
import type { RuleProgram } from "../program/program.js";
import { abortable } from "./abortable.js";
import { type Backoff, backoffDelay } from "./backoff.js";
import { DriftKeeper, type Repair } from "./drift-keeper.js";
import { type CutPreview, type Judge, previewCuts } from "./flow-judge.js";
import { type CutReport, FlowKeeper } from "./flow-keeper.js";
import { type Goal, type GoalOutcome, GoalQueue } from "./goal.js";
import { KernelWriter } from "./kernel-writer.js";
import { type ProblemBoard, problemText } from "./problem-board.js";
import { Pump } from "./pump.js";
import type { SyncState } from "./sync-state.js";

export interface ReconcilerOptions {
  readonly filter: PacketFilter;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly problems: ProblemBoard;
  readonly settleMs: number;
  /** What `unsettled` told last, in a run before. */
  readonly unsettled: boolean;
  readonly listener: ReconcilerListener;
}

export interface ReconcilerListener {
  /** The goal stands, and tracked flows are judged by it; before whoever waits for it goes on. Also after failures. */
  reached(goal: Goal): void;
  state(state: SyncState, previous: SyncState): void;
  /**
   * True: rules of ours are about to stand where there were none, and tracking begins; awaited. False: rules that drop
   * are about to. To be remembered across restarts. Never rejects.
   */
  unsettled(unsettled: boolean): Promise<void>;
  drift(repair: Repair): void;
  cut(report: CutReport): void;
}

const quickAttempts = 4;
const quickBackoff: Backoff = { firstMs: 100, maxMs: 1_000 };
const slowBackoff: Backoff = { firstMs: 5_000, maxMs: 60_000 };
const writeGraceMs = 3_000;

/**
 * The sole writer of one enforcement point: brings the kernel to the latest goal, proves it, keeps it so.
 *
 * One thing at a time, in this order: calls from outside (verify, preview), the goal, repairs, judging tracked flows,
 * sweeping. Goals that come while one is being applied coalesce. Safety beats speed beats tidiness: whatever fails,
 * every packet is judged by the program before or by the one after; what cannot be applied is tried again, ever more
 * slowly, while the last good program is kept and repaired.
 *
 * Enforcement begins in this order: rules that drop nothing; `settleMs` of tracking; silent connections entered;
 * denied flows marked (nothing drops yet); the dropping rules; and once more all flows, for those born in between.
 */
export class Reconciler implements AsyncDisposable {
  readonly #filter: PacketFilter;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #random: () => number;
  readonly #problems: ProblemBoard;
  readonly #settleMs: number;
  readonly #listener: ReconcilerListener;
  readonly #writer: KernelWriter;
  readonly #drift: DriftKeeper;
  readonly #flows: FlowKeeper;
  readonly #pump: Pump;
  readonly #goals = new GoalQueue();
  /** Ends reads at once when closing; writes get `writeGraceMs` to finish. */
  readonly #abort = new AbortController();
  readonly #abortWrites = new AbortController();
  readonly #calls: (() => Promise<void>)[] = [];

  #state: SyncState = "starting";
  #looked = false;
  /** When the goal is to be worked on; null: it stands. */
  #applyAt: number | null = null;
  #failures = 0;
  /** Since when our rules make the kernel track; -Infinity: since before this start; null: they do not. */
  #trackingSince: number | null = null;
  #settling = false;
  #unsettled: boolean;
  /** Not before: sweeping that fails is tried again later. */
  #tidyAt = 0;
  #tidyFailures = 0;
  #closing: Promise<void> | null = null;

  constructor(options: ReconcilerOptions) {
    const { filter, clock, logger, random, problems, listener } = options;
    this.#filter = filter;
    this.#clock = clock;
    this.#logger = logger;
    this.#random = random;
    this.#problems = problems;
    this.#settleMs = options.settleMs;
    this.#unsettled = options.unsettled;
    this.#listener = listener;
    this.#writer = new KernelWriter(filter);
    this.#drift = new DriftKeeper({
      filter,
      writer: this.#writer,
      clock,
      logger,
      random,
      problems,
      onRepair: (repair) => listener.drift(repair),
      wake: () => this.#pump.wake(),
    });
    this.#flows = new FlowKeeper({
      connections: filter.connections,
      clock,
      logger,
      random,
      problems,
      signal: this.#abort.signal,
      onCut: (report) => listener.cut(report),
    });
    this.#pump = new Pump(
      clock,
      [
        { due: () => (this.#calls.length > 0 ? 0 : null), run: () => this.#call() },
        { due: () => this.#applyAt, run: () => this.#apply() },
        { due: () => this.#drift.due, run: () => this.#repair() },
        { due: () => this.#flows.due, run: () => this.#judge() },
        { due: () => (this.#writer.untidy ? this.#tidyAt : null), run: () => this.#tidy() },
        { due: () => this.#drift.calmAt, run: () => this.#calmDown() },
        { due: () => this.#settledAt, run: () => this.#setUnsettled(false) },
      ],
      (error) => logger.error({ error }, "a step of the reconciler failed unexpectedly"),
    );
  }

  get state(): SyncState {
    return this.#state;
  }

  /** Repairs since the start. */
  get repairs(): number {
    return this.#drift.repairs;
  }

  /** Milliseconds until the first denied packet is dropped; null when nothing settles. */
  get settlesInMs(): number | null {
    if (!this.#settling || this.#trackingSince === null) return null;
    return Math.max(0, this.#trackingSince + this.#settleMs - this.#clock.now());
  }

  /**
   * Makes `goal` the one to reach. Resolves when it, or a later one, is in force and tracked flows are judged by it;
   * rejects after bounded attempts, which go on all the same.
   */
  reach(goal: Goal, signal?: AbortSignal): Promise<GoalOutcome> {
    if (this.#closing !== null) return Promise.reject(closed());
    const reached = this.#goals.push(goal);
    this.#failures = 0;
    this.#applyAt = this.#clock.now();
    this.refresh();
    this.#pump.wake();
    return signal === undefined ? reached : abortable(reached, signal);
  }

  /** Compares the kernel with what was written; what differs is repaired afterwards. */
  verify(scope: VerifyScope, signal: AbortSignal): Promise<readonly Difference[]> {
    return this.#exclusive(async () => {
      const differences = await this.#writer.verify(scope, signal);
      if (differences.length > 0) this.#drift.noticed({ scope, writer: null, reason: "verify found it" });
      return differences;
    });
  }

  /** Which tracked flows a judge would cut; nothing is written. */
  preview(
    judge: Judge,
    limit: number,
    signal: AbortSignal,
  ): Promise<{ readonly flows: number; readonly examples: readonly CutPreview[] }> {
    return this.#exclusive(() => previewCuts(this.#filter.connections, judge, { signal, limit }));
  }

  /** Takes everything of ours out, marks of flows included; the goal is forgotten. */
  remove(signal: AbortSignal): Promise<Removal> {
    return this.#exclusive(async () => {
      this.#goals.forget();
      this.#applyAt = null;
      this.#drift.unwatch();
      const removal = await this.#filter.remove({ signal });
      this.#writer.forgetAll();
      this.#rulesGone();
      await this.#flows.restoreAll();
      this.refresh();
      return removal;
    });
  }

  /** To be called when a problem of the board began or ended: the state may follow from it. */
  refresh(): void {
    const state = this.#derive();
    if (state === this.#state) return;
    const previous = this.#state;
    this.#state = state;
    this.#listener.state(state, previous);
  }

  /** Stops after the step in hand; what stands in the kernel stays. Idempotent. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#abort.abort();
    const grace = this.#clock.after(writeGraceMs, () => this.#abortWrites.abort());
    await this.#pump.close();
    grace[Symbol.dispose]();
    this.#drift.unwatch();
    this.#goals.rejectAll(closed());
    for (const call of this.#calls.splice(0)) await call();
  }

  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing !== null) return Promise.reject(closed());
    return new Promise<T>((resolve, reject) => {
      this.#calls.push(async () => {
        if (this.#abort.signal.aborted) reject(closed());
        else await work().then(resolve, reject);
      });
      this.#pump.wake();
    });
  }

  async #call(): Promise<void> {
    await this.#calls.shift()?.();
  }

  // ---- the goal ----

  async #apply(): Promise<void> {
    const current = this.#goals.current;
    this.#applyAt = null;
    if (current === null) return;
    const { goal, serial } = current;
    try {
      if (goal.kind === "nothing") await this.#clear(goal.state);
      else await this.#bringAbout(goal);
    } catch (error) {
      this.#failed(AntennaError.from(error, "apply"), serial);
      return;
    }
    this.#failures = 0;
    this.#problems.clear("apply-failed");
    if (!this.#settling) {
      this.#goals.stands(current);
      if (!this.#flows.isBehind) this.#reached();
    }
    this.refresh();
  }

  async #clear(why: string): Promise<void> {
    const { signal } = this.#abortWrites;
    if (!this.#looked) {
      await this.#writer.look([], signal);
      this.#looked = true;
    }
    if (this.#writer.standing.kind !== "empty") {
      this.#logger.info({ why }, "taking the rules out");
      this.#drift.unwatch();
      await this.#writer.clear(signal);
      this.#goals.wrote();
    }
    this.#rulesGone();
    await this.#flows.restoreAll();
  }

  async #bringAbout(goal: Goal & { kind: "rules" }): Promise<void> {
    if (!this.#looked) await this.#look(goal);
    const now = this.#clock.now();
    // Tracking begins with our rules, at the earliest when they are written now.
    const observes = goal.enforcing && now < (this.#trackingSince ?? now) + this.#settleMs;
    if (this.#trackingSince === null && this.#settleMs > 0) await this.#setUnsettled(true);
    await this.#switchTo(goal.program(observes));
    this.#trackingSince ??= this.#clock.now();
    this.#settling = observes;
    // A newer goal may have come meanwhile, and is worked on at once.
    if (observes) this.#applyAt ??= this.#trackingSince + this.#settleMs;
  }

  async #look(goal: Goal & { kind: "rules" }): Promise<void> {
    const program = goal.program(false);
    const observing = goal.enforcing && this.#settleMs > 0 ? goal.program(true) : null;
    const candidates = observing === null ? [program] : [program, observing];
    const found = await this.#writer.look(candidates, this.#abort.signal);
    this.#looked = true;
    if (this.#writer.standing.kind !== "empty") {
      // Killed while settling: nothing has been enforced yet, so settling begins anew, whatever policy it was for.
      const settles = found !== null && found === observing;
      const isUnsettled = settles || (this.#unsettled && found?.drops !== true);
      this.#trackingSince = isUnsettled ? this.#clock.now() : Number.NEGATIVE_INFINITY;
      await this.#setUnsettled(isUnsettled);
    }
    if (found === null) return;
    this.#logger.info(
      { rulesDigest: found.rulesDigest },
      "the kernel means the policy already: nothing to write",
    );
    this.#drift.watch();
    // A run before may have died between writing its rules and cutting what they deny.
    this.#flows.ask("policy");
  }

  /** When rules that drop nothing, and are not on their way to, have let tracking run for long enough. */
  get #settledAt(): number | null {
    const waits = this.#unsettled && !this.#settling && this.#trackingSince !== null;
    return waits ? (this.#trackingSince ?? 0) + this.#settleMs : null;
  }

  async #setUnsettled(unsettled: boolean): Promise<void> {
    if (this.#unsettled === unsettled) return;
    this.#unsettled = unsettled;
    await this.#listener.unsettled(unsettled);
  }

  async #switchTo(program: RuleProgram): Promise<void> {
    const before = this.#writer.standing;
    const wasDropping = before.kind === "installed" && before.installed.program.drops;
    const begins = program.drops && !wasDropping && before.kind !== "unknown";
    const began = this.#clock.now();
    const beforeRules = async () => {
      if (begins) await this.#flows.prepare(program);
      // Not waited for: enforcing does not wait for the disk.
      void this.#setUnsettled(false);
    };
    const result = await this.#writer.switchTo(program, {
      signal: this.#abortWrites.signal,
      ...((begins || (program.drops && this.#unsettled)) && { beforeRules }),
    });
    if (this.#writer.standing !== before) this.#drift.watch();
    if (!result.wrote) return;
    this.#goals.wrote();
    this.#logger.debug(
      { elapsedMs: this.#clock.now() - began, narrowed: result.narrowed, drops: program.drops },
      "rules and sets written",
    );
    if (result.narrowed || wasDropping !== program.drops) this.#flows.ask(begins ? "settled" : "policy");
    else await this.#flows.restoreAllowed(program);
  }

  #failed(error: AntennaError, serial: number): void {
    if (this.#abort.signal.aborted) return;
    this.#failures += 1;
    const isQuick = this.#failures < quickAttempts;
    const wait = isQuick
      ? backoffDelay(quickBackoff, this.#failures, this.#random())
      : backoffDelay(slowBackoff, this.#failures - quickAttempts + 1, this.#random());
    // A goal that came meanwhile is worked on at once.
    this.#applyAt ??= this.#clock.now() + wait;
    this.#logger.warn(
      { error, failures: this.#failures, retryInMs: wait },
      "the policy could not be applied",
    );
    if (!isQuick) {
      this.#problems.raise("apply-failed", problemText(error));
      this.#goals.reject(serial, error);
      this.#calls.push(() => this.#fallBack());
    }
    this.refresh();
  }

  async #fallBack(): Promise<void> {
    const before = this.#writer.standing;
    try {
      await this.#writer.fallBack(this.#abortWrites.signal);
    } catch (error) {
      this.#logger.error({ error }, "the last good rules could not be put back either");
      return;
    }
    if (this.#writer.standing === before) return;
    this.#drift.watch();
    this.#flows.ask("repair");
  }

  #rulesGone(): void {
    this.#trackingSince = null;
    this.#settling = false;
    this.#flows.forget();
    this.#drift.forget();
  }

  #reached(): void {
    const goal = this.#goals.reached();
    if (goal !== null) this.#listener.reached(goal);
    this.#goals.resolve();
  }

  // ---- keeping it so ----

  async #judge(): Promise<void> {
    const { standing } = this.#writer;
    if (standing.kind !== "installed") {
      // Rules are on their way; they will ask for a judgement of their own.
      this.#flows.forget();
      return;
    }
    const end = await this.#flows.judge(standing.installed.program, () => this.#isUrgent());
    if (end !== "interrupted") this.#reached();
    this.refresh();
  }

  #isUrgent(): boolean {
    const now = this.#clock.now();
    return [this.#applyAt, this.#drift.due].some((due) => due !== null && due <= now);
  }

  async #repair(): Promise<void> {
    const end = await this.#drift.repair(this.#abort.signal, this.#abortWrites.signal);
    // What passed while rules or members were wrong must not go on as established.
    if (end === "repaired") this.#flows.ask("repair");
    if (end === "failed" && this.#writer.standing.kind !== "installed") this.#applyAt ??= this.#clock.now();
    this.refresh();
  }

  async #tidy(): Promise<void> {
    try {
      await this.#writer.tidy(this.#abortWrites.signal);
      this.#tidyFailures = 0;
      this.#tidyAt = 0;
    } catch (error) {
      this.#tidyFailures += 1;
      this.#tidyAt = this.#clock.now() + backoffDelay(slowBackoff, this.#tidyFailures, this.#random());
      this.#logger.warn({ error }, "sets that are left over could not be destroyed");
    }
  }

  #calmDown(): Promise<void> {
    this.#drift.calmDown();
    this.refresh();
    return Promise.resolve();
  }

  #derive(): SyncState {
    const goal = this.#goals.current?.goal ?? null;
    if (goal === null) return "starting";
    if (this.#problems.has("apply-failed")) return "degraded";
    if (this.#settling) return "settling";
    if (this.#goals.isBehind || this.#flows.holdsPolicy) {
      return this.#goals.wasReached ? "applying" : "starting";
    }
    if (goal.kind === "nothing") return goal.state;
    return this.#problems.degrades ? "degraded" : "in-sync";
  }
}

function closed(): AntennaError {
  return new AntennaError({ code: "closed", operation: "reconcile", message: "the agent is closed" });
}
