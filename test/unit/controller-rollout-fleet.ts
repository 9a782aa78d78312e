import type { WorkloadFacts } from "@antenna/controller/internal/compute/facts.js";
import type { LabelPolicy } from "@antenna/controller/internal/policy/model.js";
import type { Decisions, Offer } from "@antenna/controller/internal/rollout/decisions.js";
import { FleetRollout } from "@antenna/controller/internal/rollout/fleet-rollout.js";
import {
  formatRollout,
  type Issued,
  initialRollout,
  parseRollout,
  type RevisionState,
} from "@antenna/controller/internal/rollout/rollout-state.js";
import {
  compareVersions,
  type EnforcementReport,
  type OfferOutcome,
  type Policy,
  policyDigest,
  type Version,
} from "@antenna/sdk";

/** An agent as its controller sees it: it takes what is offered, confirms it, or goes back. */
export class ModelAgent {
  readonly workload: string;
  online = false;
  applied: { readonly version: Version; readonly digest: string } | null = null;
  floor: Version | null = null;
  refused: OfferOutcome | null = null;
  suspended = false;
  /** What it was offered last and has not taken yet. */
  offer: Offer | null = null;
  /** Every offer that came, for those who check. */
  readonly offers: Offer[] = [];

  constructor(workload: string) {
    this.workload = workload;
  }

  report(): EnforcementReport {
    const { applied, floor, refused } = this;
    const state = this.suspended ? "suspended" : "in-sync";
    return { state, mode: null, applied, floor, problems: [], refused };
  }

  confirm(): void {
    this.#accept();
    if (this.offer !== null) this.applied = { version: this.offer.version, digest: this.offer.digest };
    this.refused = null;
    this.offer = null;
  }

  fail(result: OfferOutcome["result"]): void {
    if (result !== "refused") this.#accept();
    if (this.offer !== null)
      this.refused = { version: this.offer.version, result, reason: `it was ${result}` };
    this.offer = null;
  }

  /** @throws Error when no agent would accept the offer. */
  #accept(): void {
    if (this.offer === null) return;
    const { version, digest } = this.offer;
    const order = this.floor === null ? 1 : compareVersions(version, this.floor);
    if (order < 0) throw new Error(`${this.workload} was offered a version below its floor`);
    if (order === 0 && this.applied !== null && compareVersions(this.applied.version, version) === 0)
      if (this.applied.digest !== digest)
        throw new Error(`${this.workload} was offered other content under a version it has`);
    this.floor = version;
  }
}

/** A controller's rollout with model agents at it, and the store that outlives it. */
export class ModelFleet {
  rollout: FleetRollout;
  readonly agents = new Map<string, ModelAgent>();
  readonly facts = new Map<string, WorkloadFacts>();
  readonly issued = new Map<string, Issued>();
  readonly policies = new Map<number, LabelPolicy>();
  readonly revisions = new Map<number, RevisionState>();
  readonly events: string[] = [];
  readonly windowMs = 15_000;
  nowMs = 0;
  #state = formatRollout(initialRollout);
  #version = { epoch: 1, sequence: 0 };

  constructor() {
    this.rollout = this.#load();
  }

  /** Facts that are new to the fleet or changed. */
  put(...facts: readonly WorkloadFacts[]): void {
    for (const each of facts) this.facts.set(each.id, each);
    this.#take(this.rollout.update({ put: facts }, this.nowMs));
  }

  leave(workload: string): void {
    this.facts.delete(workload);
    this.agents.delete(workload);
    this.issued.delete(workload);
    this.#take(this.rollout.update({ gone: [workload] }, this.nowMs));
  }

  agent(workload: string): ModelAgent {
    const known = this.agents.get(workload);
    if (known !== undefined) return known;
    const agent = new ModelAgent(workload);
    this.agents.set(workload, agent);
    return agent;
  }

  connect(...workloads: readonly string[]): void {
    for (const workload of workloads) {
      const agent = this.agent(workload);
      agent.online = true;
      this.#take(this.rollout.connected(workload, agent.report(), this.nowMs));
    }
  }

  disconnect(workload: string): void {
    const agent = this.agent(workload);
    agent.online = false;
    agent.offer = null;
    this.#take(this.rollout.disconnected(workload, this.nowMs));
  }

  report(workload: string): void {
    this.#take(this.rollout.reported(workload, this.agent(workload).report(), this.nowMs));
  }

  confirm(...workloads: readonly string[]): void {
    for (const workload of workloads) {
      this.agent(workload).confirm();
      this.report(workload);
    }
  }

  fail(workload: string, result: OfferOutcome["result"]): void {
    this.agent(workload).fail(result);
    this.report(workload);
  }

  /** Everyone confirms until nobody has anything to. */
  settle(): void {
    for (let open = this.offered(); open.length > 0; open = this.offered()) this.confirm(...open);
  }

  /** Those connected who were offered something that they have not taken. */
  offered(): readonly string[] {
    return Array.from(this.agents.values())
      .filter(({ online, offer }) => online && offer !== null)
      .map(({ workload }) => workload)
      .sort();
  }

  apply(policy: LabelPolicy): number {
    const revision = Math.max(0, ...this.revisions.keys()) + 1;
    this.policies.set(revision, policy);
    this.#take(this.rollout.apply(revision, policy, this.nowMs));
    return revision;
  }

  pass(ms: number): void {
    this.nowMs += ms;
    this.#take(this.rollout.tick(this.nowMs));
  }

  raiseEpoch(): void {
    this.#take(this.rollout.raiseEpoch(this.nowMs));
  }

  /** kill -9: what is not stored is lost, and every session ends. */
  restart(): void {
    for (const agent of this.agents.values()) {
      agent.online = false;
      agent.offer = null;
    }
    this.rollout = this.#load();
    this.#take(this.rollout.tick(this.nowMs));
  }

  /** What a backup of now holds; called, it is restored. */
  backup(): () => void {
    const [state, version] = [this.#state, this.#version];
    const [issued, revisions] = [new Map(this.issued), new Map(this.revisions)];
    return () => {
      this.#state = state;
      this.#version = version;
      // What was offered and never accepted is no version that a workload has.
      for (const { offers } of this.agents.values()) offers.splice(0);
      this.revisions.clear();
      for (const [revision, each] of revisions) this.revisions.set(revision, each);
      this.issued.clear();
      for (const [workload, each] of issued) this.issued.set(workload, each);
      this.restart();
    };
  }

  targetDigest(workload: string): string {
    return policyDigest(this.rollout.policies.policyOf(workload) as Policy);
  }

  #load(): FleetRollout {
    return new FleetRollout({
      state: parseRollout(this.#state),
      labelPolicies: this.policies,
      version: this.#version,
      issued: this.issued,
      workloads: this.facts.values(),
      controller: null,
      windowMs: this.windowMs,
      nowMs: this.nowMs,
    });
  }

  #take({ offers, issued, revisions, events, stateChanged }: Decisions): void {
    for (const { workload, version, digest, revision } of issued)
      this.issued.set(workload, { version, digest, revision });
    for (const { revision, state } of revisions) this.revisions.set(revision, state);
    if (stateChanged) this.#state = formatRollout(this.rollout.state());
    this.#version = { ...this.rollout.version };
    for (const { type, workload } of events)
      this.events.push(workload === null ? type : `${type} ${workload}`);
    for (const offer of offers) {
      const agent = this.agent(offer.workload);
      if (!agent.online) throw new Error(`${offer.workload} is offered something while it is away`);
      agent.offer = offer;
      agent.offers.push(offer);
    }
  }
}
