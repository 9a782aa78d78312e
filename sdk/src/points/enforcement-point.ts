import type { ApplyResult, ExplainQuestion, Explanation, PreviewReport } from "../agent-calls.js";
import type { AgentEventName, AgentEvents } from "../agent-events.js";
import type { DriftStatus, LastRepair, PointStatus } from "../agent-status.js";
import { AntennaError } from "../error.js";
import type { EssentialFacts } from "../evaluate/essentials.js";
import { evaluate } from "../evaluate/evaluate.js";
import type { PolicyDelta } from "../policy/delta.js";
import { policyDigest } from "../policy/digest.js";
import type { Policy } from "../policy/model.js";
import { admitVersion, formatVersion } from "../policy/version.js";
import type {
  Clock,
  Difference,
  EnforcementReport,
  Logger,
  OfferOutcome,
  PacketFilter,
  Removal,
} from "../ports.js";
import { predictCost, requireAffordable } from "../program/cost.js";
import { abortable } from "../reconcile/abortable.js";
import type { Goal, GoalOutcome } from "../reconcile/goal.js";
import type { OpenedStore } from "../reconcile/policy-store.js";
import { ProblemBoard } from "../reconcile/problem-board.js";
import { Reconciler } from "../reconcile/reconciler.js";
import type { SyncState } from "../reconcile/sync-state.js";
import { type AdmittedPolicy, admitPolicy, type EnforceablePolicy, isAdmitted } from "./admitted-policy.js";
import { type BootMode, bootPolicy } from "./boot-policy.js";
import { DurableState } from "./durable-state.js";
import { explainedPacket } from "./explained-packet.js";
import { interruptedOffer, type OfferedPolicy, refusedOffer } from "./offered-policy.js";
import { previewPolicy } from "./policy-preview.js";
import { PolicyPrograms } from "./policy-programs.js";
import { Probation, type TrialTerms } from "./probation.js";
import { judgeLeftovers, judgeProtection, refusalText } from "./standing-problems.js";

export interface EnforcementPointOptions {
  /** Its id now: pairing may give another one. */
  readonly workload: () => string;
  /** `host`, or the container's name. */
  readonly name: string;
  /** Owned from here on: closed with the point. */
  readonly filter: PacketFilter;
  readonly stored: OpenedStore;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly settleMs: number;
  readonly onAllow: "return" | "accept";
  /** Members that the kernel may hold for a policy; more is refused before any work. */
  readonly maxMembers: number;
  readonly boot: BootMode;
  readonly facts: EssentialFacts;
  readonly emit: <Name extends AgentEventName>(name: Name, event: AgentEvents[Name]) => void;
}

/**
 * One place where one policy is enforced. A policy goes this way: it is admitted (version, delta, cost), its version
 * becomes the floor, its program is the reconciler's goal, and when that is reached it is in force and stored. On trial it
 * is stored only once it is confirmed, so that whatever ends the trial, a crash too, leaves the one before.
 */
export class EnforcementPoint implements AsyncDisposable {
  readonly name: string;
  readonly #workload: () => string;
  readonly #filter: PacketFilter;
  readonly #clock: Clock;
  readonly #maxMembers: number;
  readonly #emit: EnforcementPointOptions["emit"];
  readonly #problems: ProblemBoard;
  readonly #durable: DurableState;
  readonly #programs: PolicyPrograms;
  readonly #reconciler: Reconciler;
  readonly #abort = new AbortController();
  /** The newest policy accepted, which deltas apply to. */
  #accepted: EnforceablePolicy | null;
  /** The policy to be enforced: the newest accepted, or, while a trial compares, the one before. */
  #wanted: EnforceablePolicy | null;
  /** The policy that the kernel means. */
  #inForce: EnforceablePolicy | null = null;
  /** The policy that was in force last and not on trial. */
  #confirmed: EnforceablePolicy | null;
  #probation: Probation | null = null;
  #refusedOffer: OfferOutcome | null;
  #toldState: SyncState = "starting";
  #lastRepair: LastRepair | null = null;
  readonly #targets = new WeakMap<Goal, Target>();
  readonly #onSettling = new Set<() => void>();
  /** The first policy on its way into force. */
  #first: Promise<unknown> = Promise.resolve();
  /** Everything of ours goes: no policy comes any more. */
  #isPurged = false;
  #closing: Promise<void> | null = null;

  constructor(options: EnforcementPointOptions) {
    const { clock, logger, random, stored } = options;
    this.#workload = options.workload;
    this.name = options.name;
    this.#filter = options.filter;
    this.#clock = clock;
    this.#maxMembers = options.maxMembers;
    this.#emit = options.emit;
    this.#accepted = bootPolicy(stored.state, options.boot);
    this.#wanted = this.#accepted;
    this.#confirmed = this.#accepted;
    // Of what is on disk, also where nobody vouches for it.
    this.#refusedOffer = interruptedOffer(stored.store.state);
    this.#programs = new PolicyPrograms(options);
    this.#problems = new ProblemBoard(clock, (change) => {
      this.#emit("problem", { workload: this.workload, ...change });
      // The board speaks before the reconciler stands only below, in this constructor.
      this.#reconciler?.refresh();
    });
    const problems = this.#problems;
    this.#durable = new DurableState({ stored, clock, random, problems, signal: this.#abort.signal });
    this.#reconciler = new Reconciler({
      filter: options.filter,
      clock,
      logger,
      random,
      problems,
      settleMs: options.settleMs,
      unsettled: stored.state.unsettled,
      listener: {
        reached: (goal) => this.#reached(goal),
        unsettled: (unsettled) => this.#durable.setUnsettled(unsettled),
        state: (now) => {
          if (now === "settling") for (const resolve of this.#onSettling) resolve();
          this.#tellState();
        },
        drift: (repair) => {
          this.#lastRepair = { time: clock.date().toISOString(), ...repair };
          judgeLeftovers(problems, this.#filter.describe());
          this.#emit("drift", { workload: this.workload, ...repair });
        },
        cut: (report) => this.#emit("cut", { workload: this.workload, ...report }),
      },
    });
    if (stored.damage.length > 0) {
      problems.raise("state-corrupt", `${stored.damage.join("; ")}: the newest state that holds is used`);
    }
    if (this.#accepted === null) problems.raise("policy-missing", "there is no policy to enforce yet");
    if (this.#accepted !== null || this.#durable.suspended) {
      this.#first = this.#reach(this.#accepted);
      this.#first.catch((error: unknown) => {
        logger.error({ error }, "the last known good policy could not be put in force");
      });
    }
  }

  // ---- the way of a policy ----

  /** Makes a policy the one in force; see `Agent.apply`. */
  async apply(input: Policy | PolicyDelta, signal?: AbortSignal): Promise<ApplyResult> {
    const accepted = this.#accept(input);
    this.#endTrial();
    const { policy, version, digest } = accepted;
    const outcome = await this.#reach(accepted, { signal });
    return {
      version: formatVersion(version),
      digest,
      mode: policy.mode,
      state: this.#state,
      changed: outcome.wrote,
      inForce: !outcome.superseded,
    };
  }

  /**
   * Takes a policy from the controller. Resolves when it is in force and, on trial, confirmed, rolled back or replaced;
   * rejects as `apply` does.
   */
  async offer(offered: OfferedPolicy): Promise<void> {
    try {
      await this.#take(offered);
    } catch (reason) {
      this.#refusedOffer = refusedOffer(offered, reason) ?? this.#refusedOffer;
      throw reason;
    }
  }

  async #take({ policy: input, digest, proof, trial }: OfferedPolicy): Promise<void> {
    const running = this.#probation;
    const accepted = this.#accept(input, { digest, proof });
    if (running !== null && trial !== null && running.target.policy === accepted.policy) {
      await running.outcome;
      return;
    }
    this.#endTrial();
    const isGood = this.#confirmed !== null && this.#confirmed.policy === accepted.policy;
    if (trial === null || isGood) await this.#reach(accepted);
    else await this.#try(accepted, trial);
  }

  async #try(target: AdmittedPolicy, terms: TrialTerms): Promise<void> {
    const since = this.#clock.now();
    const previous = this.#confirmed;
    const probation = new Probation({
      ...terms,
      target,
      previous,
      clock: this.#clock,
      put: (policy) => this.#reach(policy, { trial: true }),
      suspended: this.#durable.suspended,
    });
    this.#probation = probation;
    this.#tellState();
    const outcome = await probation.outcome;
    // Another policy took its place, and speaks for itself.
    if (this.#probation !== probation) return;
    this.#probation = null;
    if (outcome.kind === "confirmed") this.#commit({ target, since, trial: false });
    if (outcome.kind === "rolled-back") this.#rolledBack(target, previous, outcome.reason);
    this.#tellState();
    await this.#durable.saved();
  }

  /** Why a policy would deny a new packet; null: it would not. */
  denial(policy: Policy, question: ExplainQuestion): string | null {
    const packet = explainedPacket(question);
    const { verdict, rule } = evaluate(policy, packet, { essentials: this.#programs.essentials(policy) });
    if (verdict !== "blocked") return null;
    return rule === null ? `the default of mode ${policy.mode} denies it` : `rule ${rule} denies it`;
  }

  /** Raises `policy-refused` with every reason; it stands until a policy is accepted. */
  refuse(error: AntennaError): void {
    this.#problems.raise("policy-refused", refusalText(error));
  }

  #accept(
    input: Policy | PolicyDelta,
    signed?: { readonly digest: string; readonly proof: Uint8Array },
  ): AdmittedPolicy {
    if (this.#isPurged) throw purged();
    try {
      const admission = admitPolicy(input, this.#accepted, this.#durable.floor, signed);
      const { admitted } = admission;
      requireAffordable(predictCost(this.#programs.compile(admitted.policy, false)), this.#maxMembers);
      this.#accepted = admitted;
      this.#durable.accepted(admission);
      this.#problems.clear("policy-refused");
      this.#problems.clear("policy-missing");
      this.#problems.clear("rolled-back");
      this.#refusedOffer = null;
      return admitted;
    } catch (error) {
      const refusal = AntennaError.from(error, "accept a policy");
      this.refuse(refusal);
      throw refusal;
    }
  }

  #reach(
    target: EnforceablePolicy | null,
    {
      signal,
      trial = this.#probation !== null,
    }: { readonly signal?: AbortSignal | undefined; readonly trial?: boolean } = {},
  ): Promise<GoalOutcome> {
    if (this.#isPurged) return Promise.reject(purged());
    this.#wanted = target;
    const isOut = this.#durable.suspended || target === null;
    const goal: Goal = isOut ? { kind: "nothing", state: "suspended" } : this.#programs.goal(target.policy);
    if (target !== null) this.#targets.set(goal, { target, since: this.#clock.now(), trial });
    // What was refused by the kernel has left its version floor, which has to be stored too.
    const reached = this.#reconciler.reach(goal).finally(() => this.#durable.saved());
    return signal === undefined ? reached : abortable(reached, signal);
  }

  #reached(goal: Goal): void {
    judgeLeftovers(this.#problems, this.#filter.describe());
    const reached = this.#targets.get(goal);
    if (reached === undefined) return;
    this.#inForce = reached.target;
    judgeProtection(this.#problems, reached.target.policy);
    if (!reached.trial) this.#commit(reached);
  }

  /** The policy in force is good: it is what a start begins with from now on. */
  #commit({ target, since }: Target): void {
    this.#confirmed = target;
    if (!isAdmitted(target)) return;
    const { policy, version, digest } = target;
    this.#durable.inForce(target);
    if (this.#durable.suspended) return;
    this.#emit("policy", {
      workload: this.workload,
      version: formatVersion(version),
      digest,
      mode: policy.mode,
      elapsedMs: this.#clock.now() - since,
    });
  }

  #endTrial(): void {
    this.#probation?.stop();
    this.#probation = null;
  }

  #rolledBack(target: AdmittedPolicy, previous: EnforceablePolicy | null, reason: string): void {
    this.#accepted = previous;
    this.#refusedOffer = { version: target.version, result: "rolled-back", reason };
    const version = formatVersion(target.version);
    const now = previous?.version == null ? "no policy" : formatVersion(previous.version);
    this.#problems.raise("rolled-back", `policy ${version} was rolled back: ${reason}; ${now} is in force`);
    if (previous === null) this.#inForce = null;
  }

  // ---- what it says ----

  /** For the controller. */
  report(): EnforcementReport {
    const good = this.#inForce === null ? null : this.#confirmed;
    return {
      state: this.#state,
      mode: this.policy?.mode ?? null,
      applied: isAdmitted(good) ? { version: good.version, digest: good.digest } : null,
      floor: this.#durable.floor?.version ?? null,
      problems: this.#problems.list(),
      refused: this.#refusedOffer,
    };
  }

  /**
   * Resolves when a stored policy stands, settles or failed, or when there is none: packets are judged as well as they
   * can be, and there is time for other things.
   */
  async standing(): Promise<void> {
    if (this.#wanted === null || this.#inForce !== null || this.#reconciler.state !== "starting") return;
    await this.#orSettling(this.#first.catch(() => {}));
  }

  get workload(): string {
    return this.#workload();
  }

  /** The newest policy accepted, to which deltas apply. */
  get accepted(): Policy | null {
    return this.#accepted?.policy ?? null;
  }

  get #state(): SyncState {
    const { state } = this.#reconciler;
    // Rolled back to before any policy: no rules, and nobody suspended anything.
    const isBare = state === "suspended" && !this.#durable.suspended;
    if (!isBare && state !== "in-sync" && state !== "idle") return state;
    if (this.#probation !== null) return "applying";
    if (this.#problems.has("rolled-back")) return "rolled-back";
    return isBare ? "starting" : state;
  }

  #tellState(): void {
    const [state, previous] = [this.#state, this.#toldState];
    if (state === previous) return;
    this.#toldState = state;
    this.#emit("state", { workload: this.workload, state, previous });
  }

  async preview(policy: Policy, limit: number, signal: AbortSignal): Promise<PreviewReport> {
    const version = admitVersion(policy.version, policyDigest(policy), this.#durable.floor);
    const candidate = policy.version === null ? { ...policy, version } : policy;
    return await previewPolicy(this.#accepted?.policy ?? null, candidate, this.#programs, (judge) =>
      this.#reconciler.preview(judge, limit, signal),
    );
  }

  /** The policy in force; before any is, the one on its way. */
  get policy(): Policy | null {
    return this.#shown?.policy ?? null;
  }

  get policyVersion(): string | null {
    const version = this.#shown?.version ?? null;
    return version === null ? null : formatVersion(version);
  }

  get problems(): ReturnType<ProblemBoard["list"]> {
    return this.#problems.list();
  }

  get drift(): DriftStatus {
    return { repairs: this.#reconciler.repairs, last: this.#lastRepair };
  }

  status(): PointStatus {
    return {
      workload: this.workload,
      name: this.name,
      mode: this.policy?.mode ?? null,
      policyVersion: this.policyVersion,
      policyDigest: this.#shown?.digest ?? null,
      state: this.#state,
      settlesInMs: this.#reconciler.settlesInMs,
      filter: this.#filter.describe(),
      flowsCut: this.#filter.connections.cutFlows().length,
      stored: this.#durable.isStored,
    };
  }

  explain(question: ExplainQuestion): Explanation {
    const policyVersion = this.policyVersion;
    const policy = this.policy;
    if (policy === null || this.#durable.suspended)
      return { verdict: "allowed", stage: "default", rule: null, policyVersion };
    const { verdict, stage, rule } = evaluate(policy, explainedPacket(question), {
      essentials: this.#programs.essentials(policy),
      settling: this.#reconciler.state === "settling",
    });
    return { verdict, stage, rule, policyVersion };
  }

  verify(signal: AbortSignal): Promise<readonly Difference[]> {
    return this.#reconciler.verify("members", signal);
  }

  get #shown(): EnforceablePolicy | null {
    return this.#inForce ?? this.#accepted;
  }

  // ---- lifecycle ----

  /** Resolves when packets are let through accordingly: the rules stand, or they settle and drop nothing. */
  async setEssentials(facts: EssentialFacts, signal?: AbortSignal): Promise<void> {
    this.#programs.setEssentials(facts);
    if (this.#wanted === null) return;
    const standing = this.#orSettling(this.#reach(this.#wanted));
    await (signal === undefined ? standing : abortable(standing, signal));
  }

  async suspend(signal?: AbortSignal): Promise<void> {
    this.#probation?.suspend();
    const stored = this.#durable.setSuspended(true);
    await this.#reach(this.#wanted, { signal });
    await stored;
  }

  async resume(signal?: AbortSignal): Promise<void> {
    if (!this.#durable.suspended) return;
    const stored = this.#durable.setSuspended(false);
    // Rules that settle stand already; whoever resumes need not wait for half a minute.
    const standing = this.#orSettling(this.#reach(this.#wanted));
    this.#probation?.resume();
    await (signal === undefined ? standing : abortable(standing, signal));
    await stored;
  }

  /** As `work`, or earlier, when the rules stand and settle: nothing is dropped yet, there is nothing to wait for. */
  #orSettling(work: Promise<unknown>): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#onSettling.add(resolve);
      work.then(() => resolve(), reject).finally(() => this.#onSettling.delete(resolve));
      if (this.#reconciler.state === "settling") resolve();
    });
  }

  /** Takes everything of ours out of the kernel and the store. */
  async purge(signal: AbortSignal): Promise<Removal> {
    this.#endTrial();
    this.#isPurged = true;
    try {
      const removal = await this.#reconciler.remove(signal);
      await this.#durable.remove();
      return removal;
    } catch (reason) {
      this.#isPurged = false;
      throw reason;
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#abort.abort();
    this.#endTrial();
    this.#problems.close();
    await this.#reconciler.close();
    await this.#durable.close();
    await this.#filter[Symbol.asyncDispose]();
  }
}

/** A policy on its way into force. */
interface Target {
  readonly target: EnforceablePolicy;
  readonly since: number;
  /** What it leads to is no good yet. */
  readonly trial: boolean;
}

function purged(): AntennaError {
  const message = "everything is being taken out";
  return new AntennaError({ code: "closed", operation: "put a policy in force", message });
}
