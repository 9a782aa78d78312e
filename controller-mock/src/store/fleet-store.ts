import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { AntennaError, compareVersions, formatVersion } from "@antenna/sdk";
import type {
  ControllerStore,
  EventPage,
  EventQuery,
  RevisionNumber,
  StoreChange,
  StoredFleet,
  TrustRecords,
} from "../store-port.js";
import type { Database } from "./database.js";
import { eventOfRow, keyOfRow, number, revisionOfRow, workloadOfRow } from "./rows.js";
import { statementsOf } from "./statements.js";
import { corrupt, trustFileNames } from "./trust-directory.js";

export interface StoreBounds {
  readonly events: number;
  readonly eventDays: number;
  readonly revisions: number;
  /** Texts of revisions together. */
  readonly revisionBytes: number;
  /** How long keys that are good for nothing any more are kept. */
  readonly keyDays: number;
}

export const usualBounds: StoreBounds = {
  events: 100_000,
  eventDays: 90,
  revisions: 1_000,
  revisionBytes: 256 * 1024 * 1024,
  keyDays: 90,
};

/** Bounds are looked at once for so many events. */
const pruneEvery = 500;
const tar = "/usr/bin/tar";
/** Commits that wait together share a transaction, up to so many changes. */
const mostShared = 2_000;

interface Commit {
  readonly changes: readonly StoreChange[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** What a controller stores, in the database of a data directory. */
export class FleetStore implements ControllerStore {
  readonly #database: Database;
  /** The data directory: backups are gathered in it, so that they never lie where others can look. */
  readonly #directory: string;
  readonly #bounds: StoreBounds;
  readonly #waiting: Commit[] = [];
  #writing: Promise<void> | null = null;
  /** Why a commit was refused: what is in memory is ahead of what is stored, so that nothing more is. */
  #failure: unknown = null;
  /** Since bounds were last looked at; at a start that is long ago. */
  #events = pruneEvery;

  constructor(database: Database, directory: string, bounds: StoreBounds = usualBounds) {
    this.#database = database;
    this.#directory = directory;
    this.#bounds = bounds;
  }

  async load(): Promise<StoredFleet> {
    const ask = (sql: string): ReturnType<Database["query"]> =>
      this.#database.query("read what is stored", { sql, parameters: [] });
    const [keys, workloads, revisions, rollout] = await Promise.all([
      ask("select * from key order by created, id"),
      ask(`select workload.*, issued.epoch, issued.sequence, issued.digest, issued.revision
           from workload left join issued on issued.workload = workload.id order by paired, id`),
      ask("select revision, time, state, of from revision order by revision"),
      ask("select state from rollout"),
    ]);
    const state = rollout[0]?.state;
    return {
      keys: keys.map(keyOfRow),
      workloads: workloads.map(workloadOfRow),
      revisions: revisions.map(revisionOfRow),
      rollout: typeof state === "string" ? state : null,
    };
  }

  /**
   * The files beside the database may be ahead of it, after a crash or a restore. Rejects with `corrupt` when one is behind
   * what the database says was done: then it is gone, or an older one.
   */
  async expectBehind({ authority, version, revocations }: TrustRecords): Promise<void> {
    const [row = {}] = await this.#database.query("compare the database with the files beside it", {
      sql: `select (select count(*) from key) + (select count(*) from workload) + (select count(*) from event) as things,
              (select count(*) from workload where state = 'revoked' and paired > now() - interval '90 days') as revoked,
              (select max(epoch) from issued) as epoch,
              (select max(sequence) from issued where epoch = (select max(epoch) from issued)) as sequence`,
      parameters: [],
    });
    const things = number(row, "things");
    if (authority === null && things > 0)
      throw corrupt(trustFileNames.authority, this.#directory, "it is gone");
    if (revocations.length === 0 && number(row, "revoked") > 0)
      throw corrupt(trustFileNames.revocations, this.#directory, "it is gone");
    if (row.epoch !== null) {
      const issued = { epoch: number(row, "epoch"), sequence: number(row, "sequence") };
      const told = { epoch: version?.epoch ?? 1, sequence: version?.floor ?? 0 };
      if (compareVersions(told, issued) < 0)
        throw corrupt(
          trustFileNames.version,
          this.#directory,
          `it ends at ${formatVersion(told)}, and ${formatVersion(issued)} was issued`,
        );
    }
  }

  commit(changes: readonly StoreChange[]): Promise<void> {
    if (changes.length === 0) return Promise.resolve();
    this.#events += changes.filter(({ kind }) => kind === "event").length;
    return new Promise((resolve, reject) => {
      this.#waiting.push({ changes, resolve, reject });
      this.#writing ??= this.#write();
    });
  }

  async revisionText(revision: RevisionNumber): Promise<string | null> {
    const statement = { sql: "select text from revision where revision = $1", parameters: [revision] };
    const [row] = await this.#database.query("read a revision", statement);
    return typeof row?.text === "string" ? row.text : null;
  }

  async events({ limit, before }: EventQuery): Promise<EventPage> {
    const sql = "select * from event where id < $1 order by id desc limit $2";
    const [rows, counted] = await Promise.all([
      this.#database.query("read events", {
        sql,
        parameters: [before ?? Number.MAX_SAFE_INTEGER, Math.max(0, Math.min(limit, 100_000))],
      }),
      this.#database.query("read events", {
        sql: "select value from counter where name = 'events-pruned'",
        parameters: [],
      }),
    ]);
    const pruned = counted[0];
    return { events: rows.map(eventOfRow), pruned: pruned === undefined ? 0 : number(pruned, "value") };
  }

  /** A tar archive, compressed: the directory `database` and the files beside it, to be unpacked into a new data directory. */
  async backup(): Promise<AsyncIterable<Uint8Array>> {
    const gathered = await mkdtemp(join(this.#directory, "backup-"));
    try {
      await this.#database.copyTo(join(gathered, "database"));
    } catch (error) {
      await rm(gathered, { recursive: true, force: true });
      throw error;
    }
    return pack(this.#directory, gathered);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    while (this.#writing !== null) await this.#writing;
    await this.#database.close();
  }

  async #write(): Promise<void> {
    while (this.#waiting.length > 0) {
      const together = this.#take();
      if (this.#failure === null) await this.#store(together);
      else for (const { reject } of together) reject(this.#failure);
      if (this.#failure === null && this.#events >= pruneEvery) await this.#prune();
    }
    // In the same turn as the last look at what waits: a commit that comes now starts anew.
    this.#writing = null;
  }

  async #store(together: readonly Commit[]): Promise<void> {
    try {
      await this.#database.transaction(
        "store a change",
        statementsOf(together.flatMap(({ changes }) => changes)),
      );
      for (const { resolve } of together) resolve();
    } catch (error) {
      if (together.length > 1) await this.#storeEach(together);
      else this.#refuse(together, error);
    }
  }

  /** Those before the one that is refused are stored; those after it may rest on it. */
  async #storeEach(together: readonly Commit[]): Promise<void> {
    for (const [index, { changes, resolve }] of together.entries()) {
      try {
        await this.#database.transaction("store a change", statementsOf(changes));
        resolve();
      } catch (error) {
        this.#refuse(together.slice(index), error);
        return;
      }
    }
  }

  #refuse(commits: readonly Commit[], error: unknown): void {
    this.#failure = error;
    for (const { reject } of commits) reject(error);
  }

  #take(): readonly Commit[] {
    let [count, changes] = [0, 0];
    for (const commit of this.#waiting) {
      changes += commit.changes.length;
      if (count > 0 && changes > mostShared) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #prune(): Promise<void> {
    this.#events = 0;
    const { events, eventDays, revisions, revisionBytes, keyDays } = this.#bounds;
    const pruned = `with gone as (
        delete from event where id <= (select id from event order by id desc offset $1 limit 1)
          or time < now() - make_interval(days => $2) returning 1)
      update counter set value = value + (select count(*) from gone) where name = 'events-pruned'`;
    const old = `delete from revision where state in ('replaced', 'withdrawn') and revision in (
        select revision from (select revision, row_number() over newest as place,
            sum(octet_length(text)) over newest as bytes
          from revision window newest as (order by revision desc)) as kept
        where place > $1 or bytes > $2)`;
    const spent = "delete from key where expires < now() - make_interval(days => $1)";
    // What can't be pruned now is pruned the next time.
    await this.#database
      .transaction("prune what is old", [
        { sql: pruned, parameters: [events, eventDays] },
        { sql: old, parameters: [revisions, revisionBytes] },
        { sql: spent, parameters: [keyDays] },
      ])
      .catch(() => {});
  }
}

/** The archive as it is made; the copy goes with its end. */
async function* pack(directory: string, gathered: string): AsyncGenerator<Uint8Array> {
  const beside = Object.values(trustFileNames).filter((name) => existsSync(join(directory, name)));
  const argv = ["--create", "--gzip", "-C", gathered, "database", "-C", directory, ...beside];
  const child = spawn(tar, argv, { stdio: ["ignore", "pipe", "ignore"] });
  const ended = once(child, "close").catch((error: Error) => [error.message]);
  try {
    yield* child.stdout;
    const [status] = (await ended) as [unknown];
    if (status === 0) return;
    const message = `${tar} ended with ${status ?? "a signal"}`;
    throw new AntennaError({ code: "storage", operation: "make a backup", message });
  } finally {
    child.kill();
    await rm(gathered, { recursive: true, force: true });
  }
}
