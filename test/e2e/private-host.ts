import { type ChildProcess, execFile, spawn } from "node:child_process";
import { readlink } from "node:fs/promises";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { inside, type Namespace, nsenter } from "../lab/namespace.js";

const run = promisify(execFile);
const mostOutput = 64 * 1024 * 1024;

/** A network namespace with a /run of its own, as a host has one: what others on this machine leave there is not seen. */
export class PrivateHost implements AsyncDisposable {
  readonly #holder: ChildProcess;
  readonly #namespace: Namespace;

  private constructor(holder: ChildProcess, namespace: Namespace) {
    this.#holder = holder;
    this.#namespace = namespace;
  }

  static async open(namespace: Namespace): Promise<PrivateHost> {
    const unshare = ["--mount", "--propagation", "private", "/usr/bin/sleep", "infinity"];
    const [file, args] = inside(namespace.path, "/usr/bin/unshare", unshare);
    const host = new PrivateHost(spawn(file, args, { stdio: "ignore" }), namespace);
    const outside = await readlink("/proc/self/ns/mnt");
    const end = performance.now() + 5_000;
    while ((await readlink(host.#mounts).catch(() => outside)) === outside) {
      if (performance.now() > end) throw new Error("no mount namespace was made within 5 s");
      await delay(5);
    }
    await host.exec("/usr/bin/mount", ["-t", "tmpfs", "tmpfs", "/run"]);
    return host;
  }

  get #mounts(): string {
    return `/proc/${this.#holder.pid}/ns/mnt`;
  }

  /** The argv that runs a program inside. */
  argv(file: string, args: readonly string[]): readonly [string, readonly string[]] {
    return [nsenter, [`--net=${this.#namespace.path}`, `--mount=${this.#mounts}`, "--", file, ...args]];
  }

  /** Runs a program inside and gives its output; rejects when it fails. */
  async exec(file: string, args: readonly string[], input?: string): Promise<string> {
    const [program, argv] = this.argv(file, args);
    const child = run(program, [...argv], { maxBuffer: mostOutput });
    if (input !== undefined) child.child.stdin?.end(input);
    return (await child).stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#holder.once("exit", resolve));
    this.#holder.kill("SIGKILL");
    await ended;
  }
}
