import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { AntennaError } from "@antenna/sdk";
import { Database } from "./database.js";
import { DirectoryLock } from "./directory-lock.js";
import { syncDirectory, syncTree } from "./durable-file.js";
import { FleetStore } from "./fleet-store.js";
import { TrustDirectory } from "./trust-directory.js";

/** An empty database, made when the package is built: making one takes seconds, unpacking one does not. */
export const emptyDatabase: string = fileURLToPath(
  new URL("../../dist/empty-database.tar.gz", import.meta.url),
);
const tar = "/usr/bin/tar";

/** Everything a controller keeps: `database/`, the trust files, the lock, the control socket. */
export class DataDirectory implements AsyncDisposable {
  readonly path: string;
  readonly store: FleetStore;
  readonly trust: TrustDirectory;
  readonly #lock: DirectoryLock;

  private constructor(path: string, store: FleetStore, lock: DirectoryLock) {
    this.path = path;
    this.store = store;
    this.trust = new TrustDirectory(path);
    this.#lock = lock;
  }

  /**
   * Makes the directory (0700) if there is none, locks it, opens what is in it. Rejects with AntennaError: `storage` (others may look into
   * it, the disk is full), `busy` (somebody serves it), `corrupt` (with the words what to restore).
   */
  static async open(path: string): Promise<DataDirectory> {
    process.umask(0o077);
    await prepare(path);
    const lock = await DirectoryLock.take(path);
    try {
      await removeLeftovers(path);
      await makeDatabase(path);
      const database = await Database.open(join(path, "database"));
      const store = new FleetStore(database, path);
      const directory = new DataDirectory(path, store, lock);
      try {
        await store.expectBehind(await directory.trust.read());
        return directory;
      } catch (error) {
        await store[Symbol.asyncDispose]();
        throw error;
      }
    } catch (error) {
      await lock[Symbol.asyncDispose]();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.store[Symbol.asyncDispose]();
    await this.#lock[Symbol.asyncDispose]();
  }
}

async function prepare(path: string): Promise<void> {
  const operation = `open the data directory ${path}`;
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    throw new AntennaError({ code: "storage", operation, message: detail, detail, cause: error });
  }
  const { mode, uid } = await stat(path);
  const own = process.geteuid?.();
  if (own !== undefined && uid !== own) {
    const message = `it belongs to uid ${uid}, not to uid ${own}: it holds the keys of the fleet`;
    throw new AntennaError({ code: "storage", operation, message });
  }
  if ((mode & 0o077) !== 0) {
    const message = `its mode is ${(mode & 0o7777).toString(8).padStart(4, "0")}, so others can look into it; chmod 0700 ${path}`;
    throw new AntennaError({ code: "storage", operation, message });
  }
}

/** What a crash left of a first start or a backup. */
async function removeLeftovers(path: string): Promise<void> {
  const names = await readdir(path);
  const leftovers = names.filter((name) => name === "database.new" || /^backup-[A-Za-z0-9]{6}$/.test(name));
  for (const name of leftovers) await rm(join(path, name), { recursive: true, force: true });
}

/** Under another name first: a database is there whole or not at all. */
async function makeDatabase(path: string): Promise<void> {
  const database = join(path, "database");
  if (existsSync(database)) return;
  if (existsSync(join(path, "authority.json"))) {
    const message =
      "its database is gone, and the fleet's certificates are there; restore the directory `database` from the newest backup, and leave the files beside it. Agents go on enforcing what they have";
    throw new AntennaError({ code: "corrupt", operation: `open the data directory ${path}`, message });
  }
  const target = `${database}.new`;
  await mkdir(target, { mode: 0o700 });
  // Without the archive (compiled by hand) the database is made here, which takes seconds.
  if (existsSync(emptyDatabase)) await unpack(target);
  else await (await Database.open(target, true)).close();
  await rename(target, database);
  await syncDirectory(path);
}

async function unpack(target: string): Promise<void> {
  await run(tar, ["--extract", "--gzip", "--no-same-owner", "-f", emptyDatabase, "-C", target]);
  // What is acknowledged later rests on these files.
  await syncTree(target);
}

/** Rejects with `storage`, and what the program said. */
async function run(program: string, argv: readonly string[]): Promise<void> {
  const child = spawn(program, argv, { stdio: ["ignore", "ignore", "pipe"] });
  let said = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    said = `${said}${text}`.slice(0, 2_000);
  });
  const [status] = (await once(child, "close").catch((error: Error) => [error.message])) as [unknown];
  if (status === 0) return;
  const detail = said.trim() || `${program} ended with ${status ?? "a signal"}`;
  throw new AntennaError({
    code: "storage",
    operation: "make the database",
    message: `the empty database can't be unpacked: ${detail.split("\n")[0]}`,
    detail,
  });
}
