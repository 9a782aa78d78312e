import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { AntennaError } from "@antenna/sdk";

const flock = "/usr/bin/flock";
const [locked, held] = [0, 1];

/**
 * Holds a directory for one process: flock(2) on a file in it, by flock(1) over an inherited descriptor, since Node has
 * no flock. The lock is the open file's, so it outlives flock(1) and is free at once when this process ends, however.
 */
export class DirectoryLock implements AsyncDisposable {
  readonly #file: FileHandle;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  /** Rejects with `busy`, naming the holder, when another process has it. */
  static async take(directory: string): Promise<DirectoryLock> {
    const path = join(directory, "lock");
    const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
    const file = await open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
    try {
      const status = await run(file.fd);
      if (status === held) {
        const pid = (await file.readFile("utf8")).trim();
        const who = /^\d+$/.test(pid) ? `process ${pid}` : "another process";
        throw refused(directory, `${who} serves this data directory; stop it first, or choose another one`);
      }
      if (status !== locked) {
        const message = `${flock} ended with ${status}: this file system may know no locks`;
        throw new AntennaError({ code: "storage", operation: `lock ${directory}`, message });
      }
      await file.truncate(0);
      await file.write(`${process.pid}\n`, 0);
      return new DirectoryLock(file);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

async function run(descriptor: number): Promise<number> {
  const child = spawn(flock, ["--exclusive", "--nonblock", "3"], {
    stdio: ["ignore", "ignore", "ignore", descriptor],
  });
  try {
    const [status] = (await once(child, "close")) as [number | null];
    return status ?? -1;
  } catch (error) {
    const detail = error instanceof Error ? error.message : String(error);
    const message = `${flock} can't be started (${detail}); it is of the Debian package util-linux`;
    throw new AntennaError({
      code: "unsupported",
      operation: "lock the data directory",
      message,
      detail,
      cause: error,
    });
  }
}

function refused(directory: string, message: string): AntennaError {
  return new AntennaError({ code: "busy", operation: `lock ${directory}`, message });
}
