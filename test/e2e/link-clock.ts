import { existsSync } from "node:fs";
import { readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** Of Debian's package `faketime` (its library for programs with threads). */
const library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
  .map((machine) => `/usr/lib/${machine}/faketime/libfaketimeMT.so.1`)
  .find(existsSync);
const rereadSeconds = 1;
const sharedMemory = "/dev/shm";

/** A wall clock that a test sets while real processes run on it. Their monotonic clocks stay true, as on real hosts. */
export class ShiftedClock {
  readonly #file: string;

  private constructor(file: string) {
    this.#file = file;
  }

  /** `file` is what the processes read; it is made. */
  static async at(file: string): Promise<ShiftedClock> {
    const clock = new ShiftedClock(file);
    await clock.#write("+0");
    return clock;
  }

  /**
   * What the library leaves in /dev/shm of a process that was killed. To be called when every process on this clock has ended;
   * what belongs to a process that lives, of whomever, stays.
   */
  static async sweep(): Promise<void> {
    for (const name of await readdir(sharedMemory)) {
      const pid = /^(?:sem\.)?faketime_(?:sem|shm)_(\d+)$/.exec(name)?.[1];
      if (pid !== undefined && !existsSync(`/proc/${pid}`))
        await rm(join(sharedMemory, name), { force: true });
    }
  }

  /** For processes that are started on this clock. */
  get environment(): Readonly<Record<string, string>> {
    if (library === undefined) throw new Error("libfaketime is missing; install Debian's package faketime");
    return {
      LD_PRELOAD: library,
      FAKETIME_TIMESTAMP_FILE: this.#file,
      FAKETIME_CACHE_DURATION: String(rereadSeconds),
      FAKETIME_DONT_FAKE_MONOTONIC: "1",
      TZ: "UTC",
    };
  }

  /** libfaketime's words: `+30h`, `@1970-01-01 00:00:10`. Resolves when every process has seen it. */
  async set(words: string): Promise<void> {
    await this.#write(words);
    await delay(rereadSeconds * 1_000 + 300);
  }

  async #write(words: string): Promise<void> {
    await writeFile(`${this.#file}.new`, `${words}\n`);
    await rename(`${this.#file}.new`, this.#file);
  }
}
