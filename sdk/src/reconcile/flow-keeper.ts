import { AntennaError } from "../error.js";
import type { Clock, ConnectionTable, Logger, TrackedFlow } from "../ports.js";
import { decide } from "../program/decide.js";
import type { RuleProgram } from "../program/program.js";
import { type Backoff, backoffDelay } from "./backoff.js";
import { type Judge, type JudgeResult, judgeFlows, restoreAllowed } from "./flow-judge.js";
import { FlowOverwrites, type OverwrittenFlows } from "./flow-overwrites.js";
import { type ProblemBoard, problemText } from "./problem-board.js";

/** What became of tracked flows, and why they were looked at. */
export interface CutReport {
  readonly reason: CutReason;
  /** Flows cut; those that were closing by themselves not counted. */
  readonly cut: number;
  readonly restored: number;
  readonly socketsEnded: number;
  /** Some of the flows that were cut, at most 20. */
  readonly examples: readonly TrackedFlow[];
}

/** The policy narrowed, enforcement began, a repair, or somebody took the mark off and it was set again. */
export type CutReason = "policy" | "settled" | "repair" | "mark-overwritten" | "entry-deleted";

export interface FlowKeeperOptions {
  readonly connections: ConnectionTable;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly problems: ProblemBoard;
  /** Ends whatever is being read. */
  readonly signal: AbortSignal;
  readonly onCut: (report: CutReport) => void;
}

export type JudgementEnd = "done" | "interrupted" | "failed";

const backoff: Backoff = { firstMs: 5_000, maxMs: 60_000 };
/** After this long, what is urgent no longer breaks a judgement off: it would never end under a stream of changes. */
const holdMs = 1_000;
/** How long what is over at once stays visible as a problem. */
const lingerMs = 60_000;

/** Keeps tracked flows as the program in force wants them: which are to be judged when, and what came of it. */
export class FlowKeeper {
  readonly #connections: ConnectionTable;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #random: () => number;
  readonly #problems: ProblemBoard;
  readonly #signal: AbortSignal;
  readonly #onCut: (report: CutReport) => void;
  #pending: { readonly reason: CutReason; readonly since: number } | null = null;
  #due: number | null = null;
  #failures = 0;

  constructor(options: FlowKeeperOptions) {
    this.#connections = options.connections;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#random = options.random;
    this.#problems = options.problems;
    this.#signal = options.signal;
    this.#onCut = options.onCut;
    const overwrites = new FlowOverwrites(options.clock, options.signal, (report) =>
      this.#overwritten(report),
    );
    this.#connections.onOverwritten((event) => overwrites.add(event));
  }

  /** When flows are to be judged; null: they are. */
  get due(): number | null {
    return this.#due;
  }

  /** True while flows wait to be judged for the first time by the program in force. */
  get isBehind(): boolean {
    return this.#pending !== null && this.#failures === 0;
  }

  /** True while flows wait because of a new policy, not because of a repair. */
  get holdsPolicy(): boolean {
    return this.isBehind && this.#pending?.reason !== "repair";
  }

  /** All flows are to be judged, as soon as may be. */
  ask(reason: CutReason): void {
    this.#pending = { reason, since: this.#pending?.since ?? this.#clock.now() };
    this.#due = this.#clock.now();
  }

  /** Nothing stands that flows could be judged by. */
  forget(): void {
    this.#pending = null;
    this.#due = null;
    this.#failures = 0;
    this.#problems.clear("cut-failed");
  }

  /** Judges all flows. `isUrgent` is asked between batches: true breaks it off, to be done again from the start. */
  async judge(program: RuleProgram, isUrgent: () => boolean): Promise<JudgementEnd> {
    const pending = this.#pending;
    this.#due = null;
    if (pending === null) return "done";
    try {
      const result = await judgeFlows(this.#connections, (packet) => decide(program, packet), {
        signal: this.#signal,
        interrupted: () => this.#signal.aborted || (this.#clock.now() - pending.since < holdMs && isUrgent()),
      });
      this.#tell(pending.reason, result);
      if (!result.complete) {
        this.#due = this.#clock.now();
        return "interrupted";
      }
    } catch (error) {
      if (this.#signal.aborted) return "interrupted";
      this.#failures += 1;
      this.#due = this.#clock.now() + backoffDelay(backoff, this.#failures, this.#random());
      this.#logger.warn({ error, failures: this.#failures }, "tracked flows could not be judged");
      this.#problems.raise("cut-failed", problemText(AntennaError.from(error, "judge tracked flows")));
      return "failed";
    }
    this.#pending = null;
    this.#failures = 0;
    this.#problems.clear("cut-failed");
    return "done";
  }

  /** After a change that only widened: flows that are kept cut and are allowed now may go on. */
  async restoreAllowed(program: RuleProgram): Promise<void> {
    if (!program.drops || this.#connections.cutFlows().length === 0) return;
    const restored = await restoreAllowed(
      this.#connections,
      (packet) => decide(program, packet),
      this.#signal,
    );
    if (restored > 0) this.#onCut({ ...nothing, reason: "policy", restored });
  }

  /** Our rules are gone: no flow is cut any more. */
  async restoreAll(): Promise<void> {
    const result = await judgeFlows(this.#connections, () => passes, {
      signal: this.#signal,
      interrupted: () => false,
    });
    this.#tell("policy", result);
  }

  /**
   * The last thing before the first rules that drop: silent connections are entered, and what `program` denies is
   * marked. Marks drop nothing yet; they take effect together with the rules.
   */
  async prepare(program: RuleProgram): Promise<void> {
    await this.#enterSilent();
    const judge: Judge = (packet) => decide(program, packet);
    const result = await judgeFlows(this.#connections, judge, {
      signal: this.#signal,
      interrupted: () => false,
    });
    this.#tell("settled", result);
  }

  async #enterSilent(): Promise<void> {
    try {
      const entered = await this.#connections.enterSilent({ signal: this.#signal });
      this.#logger.info(entered, "silent connections entered into tracking");
      if (entered.failed === 0) {
        this.#problems.clear("settle-incomplete");
        return;
      }
      const text = `${entered.failed} silent TCP connections could not be entered into connection tracking`;
      this.#problems.raiseFor("settle-incomplete", `${text}; each is judged by its next packet`, lingerMs);
    } catch (error) {
      if (this.#signal.aborted) throw error;
      const text = problemText(AntennaError.from(error, "enter silent connections"));
      this.#problems.raiseFor("settle-incomplete", text, lingerMs);
    }
  }

  #tell(reason: CutReason, result: JudgeResult): void {
    if (result.cut === 0 && result.restored === 0) return;
    const { cut, restored, socketsEnded, examples } = result;
    this.#onCut({ reason, cut, restored, socketsEnded, examples });
  }

  #overwritten({ by, flows, examples }: OverwrittenFlows): void {
    const whose = flows === 1 ? "a flow that was cut" : `${flows} flows that were cut`;
    const what =
      by === "mark-overwritten"
        ? `the mark of ${whose} was overwritten, as a rule does that saves the whole connmark`
        : `the tracking entry of ${whose} was deleted`;
    if (!this.#signal.aborted)
      this.#problems.raiseFor("cut-mark-overwritten", `${what}; it was set again`, lingerMs);
    this.#onCut({ ...nothing, reason: by, cut: flows, examples });
  }
}

const nothing = { cut: 0, restored: 0, socketsEnded: 0, examples: [] } as const;
const passes = { verdict: "allowed", stage: "default", rule: null, refusal: null } as const;
