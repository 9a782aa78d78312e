import { cpSync, existsSync } from "node:fs";
import { join } from "node:path";
import { type MessagePort, parentPort, workerData } from "node:worker_threads";
import { PGlite } from "@electric-sql/pglite";
import type { DatabaseAnswer, DatabaseRequest, DatabaseStart } from "./database-messages.js";
import { schemaSteps, schemaTable, schemaTables } from "./schema.js";
import { SyncedFileSystem } from "./synced-file-system.js";

// A thread of its own, because PGlite works in the loop of whoever calls it: some milliseconds for each statement.

/**
 * `-F` is PGlite's `fsync=off`. Its 128 MiB of shared buffers would be resident, and the kernel's page cache holds the
 * files anyway; a write-ahead log of up to 1 GiB would be read again after a kill.
 */
const startParams = [
  ...PGlite.defaultStartParams.filter((parameter) => parameter !== "-F"),
  ...["-c", "fsync=on", "-c", "wal_sync_method=fsync", "-c", "shared_buffers=8MB"],
  ...["-c", "max_wal_size=32MB", "-c", "min_wal_size=2MB"],
];

class NewerDatabase extends Error {}

const port = parentPort as MessagePort;
const { directory, isNew } = workerData as DatabaseStart;
const database = await open();
let turn: Promise<void> = Promise.resolve();

port.on("message", (request: DatabaseRequest) => {
  turn = turn.then(async () => port.postMessage(await answer(request)));
});

async function open(): Promise<PGlite> {
  try {
    // Where it is gone, PGlite makes a new database over the old one.
    if (!isNew && !existsSync(join(directory, "PG_VERSION"))) throw new Error("PG_VERSION is gone");
    const opened = await PGlite.create({
      fs: new SyncedFileSystem(directory),
      startParams,
      // Segments of the write-ahead log: the whole of one is there from the start.
      initDbStartParams: ["--wal-segsize=1"],
    });
    if (!isNew) await expectSchema(opened);
    await migrate(opened);
    await expectWhole(opened);
    port.postMessage({ ok: true, rows: [] } satisfies DatabaseAnswer);
    return opened;
  } catch (error) {
    port.postMessage(failure(error));
    throw error;
  }
}

async function expectSchema(opened: PGlite): Promise<void> {
  const { rows } = await opened.query("select 1 from pg_tables where tablename = 'schema_step'");
  if (rows.length === 0) throw new Error("its tables are gone");
}

async function migrate(opened: PGlite): Promise<void> {
  await opened.exec(schemaTable);
  const { rows } = await opened.query<{ done: number }>("select count(*)::integer as done from schema_step");
  const done = rows[0]?.done ?? 0;
  if (done > schemaSteps.length)
    throw new NewerDatabase(`it is at step ${done}, this version knows ${schemaSteps.length}`);
  for (const [index, sql] of schemaSteps.entries()) {
    if (index < done) continue;
    await opened.transaction(async (transaction) => {
      await transaction.exec(sql);
      await transaction.query("insert into schema_step (step) values ($1)", [index + 1]);
    });
  }
}

/** A table and its index are files of their own: where they differ in their rows, a part of one is gone. */
async function expectWhole(opened: PGlite): Promise<void> {
  const counted: number[][] = [];
  for (const way of ["seqscan", "indexonlyscan"]) {
    await opened.exec(
      `set enable_seqscan = off; set enable_indexscan = off; set enable_bitmapscan = off;
       set enable_indexonlyscan = off; set enable_${way} = on`,
    );
    const counts = schemaTables.map((table) => `(select count(*)::integer from ${table}) as ${table}`);
    const { rows } = await opened.query<Record<string, number>>(`select ${counts.join(", ")}`);
    counted.push(Object.values(rows[0] ?? {}));
  }
  await opened.exec("reset all");
  const [byTable = [], byIndex = []] = counted;
  const at = schemaTables.findIndex((_, index) => byTable[index] !== byIndex[index]);
  if (at >= 0)
    throw new Error(`${schemaTables[at]} holds ${byTable[at]} rows, and its index knows of ${byIndex[at]}`);
}

async function answer(request: DatabaseRequest): Promise<DatabaseAnswer> {
  try {
    switch (request.kind) {
      case "transaction":
        await database.transaction(async (transaction) => {
          for (const { sql, parameters } of request.statements) await transaction.query(sql, [...parameters]);
        });
        return { ok: true, rows: [] };
      case "query": {
        const { sql, parameters } = request.statement;
        const { rows } = await database.query<Record<string, unknown>>(sql, [...parameters]);
        return { ok: true, rows };
      }
      case "copy":
        // Nothing writes meanwhile: this thread is the only writer, and it is here.
        await database.exec("checkpoint");
        cpSync(directory, request.target, { recursive: true });
        return { ok: true, rows: [] };
      case "close":
        await database.close();
        return { ok: true, rows: [] };
    }
  } catch (error) {
    return failure(error);
  }
}

function failure(error: unknown): DatabaseAnswer {
  const message = error instanceof Error ? error.message : String(error);
  return { ok: false, message, isNewer: error instanceof NewerDatabase };
}
