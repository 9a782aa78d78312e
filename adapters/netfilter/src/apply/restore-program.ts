import { mkdir, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { FileLock } from "@antenna/netlink";
import type { Family } from "@antenna/sdk";
import { iptablesProgram } from "../backend/iptables-programs.js";
import type { NetworkNamespace } from "../backend/network-namespace.js";
import type { Backend } from "../backend/rule-table.js";
import type { CommandResult, CommandRunner } from "./command-runner.js";

/** The lock that every iptables-legacy takes (iptables/xshared.h, XT_LOCK_NAME). */
const xtablesLock = "/run/xtables.lock";
const lockTimeoutMs = 5_000;

/** iptables-restore and iptables-save of both backends, in one network namespace. */
export class RestorePrograms {
  readonly #runner: CommandRunner;
  readonly #namespace: NetworkNamespace;
  readonly #ownLock: string;

  /** @param ownLock a file of ours that children lock instead of the lock that we hold ourselves meanwhile. */
  constructor(runner: CommandRunner, namespace: NetworkNamespace, ownLock: string) {
    this.#runner = runner;
    this.#namespace = namespace;
    this.#ownLock = ownLock;
  }

  /** The lock of iptables-legacy. Rejects with the holder's name when others keep it for 5 s. */
  async lock(): Promise<FileLock> {
    return await FileLock.acquire(xtablesLock, { timeoutMs: lockTimeoutMs });
  }

  /** Takes the lock file of ours away. */
  async tidy(): Promise<void> {
    await rm(this.#ownLock, { force: true });
  }

  /** One transaction: all of the text, or nothing. For legacy the caller holds `lock()`. */
  async restore(backend: Backend, family: Family, text: string): Promise<CommandResult> {
    if (backend === "legacy") await mkdir(dirname(this.#ownLock), { recursive: true, mode: 0o700 });
    const program = iptablesProgram(this.#runner, backend, family, "restore");
    const [file, ...args] = this.#namespace.argv(program, ["--noflush", "--wait", "5"]);
    return await this.#runner.run({
      file,
      args,
      input: text,
      // Since iptables 1.8.8: without it the child would wait for the lock that its parent holds.
      environment: { XTABLES_LOCKFILE: this.#ownLock },
    });
  }

  /**
   * A table as text, null: all that there are. For legacy: only a table that is registered, the program would register
   * it.
   */
  async save(backend: Backend, family: Family, table: string | null): Promise<CommandResult> {
    const program = iptablesProgram(this.#runner, backend, family, "save");
    const [file, ...args] = this.#namespace.argv(program, table === null ? [] : ["-t", table]);
    return await this.#runner.run({ file, args, environment: { XTABLES_LOCKFILE: this.#ownLock } });
  }
}
