import { join } from "node:path";
import type { ApplyResult, ExplainQuestion, Explanation, PolicyInput, PreviewReport } from "./agent-calls.js";
import type { AgentEventName, AgentEvents } from "./agent-events.js";
import { type AgentOptions, type ResolvedAgentOptions, resolveAgentOptions } from "./agent-options.js";
import type { AgentStatus, VerifyReport } from "./agent-status.js";
import type { WorkloadContext } from "./context/workload-context.js";
import { AntennaError } from "./error.js";
import type { EssentialFacts } from "./evaluate/essentials.js";
import { LinkedHost } from "./linked-host.js";
import { EnforcementPoint } from "./points/enforcement-point.js";
import type { PolicyDelta } from "./policy/delta.js";
import type { Policy } from "./policy/model.js";
import { parsePolicy } from "./policy/parse.js";
import { readPolicyStream } from "./policy/policy-file.js";
import { formatVersion } from "./policy/version.js";
import type { CallOptions, ControllerLink, LinkStatus, Logger, Removal } from "./ports.js";
import { abortable } from "./reconcile/abortable.js";
import { type OpenedStore, PolicyStore } from "./reconcile/policy-store.js";
import type { StandingProblem } from "./reconcile/problem-board.js";
import { DirectoryFiles } from "./reconcile/store-files.js";

/**
 * An enforcement agent. It writes to the kernel through the injected ports only; when it is closed or dies, the kernel
 * goes on enforcing.
 *
 * Every call rejects with an AntennaError: `closed` after `close()`, `aborted` when its signal was aborted.
 */
export interface Agent extends AsyncDisposable {
  /**
   * Makes a policy the one in force and resolves when it is: after settling, where that applies. Concurrent calls
   * coalesce, the latest wins. Rejects with `input-refused`, `version-refused`, `over-budget` (nothing was done) or
   * with `kernel-refused`, `busy`, … after bounded retries: the last good policy is kept, the agent stays `degraded`
   * and keeps trying. Aborting stops waiting, not applying.
   */
  apply(input: PolicyInput, options?: CallOptions): Promise<ApplyResult>;
  /** What a policy would change and cut; nothing is written. `examples`: how many flows to show, default 20. */
  preview(
    input: Exclude<PolicyInput, PolicyDelta>,
    options?: CallOptions & { readonly examples?: number },
  ): Promise<PreviewReport>;
  status(): AgentStatus;
  /** What the controller is told of this workload; null: not gathered yet, or no source was given. */
  context(): WorkloadContext | null;
  /** The policy accepted last; null before any. */
  policy(): Policy | null;
  explain(question: ExplainQuestion): Explanation;
  /** Compares the kernel with what was written, member by member; repairs what differs and reports it. */
  verify(options?: CallOptions): Promise<VerifyReport>;
  /**
   * Replaces the essentials (resolvers, what the operator lists); resolves when they pass: in force, or nothing is dropped
   * yet. The controller of the link comes on top by itself.
   */
  setEssentials(facts: EssentialFacts, options?: CallOptions): Promise<void>;
  /** Takes the rules out until `resume`, across restarts. */
  suspend(options?: CallOptions): Promise<void>;
  /** Enforces again; tracking settles first. Resolves when the rules stand. */
  resume(options?: CallOptions): Promise<void>;
  /** Takes everything of ours out of the kernel and the state directory. The agent is closed afterwards. */
  purge(options?: CallOptions): Promise<Removal>;
  /** Calls `listener` at every event of that name until disposed. What a listener throws is logged. */
  on<Name extends AgentEventName>(event: Name, listener: (event: AgentEvents[Name]) => void): Disposable;
  /** Stops; the rules stay in the kernel. Idempotent. */
  close(): Promise<void>;
}

/**
 * Opens the packet filter and the state directory, and starts to enforce the last known good policy, if there is one.
 * Resolves when it is open, not when anything is in force: `policy` events and `status()` tell that.
 *
 * Throws TypeError when options contradict each other; rejects with AntennaError when the filter or the stored state
 * cannot be opened.
 */
export async function createAgent(options: AgentOptions): Promise<Agent> {
  const resolved = resolveAgentOptions(options);
  if (resolved.signal?.aborted === true) throw ended("aborted");
  const stored = vouched(
    await PolicyStore.open(new DirectoryFiles(join(resolved.stateDir, "policy"))),
    resolved,
  );
  try {
    const filter = await resolved.packetFilter.open({
      namespace: resolved.namespace,
      stateDir: join(resolved.stateDir, "filter"),
      cutMark: resolved.cutMark,
      nflogGroup: resolved.nflogGroup,
      nflogRate: resolved.nflogRate,
      clock: resolved.clock,
      logger: resolved.logger,
      ...(resolved.signal !== null && { signal: resolved.signal }),
    });
    const listeners = new Listeners(resolved.logger);
    const host = new EnforcementPoint({
      ...resolved,
      workload: () => resolved.workload ?? resolved.link?.workload ?? "host",
      name: "host",
      filter,
      stored,
      facts: resolved.essentials,
      emit: (name, event) => listeners.emit(name, event),
    });
    return new RunningAgent(resolved, host, listeners);
  } catch (error) {
    await stored.store.close();
    throw AntennaError.from(error, "open the agent");
  }
}

const noLink: LinkStatus = { state: "none", controller: null, lastSync: null, problems: [] };

/**
 * A stored policy that nobody trusted vouches for is not enforced: what stands in the kernel stays until a good one comes.
 * A host that is not paired trusts nobody, and knows nothing better than what is stored: whoever could take its identity
 * away could put another in its place.
 */
function vouched(opened: OpenedStore, { link }: ResolvedAgentOptions): OpenedStore {
  const { policy, digest, proof } = opened.state;
  if (link === null || link.workload === null) return opened;
  if (policy === null || policy.version === null || digest === null) return opened;
  if (link.vouches(policy.version, digest, proof ?? null)) return opened;
  const words = `the stored policy ${formatVersion(policy.version)} does not come from this host's controller and is not enforced`;
  const { proof: _, ...rest } = opened.state;
  return { ...opened, state: { ...rest, policy: null, digest: null }, damage: [...opened.damage, words] };
}

class RunningAgent implements Agent {
  readonly #host: EnforcementPoint;
  readonly #listeners: Listeners;
  readonly #link: ControllerLink | null;
  readonly #linked: LinkedHost;
  readonly #abort = new AbortController();
  readonly #ends: AbortSignal | null;
  readonly #onEnd = (): void => void this.close();
  #closing: Promise<void> | null = null;

  constructor(options: ResolvedAgentOptions, host: EnforcementPoint, listeners: Listeners) {
    this.#host = host;
    this.#listeners = listeners;
    this.#link = options.link;
    this.#linked = new LinkedHost({
      ...options,
      host,
      sources: options.context,
      signal: this.#abort.signal,
      on: (event, listener) => this.on(event, listener),
    });
    this.#linked.start().catch((error: unknown) => {
      options.logger.error({ error }, "the link to the controller could not be started");
    });
    this.#ends = options.signal;
    this.#ends?.addEventListener("abort", this.#onEnd, { once: true });
    if (this.#ends?.aborted === true) this.#onEnd();
  }

  async apply(input: PolicyInput, options: CallOptions = {}): Promise<ApplyResult> {
    this.#open(options);
    const policy = await this.#read(input, options).catch((error: unknown) => {
      const refusal = AntennaError.from(error, "read a policy");
      if (refusal.code === "input-refused") this.#host.refuse(refusal);
      throw refusal;
    });
    return this.#host.apply(policy, options.signal);
  }

  async preview(
    input: Exclude<PolicyInput, PolicyDelta>,
    options: CallOptions & { readonly examples?: number } = {},
  ): Promise<PreviewReport> {
    this.#open(options);
    const policy = await this.#read(input, options);
    return this.#host.preview(policy, options.examples ?? 20, this.#signal(options));
  }

  status(): AgentStatus {
    const point = this.#host.status();
    const policy = this.#host.policy;
    const { problems, ...link } = this.#link?.status() ?? noLink;
    return {
      workload: point.workload,
      mode: point.mode,
      visibility: policy?.visibility ?? null,
      visibilityInForce: policy?.visibility ?? null,
      policyVersion: point.policyVersion,
      policyDigest: point.policyDigest,
      state: point.state,
      points: [point],
      drift: this.#host.drift,
      link,
      problems: oncePerCode([...this.#host.problems, ...problems]),
    };
  }

  policy(): Policy | null {
    return this.#host.policy;
  }

  context(): WorkloadContext | null {
    return this.#linked.context();
  }

  explain(question: ExplainQuestion): Explanation {
    return this.#host.explain(question);
  }

  async verify(options: CallOptions = {}): Promise<VerifyReport> {
    this.#open(options);
    const differences = await this.#host.verify(this.#signal(options));
    const ok = differences.length === 0;
    return {
      ok,
      policyVersion: this.#host.policyVersion,
      points: [{ workload: this.#host.workload, ok, differences }],
    };
  }

  async setEssentials(facts: EssentialFacts, options: CallOptions = {}): Promise<void> {
    this.#open(options);
    await this.#linked.setEssentials(facts, options.signal);
  }

  async suspend(options: CallOptions = {}): Promise<void> {
    this.#open(options);
    await this.#host.suspend(options.signal);
  }

  async resume(options: CallOptions = {}): Promise<void> {
    this.#open(options);
    await this.#host.resume(options.signal);
  }

  async purge(options: CallOptions = {}): Promise<Removal> {
    this.#open(options);
    const work = this.#host.purge(this.#signal(options));
    const removal = await (options.signal === undefined ? work : abortable(work, options.signal));
    await this.close();
    return removal;
  }

  on<Name extends AgentEventName>(event: Name, listener: (event: AgentEvents[Name]) => void): Disposable {
    return this.#listeners.add(event, listener);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#ends?.removeEventListener("abort", this.#onEnd);
    this.#abort.abort();
    await this.#linked[Symbol.asyncDispose]();
    await this.#host.close();
  }

  #open(options: CallOptions): void {
    if (this.#closing !== null) throw ended("closed");
    if (options.signal?.aborted === true) throw ended("aborted");
  }

  /** Ends with the caller's signal or with the agent. */
  #signal(options: CallOptions): AbortSignal {
    const { signal } = this.#abort;
    return options.signal === undefined ? signal : AbortSignal.any([signal, options.signal]);
  }

  #read(input: Exclude<PolicyInput, PolicyDelta>, options: CallOptions): Promise<Policy>;
  #read(input: PolicyInput, options: CallOptions): Promise<Policy | PolicyDelta>;
  async #read(input: PolicyInput, options: CallOptions): Promise<Policy | PolicyDelta> {
    if (input instanceof Uint8Array) return parsePolicy(input);
    if (Symbol.asyncIterator in input) return readPolicyStream(input, options);
    return input;
  }
}

/** Who wants to know what. A listener that throws is logged and harms nobody. */
class Listeners {
  readonly #logger: Logger;
  readonly #byName: { readonly [Name in AgentEventName]: Set<(event: AgentEvents[Name]) => void> } = {
    policy: new Set(),
    state: new Set(),
    drift: new Set(),
    cut: new Set(),
    problem: new Set(),
  };

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  add<Name extends AgentEventName>(name: Name, listener: (event: AgentEvents[Name]) => void): Disposable {
    // A listener added twice is called twice and removed one by one.
    const own = (event: AgentEvents[Name]): void => listener(event);
    const listeners: Set<(event: AgentEvents[Name]) => void> = this.#byName[name];
    listeners.add(own);
    return { [Symbol.dispose]: () => void listeners.delete(own) };
  }

  emit<Name extends AgentEventName>(name: Name, event: AgentEvents[Name]): void {
    const listeners: ReadonlySet<(event: AgentEvents[Name]) => void> = this.#byName[name];
    for (const listener of [...listeners]) {
      try {
        listener(event);
      } catch (error) {
        this.#logger.error({ error, event: name }, "a listener of the agent threw");
      }
    }
  }
}

/** The first of each code: the point's own words come before the link's. */
function oncePerCode(problems: readonly StandingProblem[]): readonly StandingProblem[] {
  return [...new Map(problems.toReversed().map((problem) => [problem.code, problem])).values()].toReversed();
}

function ended(code: "closed" | "aborted"): AntennaError {
  const message = code === "closed" ? "the agent is closed" : "the caller's signal was aborted";
  return new AntennaError({ code, operation: "agent", message });
}
