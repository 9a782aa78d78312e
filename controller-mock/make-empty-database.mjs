// Makes dist/empty-database.tar.gz, with which a first start takes as little time as any other: making a database takes
// seconds. Run by the build, after TypeScript was compiled; does nothing when it is newer than what it is made of.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, renameSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Database } from "./dist/store/database.js";

const dist = join(import.meta.dirname, "dist");
const target = join(dist, "empty-database.tar.gz");
const sources = ["schema.js", "database-worker.js"].map((name) => join(dist, "store", name));
const changed = Math.max(...sources.map((file) => statSync(file).mtimeMs));
if (!existsSync(target) || statSync(target).mtimeMs < changed) {
  process.umask(0o077);
  const directory = mkdtempSync(join(tmpdir(), "antenna-empty-database-"));
  try {
    const database = await Database.open(directory, true);
    await database.close();
    const argv = [
      "--create",
      "--gzip",
      "--owner=0",
      "--group=0",
      "-f",
      `${target}.new`,
      "-C",
      directory,
      ".",
    ];
    const made = spawnSync("/usr/bin/tar", argv, { stdio: "inherit" });
    if (made.status !== 0) throw new Error(`tar ended with ${made.status ?? made.signal}`);
    renameSync(`${target}.new`, target);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}
