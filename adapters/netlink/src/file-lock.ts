import { constants } from "node:fs";
import { type FileHandle, open, readFile, stat } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { addon } from "./addon.js";
import { EAGAIN } from "./errno.js";
import { describeHolder, holderText } from "./holder.js";
import { refusal } from "./kernel-socket.js";
import { type Holder, NetlinkError } from "./netlink-error.js";
import { Turn } from "./turn.js";

const LOCK_EX = 2;

export interface FileLockOptions {
  /** How long to try, in milliseconds; default 0: once. */
  readonly timeoutMs?: number;
  /** Pause between two tries, in milliseconds; default 20. */
  readonly pollMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * An exclusive flock(2) on a file, made (mode 0600) if it is not there: it excludes other processes, and others in this
 * one. The kernel releases it when the process ends. `/run/xtables.lock` is the lock of iptables-legacy.
 */
export class FileLock implements AsyncDisposable {
  readonly path: string;
  #handle: FileHandle | null;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.#handle = handle;
  }

  /**
   * Rejects with NetlinkError `refused`, errno EAGAIN and the holder while somebody else has it; with the file system's
   * own error when the file can't be opened.
   */
  static async acquire(path: string, options: FileLockOptions = {}): Promise<FileLock> {
    const { timeoutMs = 0, pollMs = 20 } = options;
    const library = addon();
    const turn = new Turn(options.signal);
    const began = performance.now();
    for (;;) {
      const handle = await open(path, constants.O_RDONLY | constants.O_CREAT, 0o600);
      try {
        const result = library.lock(handle.fd, LOCK_EX);
        if (result === 0 && (await isStill(path, handle))) return new FileLock(path, handle);
        if (result < 0 && result !== -EAGAIN) throw refusal(`flock ${path}`, -result);
        const waited = performance.now() - began;
        if (result < 0 && waited >= timeoutMs) throw await held(path, handle, waited);
      } catch (error) {
        await handle.close();
        throw error;
      }
      await handle.close();
      await setTimeout(pollMs);
      turn.check();
    }
  }

  /** Idempotent. */
  async release(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }
}

/** Who holds the lock of a file, as /proc/locks tells; null: nobody, or nobody visible from here. */
export async function lockHolder(path: string): Promise<Holder | null> {
  const { ino, dev } = await stat(path, { bigint: true });
  const [major, minor] = [(dev >> 8n) & 0xfffn, (dev & 0xffn) | ((dev >> 12n) & 0xfff00n)];
  const hex = (value: bigint): string => value.toString(16).padStart(2, "0");
  const file = `${hex(major)}:${hex(minor)}:${ino}`;
  const found = (await readFile("/proc/locks", "latin1"))
    .split("\n")
    .map((line) => /^\d+:\s+FLOCK\s+\S+\s+WRITE\s+(-?\d+)\s+(\S+)/.exec(line))
    .filter((match) => match !== null);
  // On some file systems (btrfs, overlayfs) stat(2) and /proc/locks name different devices: then the inode has to do.
  const exact =
    found.find((match) => match[2] === file) ?? found.find((match) => match[2]?.endsWith(`:${ino}`));
  const pid = Number(exact?.[1] ?? 0);
  return pid > 0 ? await describeHolder(pid, null) : null;
}

/** A file that was deleted or replaced since it was opened protects nothing. */
async function isStill(path: string, handle: FileHandle): Promise<boolean> {
  const own = await handle.stat({ bigint: true });
  const there = await stat(path, { bigint: true }).catch(() => null);
  return there !== null && there.ino === own.ino && there.dev === own.dev;
}

async function held(path: string, handle: FileHandle, waitedMs: number): Promise<NetlinkError> {
  const holder = await lockHolder(`/proc/self/fd/${handle.fd}`).catch(() => null);
  return new NetlinkError({
    code: "refused",
    operation: `flock ${path}`,
    errno: EAGAIN,
    message: `held by ${holderText(holder)}; waited ${Math.round(waitedMs)} ms`,
    ...(holder === null ? {} : { holder }),
  });
}
