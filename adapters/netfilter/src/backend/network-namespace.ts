import { accessSync, closeSync, constants, openSync, readSync } from "node:fs";
import { AntennaError } from "@antenna/sdk";
import type { CommandRunner } from "../apply/command-runner.js";

const nsenter = ["/usr/bin/nsenter", "/bin/nsenter"];
const cat = ["/usr/bin/cat", "/bin/cat"];
/** Opened together: one process does for all. */
const procNetFiles = ["ip_tables_names", "ip6_tables_names"];
const retryMs = 30_000;

/**
 * The network namespace of an enforcement point. Another one than the caller's is pinned by an open descriptor: what is
 * later read or run happens in it even when its path is gone or leads elsewhere.
 */
export class NetworkNamespace implements Disposable {
  readonly #runner: CommandRunner;
  readonly #files = new Map<string, number>();
  #descriptor: number | null;
  #openedAt = Number.NEGATIVE_INFINITY;

  private constructor(descriptor: number | null, runner: CommandRunner) {
    this.#descriptor = descriptor;
    this.#runner = runner;
  }

  /** @throws AntennaError `not-permitted` or `unsupported` when the namespace can't be opened. */
  static open(path: string | null, runner: CommandRunner): NetworkNamespace {
    if (path === null) return new NetworkNamespace(null, runner);
    try {
      return new NetworkNamespace(openSync(path, "r"), runner);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      throw new AntennaError({
        code: code === "EACCES" || code === "EPERM" ? "not-permitted" : "unsupported",
        operation: `open network namespace ${path}`,
        message: `${code === "ENOENT" ? "there is no such namespace" : String(cause)}; give a path like /run/netns/NAME or /proc/PID/ns/net`,
        cause,
      });
    }
  }

  /** For opening sockets inside; null: the caller's own. */
  get path(): string | null {
    return this.#descriptor === null ? null : `/proc/self/fd/${this.#descriptor}`;
  }

  /** The argv that runs a program inside; a child sees our descriptors under our pid. */
  argv(file: string, args: readonly string[]): readonly [string, ...string[]] {
    if (this.#descriptor === null) return [file, ...args];
    const inside = `--net=/proc/${process.pid}/fd/${this.#descriptor}`;
    return [this.#runner.resolve(nsenter), inside, "--", file, ...args];
  }

  /** A file of /proc/net as the namespace shows it; null: there is none, or it is for uid 0 alone and we are not. */
  async readProcNet(name: string): Promise<string | null> {
    if (!this.#files.has(name)) {
      if (this.#descriptor === null) this.#openOwn(name);
      else await this.#openFiles([name]);
    }
    const file = this.#files.get(name);
    if (file === undefined) return null;
    try {
      return readFromStart(file);
    } catch (error) {
      // Its module was unloaded, and perhaps loaded again.
      this.#files.delete(name);
      closeSync(file);
      if (error instanceof Error && "code" in error && error.code === "EIO") return null;
      throw error;
    }
  }

  /** Opened once: opening costs several times what reading does. */
  #openOwn(name: string): void {
    try {
      this.#files.set(name, openSync(`/proc/self/net/${name}`, "r"));
    } catch (error) {
      if (!isHidden(error)) throw error;
    }
  }

  /** True when a file of /proc/net is there and this process may not read it. It is in every namespace or in none. */
  hidesProcNet(name: string): boolean {
    try {
      accessSync(`/proc/self/net/${name}`, constants.R_OK);
      return false;
    } catch (error) {
      return error instanceof Error && "code" in error && error.code === "EACCES";
    }
  }

  /**
   * Opens files of /proc/net inside, and keeps them open: they stay those of the namespace, and each reading from the
   * start is a new one. Costs a process: /proc shows the network of processes only. What is not there is looked for
   * again after a while.
   */
  async #openFiles(names: readonly string[]): Promise<void> {
    const now = performance.now();
    if (now - this.#openedAt < retryMs) return;
    this.#openedAt = now;
    const [file, ...args] = this.argv(this.#runner.resolve(cat), []);
    await this.#runner.inspect({ file, args }, (pid) => {
      for (const name of [...procNetFiles, ...names]) {
        if (this.#files.has(name)) continue;
        try {
          this.#files.set(name, openSync(`/proc/${pid}/net/${name}`, "r"));
        } catch (error) {
          if (!isHidden(error)) throw error;
        }
      }
    });
  }

  close(): void {
    for (const file of this.#files.values()) closeSync(file);
    this.#files.clear();
    if (this.#descriptor !== null) closeSync(this.#descriptor);
    this.#descriptor = null;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function isHidden(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "EACCES");
}

/** For one reading after the other: they are read every second. */
const bytes = Buffer.allocUnsafeSlow(4096);

function readFromStart(file: number): string {
  return bytes.toString("latin1", 0, readSync(file, bytes, 0, bytes.length, 0));
}
