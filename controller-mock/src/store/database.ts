import { statfs } from "node:fs/promises";
import { Worker } from "node:worker_threads";
import { AntennaError } from "@antenna/sdk";
import type { DatabaseAnswer, DatabaseRequest, DatabaseStart, Row, Statement } from "./database-messages.js";

/** Starting takes about a second on a slow machine; a database that does not open by then never does. */
const openMs = 60_000;
const closeMs = 10_000;
/** Less than this free: opening failed for want of room. */
const leastFreeBytes = 4 * 1024 * 1024;

interface Waiting {
  readonly operation: string;
  readonly resolve: (rows: readonly Row[]) => void;
  readonly reject: (error: AntennaError) => void;
}

/** PGlite in a thread of its own. Everything is executed in the order of the calls. */
export class Database implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #waiting: Waiting[] = [];
  #failure: AntennaError | null = null;
  #closing: Promise<void> | null = null;

  private constructor(worker: Worker) {
    this.#worker = worker;
    worker.on("message", (answer: DatabaseAnswer) => this.#answered(answer));
    worker.on("error", (error) => this.#fail(error.message));
    worker.on("exit", () => this.#fail("its thread has ended"));
  }

  /**
   * Rejects with `corrupt` when the files in `directory` are no database that can be opened, with `unsupported` when a newer
   * version wrote them, with `storage` when the disk is full. `isNew`: makes one in an empty directory.
   */
  static async open(directory: string, isNew = false): Promise<Database> {
    const workerData: DatabaseStart = { directory, isNew };
    const worker = new Worker(new URL("./database-worker.js", import.meta.url), { workerData, execArgv: [] });
    const database = new Database(worker);
    const timer = setTimeout(() => database.#fail(`it did not open within ${openMs / 1_000} s`), openMs);
    try {
      await database.#expect(`open the database in ${directory}`);
      return database;
    } catch (error) {
      await worker.terminate();
      throw await openError(directory, AntennaError.from(error, "open the database"));
    } finally {
      clearTimeout(timer);
    }
  }

  /** All statements or none. */
  async transaction(operation: string, statements: readonly Statement[]): Promise<void> {
    await this.#ask(operation, { kind: "transaction", statements });
  }

  query(operation: string, statement: Statement): Promise<readonly Row[]> {
    return this.#ask(operation, { kind: "query", statement });
  }

  /** Copies the files, consistent, to a directory that does not exist yet. */
  async copyTo(target: string): Promise<void> {
    await this.#ask("copy the database", { kind: "copy", target });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    const timer = setTimeout(() => this.#fail(`it did not close within ${closeMs / 1_000} s`), closeMs);
    // One that broke can't be closed; nothing that was acknowledged is lost by ending it.
    await this.#ask("close the database", { kind: "close" }).catch(() => []);
    clearTimeout(timer);
    await this.#worker.terminate();
  }

  #ask(operation: string, request: DatabaseRequest): Promise<readonly Row[]> {
    if (this.#failure !== null) return Promise.reject(this.#failure);
    this.#worker.postMessage(request);
    return this.#expect(operation);
  }

  #expect(operation: string): Promise<readonly Row[]> {
    return new Promise((resolve, reject) => this.#waiting.push({ operation, resolve, reject }));
  }

  #answered(answer: DatabaseAnswer): void {
    const first = this.#waiting.shift();
    if (answer.ok) first?.resolve(answer.rows);
    else first?.reject(answerError(first.operation, answer));
  }

  #fail(message: string): void {
    this.#failure ??= storageError("use the database", message);
    for (const { operation, reject } of this.#waiting.splice(0)) reject(storageError(operation, message));
  }
}

function answerError(
  operation: string,
  { message, isNewer }: Extract<DatabaseAnswer, { ok: false }>,
): AntennaError {
  if (!isNewer) return storageError(operation, message);
  const words = `a newer version of antenna-controller wrote it (${message}); start that one`;
  return new AntennaError({ code: "unsupported", operation, message: words });
}

function storageError(operation: string, detail: string): AntennaError {
  const message = `the database refused: ${detail}`;
  return new AntennaError({ code: "storage", operation, message, detail });
}

async function openError(directory: string, reason: AntennaError): Promise<AntennaError> {
  const operation = `open the database in ${directory}`;
  const detail = reason.detail ?? reason.message;
  if (reason.code === "unsupported") return reason;
  const { bavail, bsize } = await statfs(directory).catch(() => ({
    bavail: Number.MAX_SAFE_INTEGER,
    bsize: 1,
  }));
  if (bavail * bsize < leastFreeBytes) {
    const message = "the disk is full; make room and start again. Agents go on enforcing what they have";
    return new AntennaError({ code: "storage", operation, message, detail, cause: reason });
  }
  const message =
    "it can't be opened; restore the directory `database` from the newest backup (antenna-controller backup F makes them) and leave the files beside it, which hold certificates, versions and revocations. Agents go on enforcing what they have";
  return new AntennaError({ code: "corrupt", operation, message, detail, cause: reason });
}
