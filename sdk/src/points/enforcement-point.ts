import type { ApplyResult, ExplainQuestion, Explanation, PreviewReport } from "../agent-calls.js";
import type { AgentEventName, AgentEvents } from "../agent-events.js";
import type { DriftStatus, LastRepair, PointStatus } from "../agent-status.js";
import { AntennaError } from "../error.js";
import type { Essential } from "../evaluate/essential.js";
import { builtinEssentials, type EssentialFacts } from "../evaluate/essentials.js";
import { evaluate } from "../evaluate/evaluate.js";
import { applyDelta, type PolicyDelta } from "../policy/delta.js";
import { policyDigest } from "../policy/digest.js";
import type { Policy, Version } from "../policy/model.js";
import { type AcceptedPolicy, admitVersion, compareVersions, formatVersion } from "../policy/version.js";
import type { Clock, Difference, Logger, PacketFilter, Removal } from "../ports.js";
import { compile } from "../program/compile.js";
import { predictCost, requireAffordable } from "../program/cost.js";
import { decide } from "../program/decide.js";
import type { RuleProgram } from "../program/program.js";
import { abortable } from "../reconcile/abortable.js";
import { type Backoff, backoffDelay } from "../reconcile/backoff.js";
import type { Goal, GoalOutcome } from "../reconcile/goal.js";
import type { MemberChanges, OpenedStore, PolicyStore, StoredState } from "../reconcile/policy-store.js";
import { ProblemBoard } from "../reconcile/problem-board.js";
import { Reconciler } from "../reconcile/reconciler.js";
import { explainedPacket } from "./explained-packet.js";
import { comparePolicies, describeCut } from "./policy-preview.js";

export interface EnforcementPointOptions {
  readonly workload: string;
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
  readonly boot: "last-known-good" | "closed" | "visibility";
  readonly facts: EssentialFacts;
  readonly emit: <Name extends AgentEventName>(name: Name, event: AgentEvents[Name]) => void;
}

/** A policy with the version and digest under which it was accepted; both null for one that the agent made up. */
interface Accepted {
  readonly policy: Policy;
  readonly version: Version | null;
  readonly digest: string | null;
}

/** A policy that was accepted, on its way into the store. */
interface Step {
  readonly policy: Policy;
  readonly version: Version;
  readonly digest: string;
  /** null: not to be had as changes of `base`. */
  readonly members: { readonly base: Policy; readonly sets: MemberChanges } | null;
}

interface Compiled {
  /** What they were compiled with. */
  readonly facts: EssentialFacts;
  /** By `observing`; null: idle. */
  readonly programs: Map<boolean, RuleProgram | null>;
}

/** After this many in a row that never came into force, the next one is stored whole. */
const maxToStore = 256;
const storeBackoff: Backoff = { firstMs: 1_000, maxMs: 60_000 };

/** One place where one policy is enforced: the filter, the reconciler that writes to it, and the store. */
export class EnforcementPoint implements AsyncDisposable {
  readonly workload: string;
  readonly name: string;
  readonly #filter: PacketFilter;
  readonly #store: PolicyStore;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #random: () => number;
  readonly #onAllow: "return" | "accept";
  readonly #maxMembers: number;
  readonly #emit: EnforcementPointOptions["emit"];
  readonly #problems: ProblemBoard;
  readonly #reconciler: Reconciler;
  readonly #abort = new AbortController();
  #facts: EssentialFacts;
  #floor: AcceptedPolicy | null;
  #suspended: boolean;
  /** The policy to be enforced. */
  #accepted: Accepted | null;
  /** The policy that the kernel means. */
  #inForce: Accepted | null = null;
  #lastRepair: LastRepair | null = null;
  /** Accepted since the store was written, oldest first. */
  readonly #toStore: Step[] = [];
  #stored = true;
  #storeFailures = 0;
  #storeRetry: Disposable | null = null;
  readonly #compiled = new WeakMap<Policy, Compiled>();
  readonly #targets = new WeakMap<Goal, { readonly target: Accepted; readonly since: number }>();
  /** What is being stored; never rejects. */
  #saving: Promise<void> = Promise.resolve();
  readonly #onSettling: (() => void)[] = [];
  #closing: Promise<void> | null = null;

  constructor(options: EnforcementPointOptions) {
    this.workload = options.workload;
    this.name = options.name;
    this.#filter = options.filter;
    this.#store = options.stored.store;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#random = options.random;
    this.#onAllow = options.onAllow;
    this.#maxMembers = options.maxMembers;
    this.#emit = options.emit;
    this.#facts = options.facts;
    const { state, damage } = options.stored;
    this.#floor = state.floor;
    this.#suspended = state.suspended;
    this.#accepted = atStart(state, options.boot);
    this.#problems = new ProblemBoard(options.clock, (change) => {
      this.#emit("problem", { workload: this.workload, ...change });
      // The board speaks before the reconciler stands only below, in this constructor.
      this.#reconciler?.refresh();
    });
    this.#reconciler = new Reconciler({
      filter: options.filter,
      clock: options.clock,
      logger: options.logger,
      random: options.random,
      problems: this.#problems,
      settleMs: options.settleMs,
      listener: {
        reached: (goal) => this.#reached(goal),
        state: (now, previous) => {
          if (now === "settling") for (const resolve of this.#onSettling.splice(0)) resolve();
          this.#emit("state", { workload: this.workload, state: now, previous });
        },
        drift: (repair) => {
          this.#lastRepair = { time: this.#clock.date().toISOString(), ...repair };
          this.#emit("drift", { workload: this.workload, ...repair });
        },
        cut: (report) => this.#emit("cut", { workload: this.workload, ...report }),
      },
    });
    if (damage.length > 0) {
      this.#problems.raise("state-corrupt", `${damage.join("; ")}: the newest state that holds is used`);
    }
    if (this.#accepted === null) this.#problems.raise("policy-missing", "there is no policy to enforce yet");
    if (this.#accepted !== null || this.#suspended) {
      this.#reach(this.#accepted).catch((error: unknown) => {
        this.#logger.error({ error }, "the last known good policy could not be put in force");
      });
    }
  }

  /** Makes a policy the one in force; see `Agent.apply`. */
  async apply(input: Policy | PolicyDelta, signal?: AbortSignal): Promise<ApplyResult> {
    const accepted = this.#accept(input);
    const outcome = await this.#reach(accepted, signal);
    return {
      version: formatVersion(accepted.version),
      digest: accepted.digest,
      mode: accepted.policy.mode,
      state: this.#reconciler.state,
      changed: outcome.wrote,
      inForce: !outcome.superseded,
    };
  }

  /** Raises `policy-refused` with every reason; it stands until a policy is accepted. */
  refuse(error: AntennaError): void {
    const reasons = error.problems.map(({ path, problem }) =>
      path === "" ? problem : `${path}: ${problem}`,
    );
    this.#problems.raise(
      "policy-refused",
      reasons.length === 0 ? error.message : `${error.operation}: ${reasons.join("; ")}`,
    );
  }

  async preview(policy: Policy, limit: number, signal: AbortSignal): Promise<PreviewReport> {
    const version = admitVersion(policy.version, policyDigest(policy), this.#floor);
    const candidate = policy.version === null ? { ...policy, version } : policy;
    const program = this.#compile(candidate, false);
    const now = this.#accepted?.policy ?? null;
    const { flows, examples } =
      program === null
        ? { flows: 0, examples: [] }
        : await this.#reconciler.preview((packet) => decide(program, packet), limit, signal);
    const essentials = now === null ? [] : this.#essentials(now);
    return {
      ...comparePolicies(now, candidate),
      cuts: {
        flows,
        complete: true,
        examples: examples.map((example) => describeCut(example, now, essentials)),
      },
      cost: predictCost(program),
    };
  }

  /** The policy in force; before any is, the one on its way. */
  get policy(): Policy | null {
    return this.#shown?.policy ?? null;
  }

  get policyDigest(): string | null {
    return this.#shown?.digest ?? null;
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
      policyDigest: this.policyDigest,
      state: this.#reconciler.state,
      settlesInMs: this.#reconciler.settlesInMs,
      filter: this.#filter.describe(),
      flowsCut: this.#filter.connections.cutFlows().length,
      stored: this.#stored,
    };
  }

  explain(question: ExplainQuestion): Explanation {
    const policyVersion = this.policyVersion;
    const policy = this.policy;
    if (policy === null || this.#suspended)
      return { verdict: "allowed", stage: "default", rule: null, policyVersion };
    const { verdict, stage, rule } = evaluate(policy, explainedPacket(question), {
      essentials: this.#essentials(policy),
      settling: this.#reconciler.state === "settling",
    });
    return { verdict, stage, rule, policyVersion };
  }

  verify(signal: AbortSignal): Promise<readonly Difference[]> {
    return this.#reconciler.verify("members", signal);
  }

  async setEssentials(facts: EssentialFacts, signal?: AbortSignal): Promise<void> {
    this.#facts = facts;
    if (this.#accepted !== null) await this.#reach(this.#accepted, signal);
  }

  async suspend(signal?: AbortSignal): Promise<void> {
    this.#suspended = true;
    const stored = this.#save();
    await this.#reach(this.#accepted, signal);
    await stored;
  }

  async resume(signal?: AbortSignal): Promise<void> {
    if (!this.#suspended) return;
    this.#suspended = false;
    const stored = this.#save();
    // Rules that settle stand already; whoever resumes need not wait for half a minute.
    const standing = Promise.race([this.#reach(this.#accepted), this.#settling()]);
    await (signal === undefined ? standing : abortable(standing, signal));
    await stored;
  }

  /** Takes everything of ours out of the kernel and the store. */
  async purge(signal: AbortSignal): Promise<Removal> {
    const removal = await this.#reconciler.remove(signal);
    this.#storeRetry?.[Symbol.dispose]();
    await this.#store.remove();
    return removal;
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
    this.#storeRetry?.[Symbol.dispose]();
    this.#problems.close();
    await this.#reconciler.close();
    await this.#store.close();
    await this.#filter[Symbol.asyncDispose]();
  }

  get #shown(): Accepted | null {
    return this.#inForce ?? this.#accepted;
  }

  #accept(input: Policy | PolicyDelta): Accepted & { readonly version: Version; readonly digest: string } {
    try {
      const before = this.#accepted?.policy ?? null;
      const policy = "base" in input ? applyDelta(baseOf(before), input) : input;
      const digest = policyDigest(policy, before ?? undefined);
      const version = admitVersion(policy.version, digest, this.#floor);
      const current = this.#accepted;
      // The same again is the same object: nothing is compiled, compared or stored anew.
      const isSame =
        before !== null &&
        current?.digest === digest &&
        current.version !== null &&
        compareVersions(version, current.version) === 0;
      const accepted = {
        policy: isSame ? before : policy.version === null ? { ...policy, version } : policy,
        version,
        digest,
      };
      requireAffordable(predictCost(this.#compile(accepted.policy, false)), this.#maxMembers);
      this.#floor = { version, digest };
      this.#accepted = accepted;
      if (this.#toStore.length >= maxToStore) this.#toStore.splice(0);
      if (!isSame) this.#toStore.push({ ...accepted, members: memberChanges(input, before) });
      this.#problems.clear("policy-refused");
      this.#problems.clear("policy-missing");
      return accepted;
    } catch (error) {
      const refusal = AntennaError.from(error, "accept a policy");
      this.refuse(refusal);
      throw refusal;
    }
  }

  async #reach(target: Accepted | null, signal?: AbortSignal): Promise<GoalOutcome> {
    const goal = this.#goal(target);
    if (target !== null) this.#targets.set(goal, { target, since: this.#clock.now() });
    const reached = this.#reconciler.reach(goal).then(async (outcome) => {
      await this.#saving;
      return outcome;
    });
    return signal === undefined ? reached : abortable(reached, signal);
  }

  #reached(goal: Goal): void {
    const { target, since } = this.#targets.get(goal) ?? { target: null, since: 0 };
    if (target === null) return;
    this.#inForce = target;
    this.#judgeProtection(target.policy);
    if (target.version === null || target.digest === null) return;
    this.#saving = this.#save();
    if (this.#suspended) return;
    this.#emit("policy", {
      workload: this.workload,
      version: formatVersion(target.version),
      digest: target.digest,
      mode: target.policy.mode,
      elapsedMs: this.#clock.now() - since,
    });
  }

  #settling(): Promise<void> {
    if (this.#reconciler.state === "settling") return Promise.resolve();
    return new Promise((resolve) => void this.#onSettling.push(resolve));
  }

  #goal(target: Accepted | null): Goal {
    if (this.#suspended || target === null) return { kind: "nothing", state: "suspended" };
    const { policy } = target;
    if (policy.mode === "idle") return { kind: "nothing", state: "idle" };
    return {
      kind: "rules",
      enforcing: policy.mode !== "visibility",
      program: (observing) => {
        const program = this.#compile(policy, observing);
        if (program === null) throw new TypeError("an idle policy has no program");
        return program;
      },
    };
  }

  /** null: idle. The same policy under the same facts gives the same object. */
  #compile(policy: Policy, observing: boolean): RuleProgram | null {
    let compiled = this.#compiled.get(policy);
    if (compiled === undefined || compiled.facts !== this.#facts) {
      compiled = { facts: this.#facts, programs: new Map() };
      this.#compiled.set(policy, compiled);
    }
    const known = compiled.programs.get(observing);
    if (known !== undefined) return known;
    const program = compile(policy, {
      essentials: this.#essentials(policy),
      onAllow: this.#onAllow,
      settling: observing,
      maxMembers: this.#maxMembers,
    });
    compiled.programs.set(observing, program);
    return program;
  }

  #essentials(policy: Policy): readonly Essential[] {
    return builtinEssentials(policy, this.#facts);
  }

  #judgeProtection(policy: Policy): void {
    const secure = policy.mode === "idle" ? undefined : policy.rules.find((rule) => rule.secure);
    if (secure === undefined) {
      this.#problems.clear("not-protected");
      return;
    }
    this.#problems.raise(
      "not-protected",
      `rule ${secure.id} asks for IPsec, and nothing here brings it up: what secure rules cover is denied unless other means protect it`,
    );
  }

  // ---- storing ----

  /**
   * Stores the policy in force and the flags; what has not changed is not written. Never rejects: what cannot be
   * stored is a problem, and is tried again.
   */
  async #save(): Promise<void> {
    try {
      await Promise.all(this.#changes().map(([state, members]) => this.#store.save(state, members)));
    } catch (error) {
      if (this.#abort.signal.aborted) return;
      this.#notStored(AntennaError.from(error, "store the policy"));
      return;
    }
    this.#stored = true;
    this.#storeFailures = 0;
    this.#storeRetry?.[Symbol.dispose]();
    this.#storeRetry = null;
    this.#problems.clear("disk-full");
    this.#problems.clear("storage");
  }

  /** The states on the way from the stored one to the one in force, with what makes each of the one before it. */
  #changes(): readonly (readonly [StoredState, MemberChanges | null])[] {
    const floor = this.#floor;
    const suspended = this.#suspended;
    const target = this.#inForce;
    const before = this.#store.state;
    const at = this.#toStore.findIndex((step) => step.policy === target?.policy);
    const steps = this.#toStore.splice(0, at + 1);
    if (target === null || target.digest === null || target.policy === before.policy) {
      const same = this.#stored && before.suspended === suspended && before.floor === floor;
      return same ? [] : [[{ ...before, floor, suspended }, null]];
    }
    const { policy, digest } = target;
    const linked = steps.every(
      ({ members }, index) =>
        members !== null && members.base === (steps[index - 1]?.policy ?? before.policy),
    );
    if (!this.#stored || !linked || steps.length === 0) return [[{ policy, digest, floor, suspended }, null]];
    return steps.map(({ members, ...step }) => [
      {
        policy: step.policy,
        digest: step.digest,
        floor: { version: step.version, digest: step.digest },
        suspended,
      },
      members?.sets ?? null,
    ]);
  }

  #notStored(error: AntennaError): void {
    this.#stored = false;
    this.#storeFailures += 1;
    const full = /\b(ENOSPC|EDQUOT)\b/.test(error.detail ?? "");
    this.#problems.clear(full ? "storage" : "disk-full");
    this.#problems.raise(
      full ? "disk-full" : "storage",
      `${error.message} (${error.detail ?? "no reason given"}); the policy is enforced all the same`,
    );
    this.#storeRetry?.[Symbol.dispose]();
    this.#storeRetry = this.#clock.after(
      backoffDelay(storeBackoff, this.#storeFailures, this.#random()),
      () => {
        void this.#save();
      },
    );
  }
}

/** What is in force before any policy arrives. */
function atStart(state: StoredState, boot: EnforcementPointOptions["boot"]): Accepted | null {
  const { policy, digest } = state;
  if (policy !== null && boot !== "visibility") return { policy, version: policy.version, digest };
  if (boot === "last-known-good") return null;
  const mode = boot === "closed" ? "full" : "visibility";
  return {
    policy: { ...nothingAllowed, ...(policy ?? {}), mode, version: null },
    version: null,
    digest: null,
  };
}

const nothingAllowed: Policy = {
  version: null,
  mode: "full",
  visibility: "blocked+allowed",
  reject: false,
  sets: new Map(),
  rules: [],
  enforce: [],
  identities: new Map(),
};

function baseOf(policy: Policy | null): Policy {
  if (policy !== null) return policy;
  const problem = "there is no policy yet that a delta could change; give the whole policy";
  throw new AntennaError({
    code: "input-refused",
    operation: "apply a policy delta",
    message: problem,
    problems: [{ path: "base", problem }],
  });
}

/** What the store may keep as a short record; null: the policy changed in other ways, or is a whole one. */
function memberChanges(input: Policy | PolicyDelta, base: Policy | null): Step["members"] {
  if (!("base" in input) || base === null || input.rest !== null || input.removedSets.length > 0) return null;
  return [...input.sets.keys()].every((name) => base.sets.has(name)) ? { base, sets: input.sets } : null;
}
