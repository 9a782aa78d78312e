import type { PreviewReport } from "./agent-calls.js";
import type { ContextFacts, WorkloadContext } from "./context/workload-context.js";
import type { AddressSet } from "./policy/address-set.js";
import type { PolicyDelta } from "./policy/delta.js";
import type { Address, EnforcementMode, Family, Policy, Version } from "./policy/model.js";
import type { ProgramSet } from "./program/program.js";
import type { SetChange } from "./program/set-change.js";
import type { Command, Installed, SetInstance } from "./reconcile/command.js";
import type { StandingProblem } from "./reconcile/problem-board.js";
import type { SyncState } from "./reconcile/sync-state.js";

export interface CallOptions {
  /** Aborting rejects the call with code `aborted`; what was already written stays written. */
  readonly signal?: AbortSignal;
}

export interface Clock {
  /** Milliseconds on a monotonic clock; never the wall clock. */
  now(): number;
  /** Wall clock, for showing only. */
  date(): Date;
  /** Calls once after `delayMs`; disposing cancels. Never keeps the process alive by itself unless `ref`. */
  after(delayMs: number, call: () => void): Disposable;
}

/** Structured logging in pino's shape: facts first, then words. */
export interface Logger {
  debug(facts: object, message: string): void;
  info(facts: object, message: string): void;
  warn(facts: object, message: string): void;
  error(facts: object, message: string): void;
}

/** A way in which the kernel differs from what was written. */
export interface Difference {
  readonly kind:
    | "rules" // our chains differ, or are gone
    | "jump-displaced" // our jump is no longer the first rule
    | "jump-missing"
    | "set-missing"
    | "set-members"
    | "backend"; // the host's rules live in the other backend now
  readonly family: Family | null;
  /** The object: a chain, a set instance. */
  readonly object: string;
  /** What was found against what was meant, for people. */
  readonly detail: string;
}

/** What `watch` tells: something changed or may have changed; the reconciler then verifies. */
export interface ChangeNotice {
  readonly scope: VerifyScope;
  /** Who wrote, as the kernel's notice claims (both can lie), for people only. */
  readonly writer: { readonly pid: number; readonly name: string } | null;
  readonly reason: string;
}

/** `rules`: chains and jumps; `counts`: rules, and that sets exist with the right number of members; `members`: all of it, member by member. */
export type VerifyScope = "rules" | "counts" | "members";

export interface FilterDescription {
  /** `iptables-nft`, `iptables-legacy`, `fake`… */
  readonly mechanism: string;
  /** How often rules, counts and members are looked at, in milliseconds, for status; null: notified. */
  readonly intervals: {
    readonly rulesMs: number | null;
    readonly countsMs: number;
    readonly membersMs: number;
  };
  /** What no policy needs any more and the kernel keeps all the same, since somebody else's rule refers to it. */
  readonly leftovers?: Removal["residues"];
}

/** Something of ours that was taken out, or that stays with a reason. */
export interface Removal {
  readonly removed: readonly { readonly kind: string; readonly name: string }[];
  readonly residues: readonly { readonly kind: string; readonly name: string; readonly reason: string }[];
}

/**
 * The packet filter of one enforcement point. The Reconciler is its only caller; it never calls two methods at once.
 * Refusals reject with AntennaError: `kernel-refused` (detail: the exact words), `busy`, `not-permitted`, `unsupported`.
 */
export interface PacketFilter extends AsyncDisposable {
  describe(): FilterDescription;
  /**
   * Reads only: does what stands in the kernel mean exactly `program`, and was it written by us with nobody since?
   * Then the instances it stands in; else null.
   */
  adopt(program: Installed["program"], options?: CallOptions): Promise<Installed | null>;
  /** True when any rule, chain or set of ours is in the kernel (a restart, not a first start). Reads only. */
  present(options?: CallOptions): Promise<boolean>;
  /** Names of set instances of ours in the kernel, for choosing new ones and for sweeping. Reads only. */
  instances(options?: CallOptions): Promise<ReadonlySet<string>>;
  /** Executes in order; at the first refusal it stops, leaves what is done, and rejects. */
  execute(commands: readonly Command[], options?: CallOptions): Promise<void>;
  /** Compares the kernel with `installed`; an empty list is proof. Reads only. */
  verify(installed: Installed, scope: VerifyScope, options?: CallOptions): Promise<readonly Difference[]>;
  /**
   * What to add to a set and to delete from it, so that it holds exactly `content`; both are empty when it does. null:
   * that cannot be told (the set is gone, was made otherwise than ours, or more than a thousand members differ), so it is
   * to be replaced. Reads only.
   */
  correction(instance: SetInstance, content: ProgramSet, options?: CallOptions): Promise<SetChange | null>;
  /** Destroys set instances of ours that `installed` does not name (leftovers of a crash). */
  sweep(installed: Installed | null, options?: CallOptions): Promise<void>;
  /** From now on watches what `installed` says; replaces an earlier watch. null: stops. */
  watch(installed: Installed | null, onChange: (notice: ChangeNotice) => void): void;
  /** Takes everything of ours out of the kernel; idempotent. */
  remove(options?: CallOptions): Promise<Removal>;
  readonly connections: ConnectionTable;
}

export interface Tuple {
  readonly source: Address;
  readonly destination: Address;
  /** null: the protocol has no ports. */
  readonly sourcePort: number | null;
  readonly destinationPort: number | null;
}

/** One entry of connection tracking. */
export interface TrackedFlow {
  /** The kernel's id of the entry (CTA_ID). */
  readonly id: number;
  readonly zone: number;
  readonly family: Family;
  readonly protocol: number;
  readonly icmpType: number | null;
  readonly icmpCode: number | null;
  /** Identifier of an ICMP or ICMPv6 exchange, a part of its tuple; null or absent: none. */
  readonly icmpId?: number | null;
  readonly original: Tuple;
  readonly reply: Tuple;
  /** By the contract: reply source local: in; original source local: out; neither: forwarded; both: local. */
  readonly direction: "in" | "out" | "forwarded" | "local";
  /** False: tracking began after the flow did, its direction is a guess of the kernel. */
  readonly openingSeen: boolean;
  readonly cut: boolean;
  /** TCP on its way out: FIN or RST seen. */
  readonly closing: boolean;
}

export interface CutResult {
  readonly cut: number;
  /** Entries that were gone before they could be cut. */
  readonly gone: number;
  readonly socketsEnded: number;
}

/** Connection tracking of one enforcement point: cutting flows precisely, and settling. */
export interface ConnectionTable extends AsyncDisposable {
  /** Every tracked flow, in batches of bounded size; the batch is valid until the next one is asked for. */
  dump(options?: CallOptions): AsyncIterable<readonly TrackedFlow[]>;
  /** Marks the flows and ends their local sockets; keeps them cut against others' writes until `restore` or the end of the flow. */
  cut(flows: readonly TrackedFlow[], options?: CallOptions): Promise<CutResult>;
  /** Takes the mark away again. */
  restore(flows: readonly TrackedFlow[], options?: CallOptions): Promise<void>;
  /** The flows that are kept cut (bounded). */
  cutFlows(): readonly TrackedFlow[];
  /** Enters TCP connections that the kernel has sockets for and tracking does not know, with their true direction. */
  enterSilent(
    options?: CallOptions,
  ): Promise<{ readonly entered: number; readonly existing: number; readonly failed: number }>;
  /** True when the flow's local end is a listening TCP port or a UDP port bound outside the ephemeral range. */
  isInbound(flow: TrackedFlow): boolean;
  /** Somebody took the cut mark off a flow and it was set again. */
  onOverwritten(
    listener: (event: {
      readonly flow: TrackedFlow;
      readonly by: "mark-overwritten" | "entry-deleted";
    }) => void,
  ): void;
}

/** What an adapter package hands to `createAgent`: opens the filter of one enforcement point. */
export interface PacketFilterProvider {
  open(options: PacketFilterOptions & CallOptions): Promise<PacketFilter>;
}

export interface PacketFilterOptions {
  /** Path of the network namespace (`/run/netns/web1`, `/proc/PID/ns/net`); null: the caller's own. */
  readonly namespace: string | null;
  /** Where the adapter may keep files that survive a restart (baselines); its own subdirectory. */
  readonly stateDir: string;
  /** One bit of the connection mark. */
  readonly cutMark: number;
  readonly nflogGroup: number;
  /** NFLOG packets a second and rule; at least 20. */
  readonly nflogRate: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Tells who the workload is. Sources never delay enforcement: they start after the policy is in force. */
export interface ContextSource extends AsyncDisposable {
  /** For people: `host`, `cloud`, `docker`. */
  readonly name: string;
  /**
   * Begins; calls `onFacts` with what is known so far, and again with whatever part changes, until disposed. Bounded, and
   * follows by notification where the system offers one. What can't be read is left out and logged, never invented.
   */
  start(onFacts: (facts: ContextFacts) => void, options: ContextSourceOptions): void;
}

export interface ContextSourceOptions {
  /** Path of the network namespace whose addresses and services are meant; null: the own one. */
  readonly namespace: string | null;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A number in [0, 1), for jitter. */
  readonly random: () => number;
}

/** How the link to the controller stands. `refused`: it answers and does not let us in; `revoked`: the identity ended. */
export interface LinkStatus {
  readonly state: "none" | "connecting" | "connected" | "refused" | "revoked";
  /** HOST:PORT as configured; null: there is no controller. */
  readonly controller: string | null;
  /** Wall clock, ISO 8601: when a session last stood; null: never. */
  readonly lastSync: string | null;
  /** What stands in the way, as problems of `status` (`link-down`, `clock-skew`, …). */
  readonly problems: readonly StandingProblem[];
}

/** How enforcement stands, for the controller. */
export interface EnforcementReport {
  readonly state: SyncState;
  readonly mode: EnforcementMode | null;
  /** In force and confirmed. */
  readonly applied: { readonly version: Version; readonly digest: string } | null;
  /** The highest version ever accepted. */
  readonly floor: Version | null;
  readonly problems: readonly StandingProblem[];
  /** The outcome of the last offer that was refused, rolled back or interrupted; null: none. */
  readonly refused: OfferOutcome | null;
}

export interface OfferOutcome {
  readonly version: Version;
  readonly result: "refused" | "rolled-back" | "interrupted";
  /** Every problem, one a line. */
  readonly reason: string;
}

/** A policy that came over the link; the link has checked who it is from, nobody yet what it says. */
export interface PolicyOffer {
  readonly policy: Policy | PolicyDelta;
  readonly version: Version;
  /** Of the policy that results. */
  readonly digest: string;
  /** Opaque to the agent: stored with the policy, and shown to `vouches` at the next start. */
  readonly proof: Uint8Array;
  /** True: in force on trial until confirmed (commit-confirm). */
  readonly probation: boolean;
}

/** The agent, as its link sees it. Nothing here throws; what rejects is told to the controller by the link. */
export interface LinkedAgent {
  report(): EnforcementReport;
  /** null: not gathered yet. */
  context(): WorkloadContext | null;
  /** The newest policy accepted, to which deltas apply: in force, or on its way there. */
  policy(): Policy | null;
  /** Before a connection: these addresses are let through as essentials. Resolves when the kernel has them. */
  reach(addresses: AddressSet, port: number): Promise<void>;
  /**
   * Takes an offer: resolves when it is in force and, on probation, confirmed or rolled back; rejects with AntennaError
   * (`input-refused` with path `base`: ask for the whole policy). A newer offer replaces one that waits.
   */
  offer(offer: PolicyOffer): Promise<void>;
  preview(policy: Policy, examples: number): Promise<PreviewReport>;
}

/**
 * The way to the controller: context and status go up, the workload's own policy comes down. It outlives every outage, and
 * enforcement never waits for it.
 */
export interface ControllerLink extends AsyncDisposable {
  /** Id given at pairing; null before. */
  readonly workload: string | null;
  status(): LinkStatus;
  /** Begins to connect, and keeps at it with jittered backoff (30 s at most) until disposed. Called once. */
  open(agent: LinkedAgent, options: { readonly clock: Clock; readonly logger: Logger }): void;
  /** What `context()` or `report()` gives has changed: told when there is room, the newest only. */
  changed(what: "context" | "report"): void;
  /** An event for operators; bounded, dropped (and counted in the log) when the controller is away for long. */
  tell(event: { readonly type: string; readonly time: Date; readonly message: string }): void;
  /** Is this stored policy from a controller that this link trusts? Offline, without waiting. */
  vouches(version: Version, digest: string, proof: Uint8Array | null): boolean;
  /** Opens a connection of its own to the controller and resolves once the controller has answered on it (commit-confirm). */
  probe(options?: CallOptions): Promise<void>;
  /** Calls at each change of `status()` until disposed. */
  onStatus(listener: (status: LinkStatus) => void): Disposable;
}
