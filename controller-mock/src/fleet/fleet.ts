import {
  type Clock,
  type ContextFacts,
  compareVersions,
  type EnforcementReport,
  formatVersion,
  type Logger,
  type Policy,
  policyDigest,
  type Version,
  type WorkloadAddress,
} from "@antenna/sdk";
import type { HelloMessage, StatusMessage, WelcomeMessage } from "@antenna/sdk/protocol";
import type { ControllerFacts, WorkloadFacts } from "../compute/facts.js";
import type { FleetUpdate } from "../compute/fleet-policies.js";
import type { AgentIdentity } from "../identity/agent-certificate.js";
import type { LabelPolicy } from "../policy/model.js";
import type { Decisions } from "../rollout/decisions.js";
import { FleetRollout } from "../rollout/fleet-rollout.js";
import { formatRollout, initialRollout, parseRollout } from "../rollout/rollout-state.js";
import type { AgentSession, SessionHost, ToldEvent } from "../session/agent-session.js";
import { CallRefusal } from "../session/call-refusal.js";
import type { OutgoingPolicy } from "../session/outbox.js";
import { type Clone, hashToken, newToken, SessionRegistry } from "../session/session-registry.js";
import type {
  ReportRecord,
  RevisionNumber,
  StoreChange,
  StoredFleet,
  WorkloadRecord,
} from "../store-port.js";
import { AddressBook, type ClaimChange } from "./address-book.js";
import { AgentLimits } from "./agent-limits.js";
import type { Journal } from "./journal.js";
import type { TrustKeeper } from "./trust-keeper.js";
import { factsOf, sameFacts, WorkloadList } from "./workload-list.js";

export interface FleetOptions {
  readonly stored: StoredFleet;
  readonly labelPolicies: ReadonlyMap<RevisionNumber, LabelPolicy>;
  readonly trust: TrustKeeper;
  readonly journal: Journal;
  readonly controller: ControllerFacts | null;
  /** How long a wave waits for a member that disconnected. */
  readonly windowMs: number;
  readonly answerMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Revisions changed their state; the change is stored. */
  readonly onRevisions: (revisions: Decisions["revisions"]) => void;
}

/** What an agent tells by its status, so that its own event would be a second one. */
const toldByStatus: ReadonlySet<string> = new Set(["rolled-back", "policy-refused"]);
/** What an agent can't know: such an event would be a lie. */
const controllersOwn: ReadonlySet<string> = new Set([
  ...["paired", "renewed", "revoked", "clone-detected", "address-withheld", "address-admitted"],
  ...["connected", "disconnected", "policy-applied", "policy-withdrawn", "epoch-raised", "ca-rotated"],
  ...["key-created", "key-revoked", "label-changed"],
]);
/**
 * How long a report waits to be stored with those of others: one change of a policy brings one of every agent that it
 * affects. After a crash agents tell it again in their next hello.
 */
const reportsMs = 2_000;
/** Events of one change of a workload's addresses: nobody pushes the events of others out of the history. */
const mostClaimsTold = 16;
const eventType = /^[a-z][a-z0-9-]{0,63}$/;

/**
 * The one place that knows the workloads: their labels, addresses, sessions and policies. Whatever happens is worked out in
 * memory at once, then stored, and only then told to agents; a store that fails stops the controller, and agents go on
 * enforcing.
 */
export class Fleet implements SessionHost {
  readonly workloads: WorkloadList;
  readonly sessions: SessionRegistry;
  readonly #options: FleetOptions;
  readonly #book: AddressBook;
  readonly #rollout: FleetRollout;
  /** The highest version that a connected workload has told of. */
  readonly #floors = new Map<string, Version | null>();
  readonly #limits: AgentLimits;
  #timer: Disposable | null = null;
  /** Workloads whose last report is in memory only. */
  readonly #unsaved = new Set<string>();
  #reportTimer: Disposable | null = null;

  constructor(options: FleetOptions) {
    const { stored, trust, clock } = options;
    this.#options = options;
    this.#limits = new AgentLimits(clock);
    this.workloads = new WorkloadList(stored.workloads);
    const active = stored.workloads.filter(({ state }) => state === "active");
    this.#book = AddressBook.load(active);
    this.sessions = new SessionRegistry({
      clock,
      answerMs: options.answerMs,
      onClone: (clone) => this.#tellClone(clone),
    });
    this.#rollout = new FleetRollout({
      state: stored.rollout === null ? initialRollout : parseRollout(stored.rollout),
      labelPolicies: options.labelPolicies,
      version: { epoch: trust.epoch, sequence: trust.floor },
      issued: new Map(active.flatMap(({ id, issued }) => (issued === null ? [] : [[id, issued]]))),
      workloads: active.map(factsOf),
      controller: options.controller,
      windowMs: options.windowMs,
      nowMs: clock.now(),
    });
  }

  /** Goes on where the waves stood; once, before anybody connects. */
  async start(): Promise<void> {
    await this.#carryOut(this.#rollout.tick(this.#now()));
  }

  get rollout(): FleetRollout {
    return this.#rollout;
  }

  /** What the workload should have is unknown, because it tells of versions that were never issued. */
  isAhead(workload: string): boolean {
    return this.#rollout.isAhead(workload);
  }

  /** Joins, or binds other labels and ranges to what is there. */
  async join(record: WorkloadRecord, changes: readonly StoreChange[]): Promise<void> {
    const { id, name, ranges, claims } = record;
    this.workloads.put(record);
    this.#book.enter(id, name, ranges);
    // Another key has other ranges.
    const claimed = this.#takeClaims(this.#book.claim(id, claims));
    const joined = { ...record, claims: this.#book.claims(id) };
    this.workloads.put(joined);
    const others = claimed.put.filter((facts) => facts.id !== id);
    await this.#carryOut(this.#update({ put: [factsOf(joined), ...others] }), [
      ...changes,
      ...claimed.changes,
      { kind: "workload", workload: joined },
    ]);
  }

  async relabel(record: WorkloadRecord, changes: readonly StoreChange[]): Promise<void> {
    this.workloads.put(record);
    const put: StoreChange = { kind: "workload", workload: record };
    const update = record.state === "active" ? { put: [factsOf(record)] } : {};
    await this.#carryOut(this.#update(update), [...changes, put]);
  }

  /** Ends an identity, after its certificates were refused for good. */
  async revoke(id: string, changes: readonly StoreChange[]): Promise<void> {
    const record = this.workloads.get(id);
    if (record === null) return;
    this.sessions.get(id)?.end(new CallRefusal("revoked", "the controller's operator ended this identity"));
    this.sessions.forget(id);
    const freed = this.#book.leave(id);
    const revoked: WorkloadRecord = { ...record, state: "revoked", claims: [], tokens: [], issued: null };
    this.workloads.put(revoked);
    const { changes: heirs, put } = this.#takeClaims(freed);
    await this.#carryOut(this.#update({ put, gone: [id] }), [
      ...changes,
      { kind: "workload", workload: revoked },
      ...heirs,
    ]);
  }

  async apply(revision: RevisionNumber, policy: LabelPolicy, changes: readonly StoreChange[]): Promise<void> {
    await this.#carryOut(this.#rollout.apply(revision, policy, this.#now()), changes);
  }

  async raiseEpoch(): Promise<void> {
    await this.#carryOut(this.#rollout.raiseEpoch(this.#now()));
  }

  close(): void {
    this.#reportTimer?.[Symbol.dispose]();
    this.#reportTimer = null;
    this.#timer?.[Symbol.dispose]();
    this.#timer = null;
    this.sessions.close();
  }

  async enter(session: AgentSession, hello: HelloMessage): Promise<Pick<WelcomeMessage, "token" | "trust">> {
    const { trust, journal } = this.#options;
    const { workload } = session.identity;
    const token = newToken();
    this.#limits.takeSession(workload);
    const known = this.requireActive(session.identity).tokens;
    await this.sessions.admit(session, hello.token, known, async () => {
      const shown = hashToken(hello.token);
      // The one that was shown stays good: the new one may never reach the agent's disk.
      const tokens = [hashToken(token), ...(known.includes(shown) ? [shown] : [])];
      const record = { ...this.requireActive(session.identity), tokens, lastSeen: this.#time() };
      this.workloads.put(record);
      this.#floors.set(workload, hello.floor);
      const message = `connected from ${session.peer}, ${hello.agentVersion || "unknown version"}`;
      await journal.write([
        { kind: "workload", workload: record },
        journal.event({ type: "connected", workload, address: session.address, message }),
      ]);
    });
    return { token, trust: trust.trust() };
  }

  async entered(session: AgentSession, hello: HelloMessage): Promise<void> {
    const { workload } = session.identity;
    const digest = hello.status.applied?.digest ?? null;
    const base = this.#policiesOf(workload).find((policy) => policyDigest(policy) === digest);
    if (base !== undefined) session.base = base;
    const decisions = this.#rollout.connected(workload, this.#reportOf(workload, hello.status), this.#now());
    this.#takeReport(workload, hello.status);
    await this.#carryOut(decisions);
  }

  async context(session: AgentSession, facts: ContextFacts): Promise<void> {
    const { workload } = session.identity;
    const before = this.requireActive(session.identity);
    const name = facts.hostname ?? before.name;
    const addresses = facts.addresses ?? [];
    if (addressesText(addresses) !== addressesText(before.claims)) this.#limits.takeMove(workload);
    this.#book.enter(workload, name, before.ranges);
    const claimed = this.#book.claim(workload, addresses);
    const { changes, put } = this.#takeClaims(claimed);
    const record = { ...this.requireActive(session.identity), name, claims: this.#book.claims(workload) };
    const isNew = JSON.stringify(record) !== JSON.stringify(before);
    this.workloads.put(record);
    const own = sameFacts(before, record) ? [] : [factsOf(record)];
    const others = put.filter(({ id }) => id !== workload);
    if (!isNew && changes.length === 0) return;
    await this.#carryOut(this.#update({ put: [...own, ...others] }), [
      ...changes,
      { kind: "workload", workload: record },
    ]);
  }

  async status(session: AgentSession, status: StatusMessage): Promise<void> {
    const { workload } = session.identity;
    this.requireActive(session.identity);
    this.#limits.takeStatus(workload);
    const decisions = this.#rollout.reported(workload, this.#reportOf(workload, status), this.#now());
    this.#takeReport(workload, status);
    await this.#carryOut(decisions);
  }

  async event(session: AgentSession, { type, message }: ToldEvent): Promise<void> {
    const { journal } = this.#options;
    if (!eventType.test(type) || controllersOwn.has(type)) {
      throw new CallRefusal("bad-request", `agents have no event ${JSON.stringify(type.slice(0, 64))}`);
    }
    if (toldByStatus.has(type)) return;
    const { workload } = session.identity;
    const dropped = this.#limits.takeEvent(workload);
    if (dropped === null) return;
    const words = dropped === 0 ? message : `${message} (${dropped} events before it were dropped: too many)`;
    await journal.write([journal.event({ type, workload, message: words })]);
  }

  wanted(session: AgentSession): OutgoingPolicy | null {
    return this.#rollout.target(session.identity.workload);
  }

  sign(session: AgentSession, { version, digest }: OutgoingPolicy): Uint8Array {
    return this.#options.trust.sign({ workload: session.identity.workload, version, digest });
  }

  recheck(identity: AgentIdentity): void {
    if (identity.notAfter.getTime() <= this.#options.clock.date().getTime()) {
      throw new CallRefusal("unauthenticated", "the certificate expired while the stream lasted; renew it");
    }
    this.requireActive(identity);
  }

  left(session: AgentSession): void {
    if (!this.sessions.leave(session)) return;
    const { journal } = this.#options;
    const { workload } = session.identity;
    this.#floors.delete(workload);
    const record = this.workloads.get(workload);
    if (record === null) return;
    const seen = { ...record, lastSeen: this.#time() };
    this.workloads.put(seen);
    const message = `the session from ${session.peer} ended`;
    this.#background(
      this.#carryOut(this.#rollout.disconnected(workload, this.#now()), [
        { kind: "workload", workload: seen },
        journal.event({ type: "disconnected", workload, address: session.address, message }),
      ]),
    );
  }

  /** The record of an identity that stands. @throws CallRefusal */
  requireActive({ workload, pairing }: Pick<AgentIdentity, "workload" | "pairing">): WorkloadRecord {
    const record = this.workloads.get(workload);
    const isRevoked = record?.state === "revoked" && record.pairing === pairing;
    if (isRevoked || this.#options.trust.isRevoked(pairing)) {
      throw new CallRefusal("revoked", "the controller's operator ended this identity; pair again");
    }
    if (record === null || record.pairing !== pairing) {
      throw new CallRefusal(
        "unauthenticated",
        `this controller does not know the pairing of ${workload} (was it restored from an older backup?); pair again`,
      );
    }
    return record;
  }

  #policiesOf(workload: string): readonly Policy[] {
    const policies = [this.#rollout.target(workload)?.policy, this.#rollout.policies.policyOf(workload)];
    return policies.filter((policy) => policy !== undefined && policy !== null);
  }

  #update(update: FleetUpdate): Decisions {
    return this.#rollout.update(update, this.#now());
  }

  /** Records and events of claims that changed, and the facts of whoever's admitted addresses did. */
  #takeClaims(claimed: readonly ClaimChange[]): {
    readonly changes: readonly StoreChange[];
    readonly put: readonly WorkloadFacts[];
  } {
    const changes: StoreChange[] = [];
    const put: WorkloadFacts[] = [];
    for (const id of new Set(claimed.map(({ workload }) => workload))) {
      const record = this.workloads.get(id);
      if (record === null) continue;
      const next = { ...record, claims: this.#book.claims(id) };
      this.workloads.put(next);
      changes.push({ kind: "workload", workload: next });
      if (!sameFacts(record, next)) put.push(factsOf(next));
    }
    const told = new Map<string, number>();
    const nameOf = (id: string) => `${id} (${this.workloads.get(id)?.name ?? "unknown"})`;
    for (const { workload, address, state, reason } of claimed.toSorted(withheldFirst)) {
      const count = (told.get(workload) ?? 0) + 1;
      told.set(workload, count);
      if (count > mostClaimsTold) continue;
      const who = nameOf(workload);
      const message =
        state === "admitted"
          ? `${address} of ${who} is admitted`
          : `${address} of ${who} is withheld: ${reason}`;
      changes.push(this.#options.journal.event({ type: `address-${state}`, workload, address, message }));
    }
    for (const [workload, count] of told) {
      if (count <= mostClaimsTold) continue;
      const message = `${count - mostClaimsTold} more addresses of ${nameOf(workload)} changed; \`antenna-controller workloads\` shows them`;
      changes.push(this.#options.journal.event({ type: "address-withheld", workload, message }));
    }
    return { changes, put };
  }

  #reportOf(workload: string, status: StatusMessage): EnforcementReport {
    const told = this.#floors.get(workload) ?? null;
    const applied = status.applied?.version ?? null;
    const floor = told === null || (applied !== null && compareVersions(applied, told) > 0) ? applied : told;
    this.#floors.set(workload, floor);
    return { ...status, floor } as EnforcementReport;
  }

  #takeReport(workload: string, { state, mode, applied, problems }: StatusMessage): void {
    const record = this.workloads.get(workload);
    if (record === null) return;
    const reported: ReportRecord = { state, mode, applied, problems };
    if (JSON.stringify(record.reported) === JSON.stringify(reported)) return;
    this.workloads.put({ ...record, reported });
    this.#unsaved.add(workload);
    this.#reportTimer ??= this.#options.clock.after(reportsMs, () => {
      this.#background(this.saveReports());
    });
  }

  /** Stores what agents reported since the last time. */
  async saveReports(): Promise<void> {
    this.#reportTimer?.[Symbol.dispose]();
    this.#reportTimer = null;
    const records = Array.from(this.#unsaved, (id) => this.workloads.get(id));
    this.#unsaved.clear();
    const changes = records.flatMap((workload) =>
      workload === null ? [] : [{ kind: "workload", workload } as const],
    );
    if (changes.length > 0) await this.#options.journal.write(changes);
  }

  /** Stores what was decided together with what led to it, then sends it. */
  async #carryOut(decisions: Decisions, causes: readonly StoreChange[] = []): Promise<void> {
    const { journal, onRevisions } = this.#options;
    this.#schedule();
    for (const { workload, ...issued } of decisions.issued) {
      const record = this.workloads.get(workload);
      if (record !== null) this.workloads.put({ ...record, issued });
    }
    const changes: StoreChange[] = [...causes];
    if (decisions.issued.length > 0) changes.push({ kind: "issued", issued: decisions.issued });
    for (const { revision, state } of decisions.revisions) {
      changes.push({ kind: "revision-state", revision, state });
    }
    if (decisions.stateChanged) {
      changes.push({ kind: "rollout", rollout: formatRollout(this.#rollout.state()) });
    }
    for (const event of decisions.events) changes.push(journal.event(event));
    const { version } = this.#rollout;
    const isNewEpoch = version.epoch > this.#options.trust.epoch;
    if (changes.length > 0 || isNewEpoch) {
      await journal.write(changes, decisions.issued.length > 0 || isNewEpoch ? [version] : []);
    }
    if (decisions.revisions.length > 0) onRevisions(decisions.revisions);
    for (const { workload, ...offer } of decisions.offers) this.#offer(workload, offer);
  }

  #offer(workload: string, offer: OutgoingPolicy): void {
    const session = this.sessions.get(workload);
    if (session === null) return;
    this.#options.logger.debug({ workload, version: formatVersion(offer.version) }, "a policy is sent");
    session.offer(offer);
  }

  #tellClone({ workload, second, message }: Clone): void {
    const address = second.slice(0, Math.max(0, second.lastIndexOf(":")));
    if (!this.#limits.takeClone(workload, address)) return;
    const { journal } = this.#options;
    this.#background(journal.write([journal.event({ type: "clone-detected", workload, address, message })]));
  }

  #schedule(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = null;
    const { deadline } = this.#rollout;
    if (deadline === null) return;
    this.#timer = this.#options.clock.after(Math.max(1, deadline - this.#now()), () =>
      this.#background(this.#carryOut(this.#rollout.tick(this.#now()))),
    );
  }

  /** Failures of the store are told by the journal. */
  #background(work: Promise<void>): void {
    work.catch((reason: unknown) => this.#options.logger.error({ error: String(reason) }, "not carried out"));
  }

  #now(): number {
    return this.#options.clock.now();
  }

  #time(): string {
    return this.#options.clock.date().toISOString();
  }
}

function withheldFirst(a: ClaimChange, b: ClaimChange): number {
  return Number(a.state === "admitted") - Number(b.state === "admitted");
}

function addressesText(addresses: readonly WorkloadAddress[]): string {
  return addresses
    .map(({ address, prefix, interface: name, scope }) => `${address}/${prefix} ${name} ${scope}`)
    .join();
}
