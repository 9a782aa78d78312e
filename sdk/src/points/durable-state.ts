import { AntennaError } from "../error.js";
import type { Policy } from "../policy/model.js";
import { type AcceptedPolicy, compareVersions } from "../policy/version.js";
import type { Clock } from "../ports.js";
import { type Backoff, backoffDelay } from "../reconcile/backoff.js";
import type { MemberChanges, OpenedStore, PolicyStore, StoredState } from "../reconcile/policy-store.js";
import type { ProblemBoard } from "../reconcile/problem-board.js";
import type { Admission, AdmittedPolicy } from "./admitted-policy.js";

export interface DurableStateOptions {
  readonly stored: OpenedStore;
  readonly clock: Clock;
  readonly random: () => number;
  readonly problems: ProblemBoard;
  /** Aborted when the point closes: what cannot be stored from then on is nobody's problem. */
  readonly signal: AbortSignal;
}

/** A policy that was accepted, on its way into the store. */
interface Step extends AdmittedPolicy {
  readonly members: Admission["members"];
}

/** After this many in a row that never came into force, the next one is stored whole. */
const maxSteps = 256;
/** So long a floor may wait for the policy to come into force, which makes both durable at once. */
const noteMs = 200;
const backoff: Backoff = { firstMs: 1_000, maxMs: 60_000 };

/**
 * What a point remembers across restarts: the policy in force, the version floor, and what stands. The floor is stored
 * when a policy is accepted, the policy itself when it is in force: one that the kernel refused, or that was
 * accepted right before a crash, leaves its floor and may be offered again.
 *
 * Enforcing does not wait for the disk. What cannot be stored is a problem, and is tried again.
 */
export class DurableState {
  readonly #store: PolicyStore;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #problems: ProblemBoard;
  readonly #signal: AbortSignal;
  #floor: AcceptedPolicy | null;
  #suspended: boolean;
  #unsettled: boolean;
  #inForce: AdmittedPolicy | null = null;
  /** Accepted since the store was written, oldest first. */
  readonly #steps: Step[] = [];
  #isStored = true;
  #failures = 0;
  #retry: Disposable | null = null;
  /** Set while a floor is written and not durable. */
  #noted: Disposable | null = null;
  /** What is being stored; never rejects. */
  #saving: Promise<void> = Promise.resolve();

  constructor(options: DurableStateOptions) {
    const { store, state } = options.stored;
    this.#store = store;
    this.#clock = options.clock;
    this.#random = options.random;
    this.#problems = options.problems;
    this.#signal = options.signal;
    this.#floor = state.floor;
    this.#suspended = state.suspended;
    this.#unsettled = state.unsettled;
  }

  get floor(): AcceptedPolicy | null {
    return this.#floor;
  }

  get suspended(): boolean {
    return this.#suspended;
  }

  /** False while the policy in force is not on disk. */
  get isStored(): boolean {
    return this.#isStored;
  }

  /** Resolves when everything up to now is stored, or could not be. */
  saved(): Promise<void> {
    return this.#saving;
  }

  accepted({ admitted, isNew, members }: Admission): void {
    const { version, digest } = admitted;
    if (this.#steps.length >= maxSteps) this.#steps.splice(0);
    if (isNew) this.#steps.push({ ...admitted, members });
    const isRaised = this.#floor === null || compareVersions(version, this.#floor.version) > 0;
    if (isRaised) this.#floor = { version, digest };
    this.#note();
  }

  inForce(policy: AdmittedPolicy): void {
    this.#inForce = policy;
    void this.#save();
  }

  setSuspended(suspended: boolean): Promise<void> {
    this.#suspended = suspended;
    return this.#save();
  }

  /** True: rules of ours stand on a host whose connections are not all known yet. */
  setUnsettled(unsettled: boolean): Promise<void> {
    if (this.#unsettled === unsettled) return this.#saving;
    this.#unsettled = unsettled;
    return this.#save();
  }

  /** Forgets everything. */
  async remove(): Promise<void> {
    this.#stopTimers();
    await this.#store.remove();
  }

  async close(): Promise<void> {
    if (this.#noted !== null) void this.#save();
    this.#stopTimers();
    await this.#store.close();
  }

  #stopTimers(): void {
    this.#retry?.[Symbol.dispose]();
    this.#noted?.[Symbol.dispose]();
  }

  /** Makes durable what has changed. */
  #save(): Promise<void> {
    const isNoted = this.#noted !== null;
    this.#noted?.[Symbol.dispose]();
    this.#noted = null;
    const changes = this.#changes();
    const { state } = this.#store;
    const owed: typeof changes = changes.length === 0 && isNoted ? [[state, null]] : changes;
    return this.#following(owed.map(([next, members]) => this.#store.save(next, members)));
  }

  /**
   * Writes what has changed without waiting for the disk itself. A policy that is in force at once is then one wait,
   * not two.
   */
  #note(): void {
    const changes = this.#changes();
    if (changes.length === 0) return;
    this.#noted ??= this.#clock.after(noteMs, () => void this.#save());
    void this.#following(changes.map(([state]) => this.#store.note(state)));
  }

  /** Never rejects; resolves when these writes ended and those before them. */
  #following(writes: readonly Promise<void>[]): Promise<void> {
    // A later save with nothing to write must not look done before the one that wrote it.
    this.#saving = Promise.all([this.#saving, this.#settle(writes)]).then(() => undefined);
    return this.#saving;
  }

  async #settle(writes: readonly Promise<void>[]): Promise<void> {
    try {
      await Promise.all(writes);
    } catch (error) {
      if (!this.#signal.aborted) this.#failed(AntennaError.from(error, "store the policy"));
      return;
    }
    this.#isStored = true;
    this.#failures = 0;
    this.#retry?.[Symbol.dispose]();
    this.#retry = null;
    this.#problems.clear("disk-full");
    this.#problems.clear("storage");
  }

  /** The states on the way from the stored one to the one in force, with what makes each of the one before it. */
  #changes(): readonly (readonly [StoredState, MemberChanges | null])[] {
    const flags = { floor: this.#floor, suspended: this.#suspended, unsettled: this.#unsettled };
    const target = this.#inForce;
    const before = this.#store.state;
    const steps = this.#stepsTo(target?.policy ?? null);
    if (target === null || target.policy === before.policy) {
      const isSame =
        this.#isStored &&
        before.floor === flags.floor &&
        before.suspended === flags.suspended &&
        before.unsettled === flags.unsettled;
      return isSame ? [] : [[{ ...before, ...flags }, null]];
    }
    const isLinked = steps.every(
      ({ members }, index) =>
        members !== null && members.base === (steps[index - 1]?.policy ?? before.policy),
    );
    if (!this.#isStored || !isLinked || steps.length === 0) return [[{ ...stored(target), ...flags }, null]];
    return steps.map((step) => [{ ...stored(step), ...flags }, step.members?.sets ?? null]);
  }

  /** Takes them out: they are stored now, or passed over. */
  #stepsTo(policy: Policy | null): readonly Step[] {
    const at = this.#steps.findIndex((step) => step.policy === policy);
    return this.#steps.splice(0, at + 1);
  }

  #failed(error: AntennaError): void {
    this.#isStored = false;
    this.#failures += 1;
    const isFull = /\b(ENOSPC|EDQUOT)\b/.test(error.detail ?? "");
    this.#problems.clear(isFull ? "storage" : "disk-full");
    this.#problems.raise(
      isFull ? "disk-full" : "storage",
      `${error.message} (${error.detail ?? "no reason given"}); the policy is enforced all the same`,
    );
    this.#retry?.[Symbol.dispose]();
    this.#retry = this.#clock.after(backoffDelay(backoff, this.#failures, this.#random()), () => {
      void this.#save();
    });
  }
}

function stored({ policy, digest, proof }: AdmittedPolicy): Pick<StoredState, "policy" | "digest" | "proof"> {
  return { policy, digest, ...(proof !== undefined && { proof }) };
}
