import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { inside, type Namespace } from "../lab/namespace.js";

/** The command, as users get it. */
const antenna = fileURLToPath(new URL("../../../daemon/bin/antenna.js", import.meta.url));

/** The command finds node by PATH: the one that runs the tests comes first. */
const withThisNode = { ...process.env, PATH: `${dirname(process.execPath)}:${process.env.PATH ?? ""}` };

export interface Finished {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `antenna …` in a namespace to its end; `wrapper` starts it, like setpriv(1). */
export function runAntenna(
  namespace: Namespace,
  args: readonly string[],
  options: { readonly input?: string; readonly wrapper?: readonly string[] } = {},
): Promise<Finished> {
  const [program = antenna, ...more] = [...(options.wrapper ?? []), antenna];
  const [file, argv] = inside(namespace.path, program, [...more, ...args]);
  return new Promise((resolve) => {
    const child = execFile(
      file,
      argv,
      { maxBuffer: 256 * 1024 * 1024, env: withThisNode },
      (reason, stdout, stderr) => {
        const code = reason === null ? 0 : typeof reason.code === "number" ? reason.code : -1;
        resolve({ code, stdout, stderr });
      },
    );
    child.stdin?.end(options.input ?? "");
  });
}

/** A directory for one test's policy and state; gone when disposed. */
export async function scratch(): Promise<
  AsyncDisposable & { readonly path: string; write(name: string, text: string): Promise<string> }
> {
  const path = await mkdtemp(join(tmpdir(), "antenna-daemon-"));
  return {
    path,
    write: async (name, text) => {
      await writeFile(join(path, name), text);
      return join(path, name);
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  };
}

export interface DaemonProcessOptions {
  readonly namespace: Namespace;
  /** Arguments after `run`. */
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** A program and its arguments that start node, like setpriv(1). */
  readonly wrapper?: readonly string[];
}

/** A real daemon; killed when disposed. */
export class DaemonProcess implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exited: Promise<number>;
  log = "";

  constructor(options: DaemonProcessOptions) {
    const program = [...(options.wrapper ?? []), antenna, "run", ...options.args];
    const [file, argv] = inside(options.namespace.path, program[0] ?? "", program.slice(1));
    const environment = { ...withThisNode, ...options.environment };
    this.#child = spawn(file, argv, { stdio: ["ignore", "ignore", "pipe"], env: environment });
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.log += text;
    });
    // Not `exit`: what was logged is then still on its way.
    this.#exited = once(this.#child, "close").then(([code, signal]) => (signal === null ? Number(code) : -1));
  }

  /** nsenter(1) and setpriv(1) become the daemon: exec keeps the number. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Resolves when the log says so. */
  async logged(words: string | RegExp, timeoutMs = 15_000): Promise<void> {
    const said = (): boolean => (typeof words === "string" ? this.log.includes(words) : words.test(this.log));
    const end = performance.now() + timeoutMs;
    while (!said()) {
      if (performance.now() > end || this.#child.exitCode !== null) {
        throw new Error(`the daemon never said ${String(words)}; it said:\n${this.log}`);
      }
      await sleep(20);
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Its exit code; -1 when a signal ended it. */
  exited(): Promise<number> {
    return this.#exited;
  }

  async stop(): Promise<number> {
    this.signal("SIGTERM");
    return await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.signal("SIGKILL");
    await this.#exited;
  }
}
