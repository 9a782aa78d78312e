import { formatAddress, type Policy, parseAddress, policyDigest } from "@antenna/sdk";
import { compareNames } from "@antenna/sdk/document";
import { labelsText } from "../policy/label.js";
import type { LabelPolicy } from "../policy/model.js";
import { AddressGroups, type GroupChanges } from "./address-groups.js";
import { type AdmittedAddress, type ControllerFacts, hostOf, type WorkloadFacts } from "./facts.js";
import { type LabelPlan, planLabelPolicy } from "./label-plan.js";
import { PolicyPool } from "./policy-pool.js";
import { type Placement, placeLabels, Shape } from "./shape.js";

/** A workload whose policy became another. */
export interface PolicyChange {
  readonly workload: string;
  /** null: it joined. */
  readonly before: Policy | null;
  readonly after: Policy;
}

/** What happened to workloads, in one step. */
export interface FleetUpdate {
  /** Joins, moves, new labels: the facts as they are now, whole. */
  readonly put?: Iterable<WorkloadFacts>;
  /** Ids of workloads that left; unknown ones are left alone. */
  readonly gone?: Iterable<string>;
}

export interface FleetPoliciesOptions {
  readonly policy: LabelPolicy;
  /** null: it is nowhere in this fleet. */
  readonly controller: ControllerFacts | null;
  readonly workloads?: Iterable<WorkloadFacts>;
}

interface Member {
  readonly facts: WorkloadFacts;
  readonly placement: Placement;
  readonly shape: Shape;
  readonly holdsController: boolean;
  policy: Policy | null;
}

/**
 * One policy per workload, from a label policy and what is known of the workloads (contract, section 3), kept up to date at
 * the cost of what a change affects: every selection has one set however many workloads use it, workloads to which the same
 * rules apply share one policy, and so its digest.
 *
 * Equal facts give equal digests, whatever order they came in. Policies have no version: who issues them counts.
 */
export class FleetPolicies {
  readonly labelPolicy: LabelPolicy;
  readonly #controller: ControllerFacts | null;
  readonly #controllerAddresses: ReadonlySet<string>;
  readonly #plan: LabelPlan;
  readonly #groups: AddressGroups;
  readonly #members = new Map<string, Member>();
  /** Ids of the workloads of each host, itself included. */
  readonly #hosts = new Map<string, Set<string>>();
  /** By labels, as one text; those without members are dropped. */
  readonly #placements = new Map<string, { readonly placement: Placement; members: number }>();
  readonly #shapes = new Map<string, Shape>();
  /** By the index of a selection, the shapes that have it as a peer. */
  readonly #users = new Map<number, Set<Shape>>();
  readonly #pool: PolicyPool;

  /** @throws AntennaError `input-refused` for an address that is none. */
  constructor(options: FleetPoliciesOptions, like: FleetPolicies | null = null) {
    this.labelPolicy = options.policy;
    this.#controller = options.controller;
    this.#controllerAddresses = new Set((options.controller?.addresses ?? []).map(canonical));
    this.#plan = planLabelPolicy(options.policy);
    this.#groups = new AddressGroups(this.#plan);
    this.#pool = new PolicyPool(like === null ? null : like.#pool);
    this.#update({ put: options.workloads ?? [] }, like);
    this.#pool.detach();
  }

  /** The same workloads under another label policy. What is equal is shared: a policy that stays is the same object. */
  withLabelPolicy(policy: LabelPolicy): FleetPolicies {
    return new FleetPolicies({ policy, controller: this.#controller, workloads: this.facts() }, this);
  }

  get size(): number {
    return this.#members.size;
  }

  *facts(): IterableIterator<WorkloadFacts> {
    for (const { facts } of this.#members.values()) yield facts;
  }

  workloads(): IterableIterator<string> {
    return this.#members.keys();
  }

  factsOf(workload: string): WorkloadFacts | null {
    return this.#members.get(workload)?.facts ?? null;
  }

  /** null: there is no such workload. */
  policyOf(workload: string): Policy | null {
    return this.#members.get(workload)?.policy ?? null;
  }

  /**
   * Takes in what happened, all of it in one step, and gives the workloads whose policy became another: those, and no others.
   *
   * @throws AntennaError `input-refused` for an address that is none; nothing is taken in then.
   */
  update(update: FleetUpdate): readonly PolicyChange[] {
    return this.#update(update, null);
  }

  join(facts: WorkloadFacts): readonly PolicyChange[] {
    return this.#update({ put: [facts] }, null);
  }

  move(workload: string, addresses: readonly AdmittedAddress[]): readonly PolicyChange[] {
    const facts = this.factsOf(workload);
    return facts === null ? [] : this.#update({ put: [{ ...facts, addresses }] }, null);
  }

  relabel(workload: string, labels: WorkloadFacts["labels"]): readonly PolicyChange[] {
    const facts = this.factsOf(workload);
    return facts === null ? [] : this.#update({ put: [{ ...facts, labels }] }, null);
  }

  leave(workload: string): readonly PolicyChange[] {
    return this.#update({ gone: [workload] }, null);
  }

  #update({ put = [], gone = [] }: FleetUpdate, like: FleetPolicies | null): readonly PolicyChange[] {
    const next = new Map<string, WorkloadFacts | null>();
    for (const workload of gone) next.set(workload, null);
    for (const facts of put) next.set(facts.id, withCanonicalAddresses(facts));
    const affected = new Set<string>();
    const before = new Map<string, Policy | null>();
    for (const [workload, facts] of next) {
      const member = this.#members.get(workload);
      if (member !== undefined) {
        before.set(workload, member.policy);
        this.#remove(member, affected);
      }
      if (facts !== null) this.#add(facts, affected);
    }
    this.#spread(this.#groups.renew(like === null ? null : like.#groups), affected);
    const changes: PolicyChange[] = [];
    for (const workload of affected) {
      const member = this.#members.get(workload);
      if (member === undefined) continue;
      const old = member.policy ?? before.get(workload) ?? null;
      before.set(workload, old);
      member.policy = this.#pool.take(this.#policyFor(member, old));
      if (member.policy !== old) changes.push({ workload, before: old, after: member.policy });
    }
    // Only now: a policy that comes back in the same step is the same object.
    for (const policy of before.values()) if (policy !== null) this.#pool.release(policy);
    return changes;
  }

  #add(facts: WorkloadFacts, affected: Set<string>): void {
    const placement = this.#place(facts);
    const shape = this.#shape(placement);
    const host = hostOf(facts);
    shape.members.add(facts.id);
    this.#groups.add(facts, placement.selections);
    const others = this.#hosts.get(host) ?? new Set();
    this.#hosts.set(host, others.add(facts.id));
    // What was a host's own begins to count once somebody else is there.
    if (others.size === 2) for (const other of others) affected.add(other);
    affected.add(facts.id);
    const holdsController = facts.addresses.some(({ address }) => this.#controllerAddresses.has(address));
    this.#members.set(facts.id, { facts, placement, shape, holdsController, policy: null });
  }

  #remove({ facts, placement, shape }: Member, affected: Set<string>): void {
    const host = hostOf(facts);
    this.#members.delete(facts.id);
    this.#groups.remove(facts, placement.selections);
    const others = this.#hosts.get(host);
    others?.delete(facts.id);
    if (others?.size === 1) for (const other of others) affected.add(other);
    if (others?.size === 0) {
      this.#hosts.delete(host);
      for (const each of this.#shapes.values()) forget(each, host);
    }
    shape.members.delete(facts.id);
    if (shape.members.size === 0) {
      this.#shapes.delete(shape.key);
      for (const index of shape.selections) this.#users.get(index)?.delete(shape);
    }
    const key = labelsText(facts.labels);
    const known = this.#placements.get(key);
    if (known !== undefined && --known.members === 0) this.#placements.delete(key);
  }

  #place({ labels }: WorkloadFacts): Placement {
    const key = labelsText(labels);
    let known = this.#placements.get(key);
    if (known === undefined) {
      known = { placement: placeLabels(this.#plan, labels), members: 0 };
      this.#placements.set(key, known);
    }
    known.members++;
    return known.placement;
  }

  #shape(placement: Placement): Shape {
    const known = this.#shapes.get(placement.key);
    if (known !== undefined) return known;
    const shape = new Shape(placement.key, this.#plan, placement.rules, placement.entry);
    this.#shapes.set(placement.key, shape);
    for (const index of shape.selections) {
      const users = this.#users.get(index);
      if (users === undefined) this.#users.set(index, new Set([shape]));
      else users.add(shape);
    }
    return shape;
  }

  /** From the sets that changed to the workloads that use them. */
  #spread({ routable, local }: GroupChanges, affected: Set<string>): void {
    const shapes = new Set<Shape>();
    for (const index of routable) for (const shape of this.#users.get(index) ?? []) shapes.add(shape);
    for (const shape of shapes) {
      shape.policies.clear();
      for (const workload of shape.members) affected.add(workload);
    }
    for (const [host, indexes] of local) {
      for (const index of indexes) for (const shape of this.#users.get(index) ?? []) forget(shape, host);
      for (const workload of this.#hosts.get(host) ?? []) {
        const { selections = [] } = this.#members.get(workload)?.shape ?? {};
        if (selections.some((index) => indexes.has(index))) affected.add(workload);
      }
    }
  }

  #policyFor({ facts, shape, holdsController }: Member, old: Policy | null): Policy {
    const host = hostOf(facts);
    const isShared = (this.#hosts.get(host)?.size ?? 0) > 1;
    const local = isShared ? this.#groups.localOf(shape.selections, host) : [];
    const key = variantKey(local.length === 0 ? null : host, holdsController);
    const known = shape.policies.get(key);
    if (known !== undefined) return known;
    const port = holdsController && this.#controller !== null ? this.#controller.port : null;
    const policy = this.#build(shape, host, local, port, old);
    policyDigest(policy, old ?? undefined);
    shape.policies.set(key, policy);
    return policy;
  }

  #build(
    shape: Shape,
    host: string,
    local: readonly number[],
    agentPort: number | null,
    old: Policy | null,
  ): Policy {
    const localHost = local.length === 0 ? null : host;
    const sets = shape.selections.flatMap((index) => this.#groups.sets(index, localHost));
    for (const name of shape.ipLists) {
      const set = this.#plan.ipLists.get(name);
      if (set !== undefined) sets.push([name, set]);
    }
    const { mode, visibility, enforce } = shape.entry;
    return {
      version: null,
      mode,
      visibility,
      reject: false,
      sets: new Map(sets.sort(([a], [b]) => compareNames(a, b))),
      rules: shape.rules(local, agentPort),
      enforce,
      identities:
        shape.secureSelections.length === 0
          ? nobody
          : this.#groups.identities(shape.secureSelections, localHost, old?.identities ?? null),
    };
  }
}

/** Shared, so that policies without secure rules have equal parts. */
const nobody: ReadonlyMap<string, string> = new Map();

/** Drops what was made for points of a host. */
function forget(shape: Shape, host: string): void {
  for (const holdsController of [true, false]) shape.policies.delete(variantKey(host, holdsController));
}

function variantKey(host: string | null, holdsController: boolean): string {
  return `${holdsController ? "controller" : "agent"} ${host ?? ""}`;
}

function withCanonicalAddresses(facts: WorkloadFacts): WorkloadFacts {
  const isCanonical = facts.addresses.every(({ address }) => canonical(address) === address);
  if (isCanonical) return facts;
  const addresses = facts.addresses.map(({ address, scope }) => ({ address: canonical(address), scope }));
  return { ...facts, addresses };
}

function canonical(address: string): string {
  return formatAddress(parseAddress(address));
}
