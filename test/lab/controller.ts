import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { inside, type Namespace } from "./namespace.js";

const run = promisify(execFile);
const program = join(
  import.meta.dirname,
  "..",
  "..",
  "..",
  "controller-mock",
  "bin",
  "antenna-controller.js",
);
const readyMs = 30_000;

/** What the lab reads of `antenna-controller workloads --json`. */
export interface ListedWorkload {
  readonly id: string;
  readonly name: string;
  readonly online: boolean;
  readonly state: string | null;
  readonly policyVersion: string | null;
  readonly appliedVersion: string | null;
  readonly addresses: readonly { readonly address: string; readonly state: string }[];
  readonly labels: Readonly<Record<string, string>>;
  readonly problems: readonly { readonly code: string; readonly message: string }[];
}

export interface ListedRevision {
  readonly revision: number;
  readonly state: string;
}

/** What a command said, and how it ended. */
export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A controller in a namespace, and its commands. */
export class LabController implements AsyncDisposable {
  readonly address: string;
  readonly port = 8443;
  readonly dataDir: string;
  readonly namespace: Namespace;
  readonly #folder: string;
  #server: ChildProcess | null = null;

  constructor(address: string, namespace: Namespace, folder: string) {
    this.address = address;
    this.namespace = namespace;
    this.#folder = join(folder, "controller");
    this.dataDir = join(this.#folder, "data");
  }

  /** HOST:PORT */
  get endpoint(): string {
    return `${this.address}:${this.port}`;
  }

  get pid(): number {
    if (this.#server?.pid === undefined) throw new Error("no controller runs");
    return this.#server.pid;
  }

  /** Starts `serve` and resolves when its commands are answered, with the milliseconds that took. */
  async serve(environment: Readonly<Record<string, string>> = {}): Promise<number> {
    await mkdir(this.#folder, { recursive: true });
    const args = ["serve", "--listen", this.endpoint, "--data-dir", this.dataDir];
    const [file, argv] = inside(this.namespace.path, program, args);
    const log = createWriteStream(join(this.#folder, "controller.log"), { flags: "a", mode: 0o600 });
    await new Promise((resolve) => log.once("open", resolve));
    const began = performance.now();
    const server = spawn(file, argv, {
      stdio: ["ignore", log, log],
      env: { ...process.env, ...environment },
    });
    this.#server = server;
    while ((await this.command(["key", "list"])).code !== 0) {
      if (server.exitCode !== null)
        throw new Error(
          `the controller ended with ${server.exitCode}; its log is ${this.#folder}/controller.log`,
        );
      if (performance.now() - began > readyMs) throw new Error("the controller does not answer");
      await delay(50);
    }
    return performance.now() - began;
  }

  /** A pairing key in a file of its own; gives the file. */
  async key(name: string, labels: Readonly<Record<string, string>>, uses = 10): Promise<string> {
    const flags = Object.entries(labels).flatMap(([key, value]) => ["--label", `${key}=${value}`]);
    const key = await this.must(["key", "create", "--uses", String(uses), ...flags]);
    const file = join(this.#folder, `${name}.key`);
    await writeFile(file, key, { mode: 0o600 });
    return file;
  }

  /** Applies a label policy and waits for its waves. */
  async apply(policy: string): Promise<CommandResult> {
    const file = join(this.#folder, "policy.yaml");
    await writeFile(file, policy, { mode: 0o600 });
    return await this.command(["policy", "apply", file, "--wait"]);
  }

  async workloads(): Promise<readonly ListedWorkload[]> {
    const { workloads } = JSON.parse(await this.must(["workloads", "--json"])) as {
      readonly workloads: readonly ListedWorkload[];
    };
    return workloads;
  }

  /** Newest first. */
  async history(): Promise<readonly ListedRevision[]> {
    const { revisions } = JSON.parse(await this.must(["policy", "history", "--json"])) as {
      readonly revisions: readonly ListedRevision[];
    };
    return revisions;
  }

  /** Waits until the list of workloads satisfies. */
  async until(
    what: string,
    satisfied: (workloads: readonly ListedWorkload[]) => boolean,
    patienceMs = 30_000,
  ): Promise<readonly ListedWorkload[]> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const workloads = await this.workloads();
      if (satisfied(workloads)) return workloads;
      if (performance.now() > deadline)
        throw new Error(`waited ${patienceMs / 1_000} s for ${what}: ${JSON.stringify(workloads)}`);
      await delay(100);
    }
  }

  /** Runs an `antenna-controller` command against this controller. */
  async command(args: readonly string[]): Promise<CommandResult> {
    try {
      const { stdout, stderr } = await run(program, [...args, "--data-dir", this.dataDir], {
        maxBuffer: 64 * 1024 * 1024,
      });
      return { code: 0, stdout, stderr };
    } catch (reason) {
      const failed = reason as {
        readonly code?: unknown;
        readonly stdout?: string;
        readonly stderr?: string;
      };
      return {
        code: typeof failed.code === "number" ? failed.code : -1,
        stdout: failed.stdout ?? "",
        stderr: failed.stderr ?? "",
      };
    }
  }

  /** Its stdout; rejects when the command fails. */
  async must(args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.command(args);
    if (code !== 0) throw new Error(`antenna-controller ${args.join(" ")} ended with ${code}: ${stderr}`);
    return stdout;
  }

  async stop(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const server = this.#server;
    this.#server = null;
    if (server === null || server.exitCode !== null || server.signalCode !== null) return;
    const ended = new Promise((resolve) => server.once("exit", resolve));
    server.kill(signal);
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}
