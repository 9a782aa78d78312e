import { join } from "node:path";
import { FileLock, NamespaceClaim, NetlinkError } from "@antenna/netlink";
import { AntennaError } from "@antenna/sdk";
import { prepareStateDir } from "./state-dir.js";

/** What only one daemon may have at a time; given back by disposing, and by the kernel when the process ends. */
export class Exclusive implements AsyncDisposable {
  readonly #lock: FileLock;
  readonly #claim: NamespaceClaim;

  private constructor(lock: FileLock, claim: NamespaceClaim) {
    this.#lock = lock;
    this.#claim = claim;
  }

  /**
   * Makes the state directory and takes it and the network namespace. Rejects with `busy`, naming the holder's pid,
   * when another daemon has one of them; with `not-permitted` or `storage` when the directory can't be made or trusted.
   */
  static async take(stateDir: string, namespace: string | null): Promise<Exclusive> {
    await makeStateDir(stateDir);
    const lock = await lockStateDir(stateDir);
    try {
      const advice = "two agents in one namespace would undo each other's rules";
      return new Exclusive(lock, await claimNamespace(namespace, "enforce", advice));
    } catch (reason) {
      await lock.release();
      throw reason;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#claim.close();
    await this.#lock.release();
  }
}

/** Makes the state directory, or takes one that can be trusted; rejects with `storage` or `not-permitted`. */
export async function makeStateDir(stateDir: string): Promise<void> {
  await prepareStateDir(stateDir).catch((reason: unknown) => {
    throw explain(reason, `make ${stateDir}`, "name another one with --state-dir");
  });
}

/** The network namespace for oneself; whoever holds it is its daemon. Closing gives it back. */
export async function claimNamespace(
  namespace: string | null,
  what: string,
  advice: string,
): Promise<NamespaceClaim> {
  try {
    return await NamespaceClaim.take({ name: "antenna", namespace });
  } catch (reason) {
    throw explain(reason, `${what} in ${namespace ?? "this network namespace"}`, advice);
  }
}

/** The lock of a state directory that exists: whoever holds it is its daemon. */
export async function lockStateDir(stateDir: string): Promise<FileLock> {
  try {
    return await FileLock.acquire(join(stateDir, "lock"));
  } catch (reason) {
    throw explain(
      reason,
      `use ${stateDir}`,
      "give each daemon a --state-dir of its own, or stop the other one",
    );
  }
}

function explain(reason: unknown, operation: string, advice: string): AntennaError {
  if (reason instanceof AntennaError) return reason;
  const detail = reason instanceof Error ? reason.message : String(reason);
  const base = { operation, detail, cause: reason };
  if (reason instanceof NetlinkError && reason.holder !== null && reason.holder.pid > 0) {
    const { pid, command } = reason.holder;
    const name = command === null ? "" : ` (${command})`;
    return new AntennaError({ ...base, code: "busy", message: `held by process ${pid}${name}; ${advice}` });
  }
  if (reason instanceof NetlinkError && isContention(reason.errno)) {
    return new AntennaError({
      ...base,
      code: "busy",
      message: `held by a process that is not visible from here; ${advice}`,
    });
  }
  const code = reason instanceof Error && "code" in reason ? reason.code : undefined;
  const permitted =
    code !== "EACCES" && code !== "EPERM" && !(reason instanceof NetlinkError && reason.errno === 1);
  return new AntennaError({
    ...base,
    code: permitted ? "storage" : "not-permitted",
    message: `${detail}; ${advice}`,
  });
}

/** EAGAIN of flock(2), EADDRINUSE of bind(2): asm-generic/errno. */
function isContention(errno: number): boolean {
  return errno === 11 || errno === 98;
}
