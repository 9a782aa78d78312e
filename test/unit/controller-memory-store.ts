import type {
  AuthorityFile,
  ControllerStore,
  EventPage,
  EventQuery,
  IssuedRecord,
  PairingKeyRecord,
  RevisionNumber,
  RevisionRecord,
  RevocationRecord,
  StoreChange,
  StoredEvent,
  StoredFleet,
  TrustFiles,
  TrustRecords,
  VersionFile,
  WorkloadRecord,
} from "@antenna/controller/internal/store-port.js";

/** What a database would hold, so that a second controller can start on it. Values are copied on the way in and out. */
export class MemoryDatabase {
  readonly keys = new Map<string, PairingKeyRecord>();
  readonly workloads = new Map<string, WorkloadRecord>();
  readonly issued = new Map<string, IssuedRecord>();
  readonly revisions = new Map<RevisionNumber, RevisionRecord>();
  readonly texts = new Map<RevisionNumber, string>();
  readonly events: StoredEvent[] = [];
  rollout: string | null = null;

  clone(): MemoryDatabase {
    const copy = new MemoryDatabase();
    for (const [id, key] of this.keys) copy.keys.set(id, key);
    for (const [id, workload] of this.workloads) copy.workloads.set(id, workload);
    for (const [id, issued] of this.issued) copy.issued.set(id, issued);
    for (const [id, revision] of this.revisions) copy.revisions.set(id, revision);
    for (const [id, text] of this.texts) copy.texts.set(id, text);
    copy.events.push(...this.events);
    copy.rollout = this.rollout;
    return copy;
  }
}

export interface MemoryStoreOptions {
  /** Called before each commit; what it throws is the commit's refusal. */
  readonly onCommit?: (changes: readonly StoreChange[]) => void;
  /** How long a commit takes. */
  readonly commitMs?: number;
}

/** A ControllerStore without a disk: atomic and in order, and it refuses what a database would refuse. */
export class MemoryStore implements ControllerStore {
  readonly database: MemoryDatabase;
  readonly #options: MemoryStoreOptions;
  #turn: Promise<void> = Promise.resolve();
  #isClosed = false;

  constructor(database: MemoryDatabase = new MemoryDatabase(), options: MemoryStoreOptions = {}) {
    this.database = database;
    this.#options = options;
  }

  async load(): Promise<StoredFleet> {
    const { keys, workloads, issued, revisions, rollout } = this.database;
    return structuredClone({
      keys: [...keys.values()],
      workloads: [...workloads.values()].map((record) => ({
        ...record,
        issued: issued.get(record.id) ?? null,
      })),
      revisions: [...revisions.values()].sort((a, b) => a.revision - b.revision),
      rollout,
    });
  }

  commit(changes: readonly StoreChange[]): Promise<void> {
    const taken = structuredClone(changes) as readonly StoreChange[];
    const done = this.#turn.then(async () => {
      if (this.#isClosed) throw new Error("the store is closed");
      const { onCommit, commitMs = 0 } = this.#options;
      if (commitMs > 0) await new Promise((resolve) => setTimeout(resolve, commitMs));
      onCommit?.(taken);
      for (const change of taken) this.#put(change);
    });
    this.#turn = done.catch(() => {});
    return done;
  }

  async revisionText(revision: RevisionNumber): Promise<string | null> {
    return this.database.texts.get(revision) ?? null;
  }

  async events({ limit, before = Number.POSITIVE_INFINITY }: EventQuery): Promise<EventPage> {
    const events = this.database.events.filter(({ id }) => id < before).reverse();
    return { events: events.slice(0, limit), pruned: 0 };
  }

  async backup(): Promise<AsyncIterable<Uint8Array>> {
    throw new Error("a store in memory has no backup");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#turn;
    this.#isClosed = true;
  }

  #put(change: StoreChange): void {
    const { keys, workloads, issued, revisions, texts, events } = this.database;
    switch (change.kind) {
      case "key":
        keys.set(change.key.id, change.key);
        return;
      case "workload":
        workloads.set(change.workload.id, change.workload);
        return;
      case "issued":
        for (const { workload, ...record } of change.issued) {
          if (!workloads.has(workload)) throw new Error(`issued to ${workload}, which is not stored`);
          issued.set(workload, record);
        }
        return;
      case "revision":
        if (revisions.has(change.revision.revision)) throw new Error("a revision is written once");
        revisions.set(change.revision.revision, change.revision);
        texts.set(change.revision.revision, change.text);
        return;
      case "revision-state": {
        const record = revisions.get(change.revision);
        if (record === undefined) throw new Error(`revision ${change.revision} is not stored`);
        revisions.set(change.revision, { ...record, state: change.state });
        return;
      }
      case "rollout":
        this.database.rollout = change.rollout;
        return;
      case "event":
        events.push({ ...change.event, id: events.length + 1 });
        return;
    }
  }
}

/** TrustFiles without a disk. */
export class MemoryTrustFiles implements TrustFiles {
  authority: AuthorityFile | null = null;
  version: VersionFile | null = null;
  revocations: readonly RevocationRecord[] = [];

  async read(): Promise<TrustRecords> {
    const { authority, version, revocations } = this;
    return structuredClone({ authority, version, revocations });
  }

  async writeAuthority(authority: AuthorityFile): Promise<void> {
    this.authority = structuredClone(authority);
  }

  async writeVersion(version: VersionFile): Promise<void> {
    this.version = version;
  }

  async writeRevocations(revocations: readonly RevocationRecord[]): Promise<void> {
    this.revocations = structuredClone(revocations);
  }
}
