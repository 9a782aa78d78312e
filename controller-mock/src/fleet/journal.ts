import type { Clock, Version } from "@antenna/sdk";
import type { ControllerStore, EventPage, EventQuery, EventRecord, StoreChange } from "../store-port.js";
import type { TrustKeeper } from "./trust-keeper.js";

export interface JournalOptions {
  readonly store: ControllerStore;
  readonly trust: TrustKeeper;
  readonly clock: Clock;
  /** A write failed: what is in memory is ahead of what is stored, and nobody may act on it any more. */
  readonly onFailure: (reason: unknown) => void;
}

/** An event without its time. */
export type NewEvent = Pick<EventRecord, "type" | "message"> &
  Partial<Pick<EventRecord, "workload" | "address">>;

/** Writes what happened, in the order in which it happened; tells of events when they are stored. */
export class Journal {
  readonly #options: JournalOptions;
  readonly #listeners = new Set<(event: EventRecord) => void>();
  /** Resolves when all that was asked for so far is handed to the store. */
  #handed: Promise<void> = Promise.resolve();
  #last: Promise<void> = Promise.resolve();
  #isBroken = false;

  constructor(options: JournalOptions) {
    this.#options = options;
  }

  event({ type, message, workload = null, address = null }: NewEvent): StoreChange {
    const time = this.#options.clock.date().toISOString();
    return { kind: "event", event: { time, type, workload, address, message } };
  }

  /** Resolves when the changes are durable, and the versions that they issue may be told. */
  write(changes: readonly StoreChange[], issued: readonly Version[] = []): Promise<void> {
    if (this.#isBroken) return Promise.reject(new Error("the store failed before"));
    const { store, trust } = this.#options;
    const ready = this.#handed.then(() => trust.reserve(issued));
    // The next one waits until this one is handed over, not until it is written: writes may be shared.
    const written = ready.then(() => ({ done: store.commit(changes) }));
    this.#handed = written.then(() => {});
    const done = written.then(({ done }) => done);
    this.#last = done.catch(() => {});
    return done.then(
      () => this.#tell(changes),
      (reason: unknown) => {
        this.#fail(reason);
        throw reason;
      },
    );
  }

  events(query: EventQuery): Promise<EventPage> {
    return this.#options.store.events(query);
  }

  /** Calls at each event that is stored from now on, until disposed. */
  onEvent(listener: (event: EventRecord) => void): Disposable {
    this.#listeners.add(listener);
    return { [Symbol.dispose]: () => this.#listeners.delete(listener) };
  }

  /** Resolves when all that was asked for is written, or has failed. */
  async settled(): Promise<void> {
    await this.#handed.catch(() => {});
    await this.#last;
  }

  #tell(changes: readonly StoreChange[]): void {
    for (const change of changes) {
      if (change.kind !== "event") continue;
      for (const listener of this.#listeners) listener(change.event);
    }
  }

  #fail(reason: unknown): void {
    if (this.#isBroken) return;
    this.#isBroken = true;
    this.#options.onFailure(reason);
  }
}
