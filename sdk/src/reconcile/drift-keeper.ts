import { AntennaError } from "../error.js";
import type { ChangeNotice, Clock, Difference, Logger, PacketFilter, VerifyScope } from "../ports.js";
import { type Backoff, backoffDelay } from "./backoff.js";
import type { KernelWriter } from "./kernel-writer.js";
import { type ProblemBoard, problemText } from "./problem-board.js";
import { RepairBudget } from "./repair-budget.js";

/** A foreign change, undone. */
export interface Repair {
  readonly differences: readonly Difference[];
  /** As the kernel's notice claims; both can lie. */
  readonly writer: ChangeNotice["writer"];
  /** From the notice to the end of the repair. */
  readonly elapsedMs: number;
}

export interface DriftKeeperOptions {
  readonly filter: PacketFilter;
  readonly writer: KernelWriter;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly problems: ProblemBoard;
  readonly onRepair: (repair: Repair) => void;
  /** Called when there is something to do. */
  readonly wake: () => void;
}

export type RepairEnd = "nothing" | "repaired" | "failed";

interface Notice {
  readonly scope: VerifyScope;
  readonly writer: ChangeNotice["writer"];
  readonly at: number;
}

const attemptsBeforeProblem = 4;
const quickBackoff: Backoff = { firstMs: 100, maxMs: 1_000 };
const slowBackoff: Backoff = { firstMs: 5_000, maxMs: 60_000 };
/** How long what is over at once stays visible as a problem. */
const lingerMs = 60_000;
const scopes: readonly VerifyScope[] = ["rules", "counts", "members"];

/** Finds out what foreign hands did to the kernel and undoes it, at full speed as long as nobody fights back. */
export class DriftKeeper {
  readonly #filter: PacketFilter;
  readonly #writer: KernelWriter;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #random: () => number;
  readonly #problems: ProblemBoard;
  readonly #onRepair: (repair: Repair) => void;
  readonly #wake: () => void;
  readonly #budget = new RepairBudget();
  /** What was told and not looked into yet, taken together. */
  #notice: Notice | null = null;
  #due: number | null = null;
  #failures = 0;
  #repairs = 0;

  constructor(options: DriftKeeperOptions) {
    this.#filter = options.filter;
    this.#writer = options.writer;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#random = options.random;
    this.#problems = options.problems;
    this.#onRepair = options.onRepair;
    this.#wake = options.wake;
  }

  /** When the kernel is to be looked at; null: nobody told anything. */
  get due(): number | null {
    return this.#due;
  }

  /** When a fight will be over, if nothing happens until then. */
  get calmAt(): number | null {
    return this.#budget.calmAt();
  }

  /** Repairs since the start. */
  get repairs(): number {
    return this.#repairs;
  }

  /** To be called when something else stands than before. */
  watch(): void {
    const { standing } = this.#writer;
    if (standing.kind === "installed")
      this.#filter.watch(standing.installed, (notice) => this.noticed(notice));
    else this.unwatch();
  }

  unwatch(): void {
    this.#filter.watch(null, () => {});
  }

  /** Nothing of ours stands: nothing can drift. */
  forget(): void {
    this.#notice = null;
    this.#due = null;
    this.#failures = 0;
    this.#problems.clear("verify-failed");
  }

  /** Something changed or may have changed. */
  noticed(notice: ChangeNotice): void {
    const now = this.#clock.now();
    const before = this.#notice;
    this.#notice = {
      scope: before === null ? notice.scope : wider(before.scope, notice.scope),
      writer: notice.writer ?? before?.writer ?? null,
      at: before?.at ?? now,
    };
    this.#due ??= this.#budget.earliest(now, this.#random());
    this.#wake();
  }

  /** Looks into what was told, and repairs what is wrong. */
  async repair(readSignal: AbortSignal, writeSignal: AbortSignal): Promise<RepairEnd> {
    const notice = this.#notice;
    this.#notice = null;
    this.#due = null;
    if (notice === null || this.#writer.standing.kind !== "installed") return "nothing";
    try {
      const differences = await this.#writer.verify(notice.scope, readSignal);
      if (differences.length > 0) await this.#writer.repair(differences, writeSignal);
      this.#failures = 0;
      this.#problems.clear("verify-failed");
      if (differences.length === 0) return "nothing";
      this.#repaired(differences, notice);
      return "repaired";
    } catch (error) {
      if (readSignal.aborted) return "nothing";
      this.#failed(error, notice);
      return "failed";
    }
  }

  /** To be called at `calmAt`. */
  calmDown(): void {
    this.#budget.earliest(this.#clock.now(), 0);
    this.#problems.clear("drift-fight");
  }

  #repaired(differences: readonly Difference[], notice: Notice): void {
    const now = this.#clock.now();
    this.#budget.spent(now);
    this.#repairs += 1;
    this.watch();
    this.#logger.warn({ differences, writer: notice.writer }, "a foreign change was repaired");
    this.#onRepair({ differences, writer: notice.writer, elapsedMs: now - notice.at });
    const displaced = differences.find((found) => found.kind === "jump-displaced");
    if (displaced !== undefined) {
      const text = `another rule stood before ours and was passed first; ours was put back: ${displaced.detail}`;
      this.#problems.raiseFor("rule-displaced", text, lingerMs);
    }
    if (this.#budget.fighting) {
      const who =
        notice.writer === null ? "another program" : `${notice.writer.name} (pid ${notice.writer.pid})`;
      this.#problems.raise(
        "drift-fight",
        `${who} undoes our rules again and again, repairs are slowed down; let it leave foreign chains and sets alone`,
      );
    }
    // What changed while it was being repaired was not seen by the repair.
    this.#notice ??= { scope: "rules", writer: null, at: now };
    this.#due ??= this.#budget.earliest(now, this.#random());
  }

  #failed(error: unknown, notice: Notice): void {
    this.#failures += 1;
    this.#notice ??= notice;
    const isQuick = this.#failures < attemptsBeforeProblem;
    const wait = backoffDelay(isQuick ? quickBackoff : slowBackoff, this.#failures, this.#random());
    this.#due = this.#clock.now() + wait;
    this.#logger.warn({ error, failures: this.#failures }, "the kernel could not be compared or repaired");
    if (!isQuick)
      this.#problems.raise("verify-failed", problemText(AntennaError.from(error, "verify and repair")));
  }
}

function wider(a: VerifyScope, b: VerifyScope): VerifyScope {
  return scopes.indexOf(a) >= scopes.indexOf(b) ? a : b;
}
