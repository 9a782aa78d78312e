import { AntennaError } from "@antenna/sdk";
import type { LabelPolicy } from "../policy/model.js";
import { parseLabelPolicy } from "../policy/parse.js";
import { parseRollout, revisionsOf } from "../rollout/rollout-state.js";
import type { ControllerStore, RevisionNumber, RevisionRecord, StoredFleet } from "../store-port.js";

export type RevisionState = RevisionRecord["state"];

/** The revisions of the label policy: their records in memory, their texts in the store. */
export class Revisions {
  readonly #store: ControllerStore;
  readonly #records: Map<RevisionNumber, RevisionRecord>;
  readonly #waiting = new Set<() => void>();

  constructor(store: ControllerStore, records: readonly RevisionRecord[]) {
    this.#store = store;
    this.#records = new Map(records.map((record) => [record.revision, record]));
  }

  /** The label policies that a rollout goes on with. Rejects with AntennaError `corrupt` when one is gone. */
  static async policiesOf(
    store: ControllerStore,
    { rollout }: StoredFleet,
  ): Promise<ReadonlyMap<RevisionNumber, LabelPolicy>> {
    const state = rollout === null ? null : parseRollout(rollout);
    const policies = new Map<RevisionNumber, LabelPolicy>();
    for (const revision of state === null ? [] : revisionsOf(state)) {
      const text = await store.revisionText(revision);
      if (text !== null) policies.set(revision, parseLabelPolicy(text, `read revision ${revision}`));
      else if (revision === state?.inForce || revision === state?.candidate?.revision) {
        throw new AntennaError({
          code: "corrupt",
          operation: `read revision ${revision} of the label policy`,
          message: "its text is not in the database; restore the database from a backup",
        });
      }
    }
    return policies;
  }

  /** Newest first. */
  list(): readonly RevisionRecord[] {
    return Array.from(this.#records.values()).sort((a, b) => b.revision - a.revision);
  }

  /** The number that the next one gets. */
  get next(): RevisionNumber {
    return Math.max(0, ...this.#records.keys()) + 1;
  }

  put(record: RevisionRecord): void {
    this.#records.set(record.revision, record);
  }

  /** @throws AntennaError `unsupported` */
  require(revision: RevisionNumber): RevisionRecord {
    const record = this.#records.get(revision);
    if (record !== undefined) return record;
    throw new AntennaError({
      code: "unsupported",
      operation: `find revision ${revision}`,
      message: "there is no such revision; `antenna-controller policy history` lists them",
    });
  }

  /** As written. Rejects with AntennaError `unsupported`. */
  async text(revision: RevisionNumber): Promise<string> {
    this.require(revision);
    const text = await this.#store.revisionText(revision);
    if (text !== null) return text;
    throw new AntennaError({
      code: "unsupported",
      operation: `read revision ${revision}`,
      message: "its text was deleted to stay within bounds; newer ones are kept",
    });
  }

  /** States that are stored. */
  change(changes: readonly { readonly revision: RevisionNumber; readonly state: RevisionState }[]): void {
    for (const { revision, state } of changes) {
      const record = this.#records.get(revision);
      if (record !== undefined) this.#records.set(revision, { ...record, state });
    }
    for (const wake of [...this.#waiting]) wake();
  }

  /** Resolves with the state that a revision ends up in when its waves are over. Rejects when `signal` is aborted. */
  async settled(revision: RevisionNumber, signal?: AbortSignal): Promise<Exclude<RevisionState, "in-waves">> {
    for (;;) {
      signal?.throwIfAborted();
      const { state } = this.require(revision);
      if (state !== "in-waves") return state;
      await this.#changed(signal);
    }
  }

  async #changed(signal?: AbortSignal): Promise<void> {
    await new Promise<void>((resolve) => {
      const wake = () => {
        this.#waiting.delete(wake);
        signal?.removeEventListener("abort", wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal?.addEventListener("abort", wake, { once: true });
    });
  }
}
