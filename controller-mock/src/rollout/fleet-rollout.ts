import {
  compareVersions,
  type EnforcementReport,
  formatVersion,
  type OfferOutcome,
  type Policy,
  policyDigest,
  type Version,
} from "@antenna/sdk";
import type { ControllerFacts, WorkloadFacts } from "../compute/facts.js";
import type { FleetPolicies, FleetUpdate } from "../compute/fleet-policies.js";
import type { LabelPolicy } from "../policy/model.js";
import { DecisionList, type Decisions, type Offer } from "./decisions.js";
import { RolloutMember } from "./member.js";
import type { Issued, Revision, RolloutState, Unsettled, Wave } from "./rollout-state.js";
import { Tracks } from "./tracks.js";
import { chooseWave, type Eligible, rankOf, waveAfter } from "./waves.js";

export interface FleetRolloutOptions {
  readonly state: RolloutState;
  /** Those that `revisionsOf(state)` names; of the older ones, those that are still kept. */
  readonly labelPolicies: ReadonlyMap<Revision, LabelPolicy>;
  /** No version beyond it was ever issued. */
  readonly version: { readonly epoch: number; readonly sequence: number };
  readonly issued: ReadonlyMap<string, Issued>;
  readonly workloads: Iterable<WorkloadFacts>;
  readonly controller: ControllerFacts | null;
  /** How long a wave waits for a member that disconnected. */
  readonly windowMs: number;
  readonly nowMs: number;
}

/**
 * How many of its epochs a controller may have forgotten: an agent that tells of later ones lies, and one that could set the
 * epoch would set the highest there is, after which no policy could be issued to anybody.
 */
const mostEpochsLost = 1_000;

/**
 * Who is to have which policy, under which version, and on probation or not (contract, "Versions" and "Probation").
 *
 * Every workload is under the revision in force, but for those that the waves of a new one have reached. Goals: no workload is
 * ever given a lower version than one it had; a change gives new versions to the workloads it touches and to no others; the
 * first failure ends the waves, and everyone returns to the last good content under a higher version.
 *
 * Pure: time comes in as milliseconds of a clock that does not jump; what has to be stored and sent goes out as decisions. One
 * event takes one sequence at most.
 */
export class FleetRollout {
  readonly #tracks: Tracks;
  readonly #members = new Map<string, RolloutMember>();
  readonly #windowMs: number;
  #epoch: number;
  #sequence: number;
  /** null: none of its waves has begun. */
  #wave: Wave | null = null;
  readonly #chosen = new Set<string>();
  /** Chosen for the candidate that was replaced last: the next one reaches them first. */
  #wereChosen: ReadonlySet<string> = new Set();
  #deadline: number | null = null;
  /** After a start waves wait for the fleet to come back: a tenth of those few who did is not a tenth. */
  readonly #heldUntil: number;
  #decisions = new DecisionList();
  /** The version of the event in hand; null: it needed none so far. */
  #eventVersion: Version | null = null;

  constructor(options: FleetRolloutOptions) {
    const { state, issued, version, nowMs } = options;
    const workloads = Array.from(options.workloads);
    const { inForce, good, candidate, unsettled } = state;
    this.#tracks = new Tracks(
      { ...options, workloads },
      { inForce, good, candidate: candidate?.revision ?? null },
    );
    for (const { id } of workloads) {
      const open = Object.hasOwn(unsettled, id) ? (unsettled[id] as Unsettled) : null;
      this.#members.set(id, new RolloutMember(id, issued.get(id) ?? null, open, nowMs));
    }
    this.#windowMs = options.windowMs;
    this.#epoch = version.epoch;
    this.#sequence = version.sequence;
    this.#wave = candidate?.wave ?? null;
    for (const workload of candidate?.chosen ?? []) this.#chosen.add(workload);
    this.#heldUntil = candidate === null ? nowMs : nowMs + options.windowMs;
  }

  /** The highest version issued so far. */
  get version(): Version {
    return { epoch: this.#epoch, sequence: this.#sequence };
  }

  /** When `tick` is due, if nothing happens before; null: only events go on. */
  get deadline(): number | null {
    return this.#deadline;
  }

  get inForce(): Revision {
    return this.#tracks.inForce.revision;
  }

  /** null: no revision is in waves. */
  get inWaves(): Revision | null {
    return this.#tracks.candidate?.revision ?? null;
  }

  /** The policies under the revision in force. */
  get policies(): FleetPolicies {
    return this.#tracks.inForce.fleet;
  }

  state(): RolloutState {
    const unsettled: Record<string, Unsettled> = {};
    for (const member of this.#members.values()) {
      const open = member.unsettled();
      if (open !== null) unsettled[member.workload] = open;
    }
    const { inForce, candidate, good } = this.#tracks;
    return {
      inForce: inForce.revision,
      good,
      candidate:
        candidate === null
          ? null
          : { revision: candidate.revision, wave: this.#wave ?? "one", chosen: Array.from(this.#chosen) },
      unsettled,
    };
  }

  /** What a workload is to have; null: nothing is issued to it. */
  target(workload: string): Offer | null {
    const member = this.#members.get(workload);
    const policy = member === undefined ? null : this.#policyOf(member);
    if (member === undefined || policy === null || member.ahead || member.issued === null) return null;
    const { version, digest } = member.issued;
    // It was away when this changed; once it is back it gets a version.
    if (policyDigest(policy) !== digest) return null;
    return { workload, version, digest, policy, probation: member.since !== null };
  }

  /** True: it tells of versions that were never issued here, and gets nothing until the epoch is raised. */
  isAhead(workload: string): boolean {
    return this.#members.get(workload)?.ahead === true;
  }

  /** Workloads joined, moved, got other labels, left. @throws AntennaError `input-refused` for an address that is none. */
  update(update: FleetUpdate, nowMs: number): Decisions {
    const [put, gone] = [Array.from(update.put ?? []), Array.from(update.gone ?? [])];
    return this.#act(nowMs, () => {
      const changed = new Set(this.#tracks.update({ put, gone }));
      for (const workload of gone) {
        this.#members.delete(workload);
        this.#chosen.delete(workload);
      }
      for (const { id } of put) {
        if (this.#members.has(id)) continue;
        this.#members.set(id, new RolloutMember(id, null, null, nowMs));
        changed.add(id);
      }
      this.#sync(changed);
    });
  }

  /** A session stands. */
  connected(workload: string, report: EnforcementReport, nowMs: number): Decisions {
    return this.#act(nowMs, () => {
      const member = this.#members.get(workload);
      if (member === undefined) return;
      member.online = true;
      this.#report(member, report);
      this.#sync([workload]);
      if (!member.has(report)) this.#offer(member);
    });
  }

  reported(workload: string, report: EnforcementReport, nowMs: number): Decisions {
    return this.#act(nowMs, () => {
      const member = this.#members.get(workload);
      if (member !== undefined) this.#report(member, report);
    });
  }

  disconnected(workload: string, nowMs: number): Decisions {
    return this.#act(nowMs, () => {
      const member = this.#members.get(workload);
      if (member === undefined) return;
      member.online = false;
      member.offlineSince = nowMs;
    });
  }

  /** Time went by; also the first thing after the start. */
  tick(nowMs: number): Decisions {
    return this.#act(nowMs, () => {});
  }

  /** A new revision, higher than all before; in place of one in waves. */
  apply(revision: Revision, policy: LabelPolicy, nowMs: number): Decisions {
    return this.#act(nowMs, () => {
      const replaced = this.#tracks.candidate;
      if (replaced !== null) this.#decisions.revision(replaced.revision, "replaced");
      this.#wereChosen = new Set(this.#chosen);
      this.#tracks.begin(revision, policy);
      this.#decisions.revision(revision, "in-waves");
      this.#decisions.stateChanged = true;
      this.#wave = null;
      this.#chosen.clear();
      this.#advance(nowMs);
      // Whom the first wave did not reach goes back to what is in force.
      this.#sync(this.#wereChosen);
      this.#wereChosen = new Set();
    });
  }

  /** The operator's act: from now on versions are above all that agents tell of, and those that were ahead get theirs. */
  raiseEpoch(nowMs: number): Decisions {
    return this.#act(nowMs, () => {
      const believable = this.#epoch + mostEpochsLost;
      for (const { highest } of this.#members.values())
        if (highest !== null && highest.epoch <= believable)
          this.#epoch = Math.max(this.#epoch, highest.epoch);
      this.#epoch++;
      this.#eventVersion = null;
      this.#decisions.tell("epoch-raised", null, `versions go on as ${this.#epoch}.x`);
      for (const member of this.#members.values()) {
        if (!member.ahead) continue;
        member.ahead = false;
        this.#decisions.stateChanged = true;
        this.#issue(member, true);
      }
    });
  }

  #act(nowMs: number, work: () => void): Decisions {
    this.#decisions = new DecisionList();
    this.#eventVersion = null;
    work();
    this.#advance(nowMs);
    return this.#decisions.take();
  }

  #report(member: RolloutMember, report: EnforcementReport): void {
    if (member.tellsOfMore(report, this.version)) this.#tellsOfMore(member, report);
    else if (member.ahead && (member.issued !== null || report.floor === null)) {
      // It lost what it had accepted, or has it from here after all.
      member.ahead = false;
      this.#decisions.stateChanged = true;
      this.#issue(member, false);
    }
    if (report.refused !== null) this.#outcome(member, report.refused, report);
    // Not worth storing: it will tell again that it confirmed.
    member.observe(report);
  }

  #tellsOfMore(member: RolloutMember, report: EnforcementReport): void {
    const told = report.floor ?? report.applied?.version ?? this.version;
    if (told.epoch < this.#epoch) {
      // It was away when the epoch was raised.
      member.ahead = false;
      this.#decisions.stateChanged = true;
      this.#issue(member, true);
    } else if (!member.ahead) {
      member.ahead = true;
      this.#decisions.stateChanged = true;
      const ours = member.issued === null ? "nothing" : formatVersion(member.issued.version);
      this.#decisions.tell(
        "policy-refused",
        member.workload,
        `it tells of ${formatVersion(told)}, and ${ours} was issued to it; raise the epoch if this controller was restored from a backup`,
      );
    }
  }

  #outcome(
    member: RolloutMember,
    { version, result, reason }: OfferOutcome,
    report: EnforcementReport,
  ): void {
    // Something newer is in force since.
    if (report.applied !== null && compareVersions(report.applied.version, version) > 0) return;
    const outcome = `${formatVersion(version)} ${result}`;
    if (member.told !== outcome && result !== "interrupted")
      this.#decisions.tell(result === "refused" ? "policy-refused" : "rolled-back", member.workload, reason);
    member.told = outcome;
    const { since, issued } = member;
    if (since === null || issued === null || compareVersions(version, since) < 0) return;
    if (result === "interrupted" && member.interruptions === 0) {
      member.interruptions = 1;
      this.#decisions.stateChanged = true;
      this.#issue(member, true);
      member.since = member.issued?.version ?? since;
    } else this.#withdraw(issued.revision, member, reason);
  }

  #withdraw(revision: Revision, member: RolloutMember, reason: string): void {
    const { candidate } = this.#tracks;
    this.#decisions.stateChanged = true;
    if (candidate?.revision === revision) this.#endWaves();
    else if (this.#tracks.inForce.revision !== revision || !this.#tracks.goBack()) {
      // There is nothing to go back to: the workload keeps what it went back to by itself.
      member.settle();
      return;
    }
    this.#decisions.revision(revision, "withdrawn");
    if (candidate?.revision !== revision && this.inForce !== 0)
      this.#decisions.revision(this.inForce, "in-force");
    this.#decisions.tell("policy-withdrawn", member.workload, `revision ${revision}: ${reason}`);
    this.#sync(this.#members.keys());
  }

  #endWaves(): void {
    this.#tracks.dropCandidate();
    this.#wave = null;
    this.#chosen.clear();
    this.#deadline = null;
  }

  /** Goes on to the next wave while nobody is waited for; after the last one the candidate is in force. */
  #advance(nowMs: number): void {
    while (this.#tracks.candidate !== null && !this.#isWaiting(nowMs)) {
      const next = waveAfter(this.#wave);
      this.#decisions.stateChanged = true;
      if (next === null) {
        this.#promote();
        return;
      }
      this.#wave = next;
      const chosen = chooseWave(next, this.#eligible(), this.#chosen.size);
      for (const workload of chosen) this.#chosen.add(workload);
      this.#sync(chosen);
    }
  }

  #isWaiting(nowMs: number): boolean {
    let waiting = nowMs < this.#heldUntil;
    this.#deadline = waiting ? this.#heldUntil : null;
    for (const workload of this.#chosen) {
      const member = this.#members.get(workload);
      if (member === undefined || !member.isAwaited(nowMs, this.#windowMs)) continue;
      waiting = true;
      if (member.online) continue;
      const leftOut = member.offlineSince + this.#windowMs;
      this.#deadline = this.#deadline === null ? leftOut : Math.min(this.#deadline, leftOut);
    }
    return waiting;
  }

  #eligible(): readonly Eligible[] {
    const { candidate, inForce } = this.#tracks;
    if (candidate === null) return [];
    const eligible: Eligible[] = [];
    for (const { workload, online, ahead, suspended, issued } of this.#members.values()) {
      if (!online || ahead || suspended || this.#chosen.has(workload)) continue;
      const [before, after] = [inForce.fleet.policyOf(workload), candidate.fleet.policyOf(workload)];
      if (before === null || after === null || issued?.digest === policyDigest(after)) continue;
      const enforcing = rankOf(before.mode, after.mode);
      eligible.push({ workload, enforcing, wasChosen: this.#wereChosen.has(workload) });
    }
    return eligible;
  }

  #promote(): void {
    const before = this.inForce;
    this.#tracks.promote();
    this.#endWaves();
    if (before !== 0) this.#decisions.revision(before, "replaced");
    this.#decisions.revision(this.inForce, "in-force");
    this.#decisions.tell("policy-applied", null, `revision ${this.inForce} is in force`);
    this.#sync(this.#members.keys());
  }

  #revisionFor(member: RolloutMember): Revision {
    const { candidate, inForce } = this.#tracks;
    return candidate !== null && this.#chosen.has(member.workload) ? candidate.revision : inForce.revision;
  }

  #policyOf(member: RolloutMember): Policy | null {
    return this.#tracks.policyOf(member.workload, this.#revisionFor(member));
  }

  #sync(workloads: Iterable<string>): void {
    for (const workload of workloads) {
      const member = this.#members.get(workload);
      if (member !== undefined && !member.ahead) this.#issue(member, false);
    }
  }

  /**
   * Gives a workload what it is to have, if that is something else than what it has; `anew`: under a new version anyhow. One
   * that is away waits until it has told what it has: else a restored controller would count past it unnoticed.
   */
  #issue(member: RolloutMember, anew: boolean): void {
    const policy = this.#policyOf(member);
    if (policy === null || !member.online) return;
    const { workload, issued } = member;
    const revision = this.#revisionFor(member);
    const digest = policyDigest(policy);
    const goesBack = issued !== null && revision < issued.revision;
    // Good content that is on probation by chance is given anew, without it.
    const isOnTrial = goesBack && member.since !== null;
    const isSame = issued !== null && issued.digest === digest && !anew && !isOnTrial;
    if (isSame && issued.revision === revision) return;
    const version = isSame ? issued.version : this.#nextVersion();
    member.issued = { version, digest, revision };
    this.#decisions.issue({ workload, version, digest, revision });
    // Back to an older revision, which was good; on to a newer one, which has to prove itself where it changes anything.
    if (goesBack) this.#settle(member);
    else if (issued !== null && revision > issued.revision && !isSame) {
      member.since = version;
      member.interruptions = 0;
      this.#decisions.stateChanged = true;
    }
    if (!isSame) this.#offer(member);
  }

  #settle(member: RolloutMember): void {
    if (member.since !== null) this.#decisions.stateChanged = true;
    member.settle();
  }

  #offer(member: RolloutMember): void {
    const offer = member.online ? this.target(member.workload) : null;
    if (offer !== null) this.#decisions.offer(offer);
  }

  #nextVersion(): Version {
    this.#eventVersion ??= { epoch: this.#epoch, sequence: ++this.#sequence };
    return this.#eventVersion;
  }
}
