import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { Applications } from "./applications.js";
import { inside, type Namespace } from "./namespace.js";

const run = promisify(execFile);
const antenna = join(import.meta.dirname, "..", "..", "..", "daemon", "bin", "antenna.js");

/** What the lab reads of `antenna status --json`. */
export interface Status {
  readonly mode: string | null;
  readonly state: string;
  readonly policyVersion: string | null;
  readonly policyDigest: string | null;
  readonly drift: { readonly repairs: number; readonly last: unknown };
  readonly budget: {
    readonly memoryMiB: { readonly used: number };
    readonly cpuPercent: { readonly used: number };
  };
  readonly problems: readonly { readonly code: string; readonly message: string }[];
}

/** A host of the lab: a namespace, its applications, and (unless it is an outsider) an Antenna daemon with a policy file. */
export class Workload implements AsyncDisposable {
  readonly name: string;
  readonly address: string;
  readonly ports: readonly number[];
  readonly namespace: Namespace;
  readonly applications: Applications;
  readonly #folder: string;
  #daemon: ChildProcess | null = null;

  constructor(name: string, address: string, ports: readonly number[], namespace: Namespace, folder: string) {
    this.name = name;
    this.address = address;
    this.ports = ports;
    this.namespace = namespace;
    this.applications = Applications.start(namespace);
    this.#folder = join(folder, name);
  }

  get stateDir(): string {
    return join(this.#folder, "state");
  }

  get policyFile(): string {
    return join(this.#folder, "policy.yaml");
  }

  /** Puts a new policy file in place of the old one, in one step. */
  async writePolicy(text: string): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    await writeFile(`${this.policyFile}.new`, text, { mode: 0o600 });
    await rename(`${this.policyFile}.new`, this.policyFile);
  }

  /** Starts `antenna run` on the policy file and waits until it is in force. */
  async startDaemon(flags: readonly string[] = []): Promise<void> {
    const args = [antenna, "run", "--policy", this.policyFile, "--state-dir", this.stateDir, ...flags];
    const [file, argv] = inside(this.namespace.path, process.execPath, args);
    const log = createWriteStream(join(this.#folder, "antennad.log"), { flags: "a", mode: 0o600 });
    await new Promise((resolve) => log.once("open", resolve));
    this.#daemon = spawn(file, argv, { stdio: ["ignore", log, log] });
    await this.settled();
  }

  /** Waits until the daemon says that the policy is in force; rejects after 20 s with what it says instead. */
  async settled(): Promise<Status> {
    return this.until("in-sync", (status) => status.state === "in-sync" || status.state === "idle");
  }

  /** Waits until the status satisfies; rejects after 20 s with the last one. */
  async until(what: string, satisfied: (status: Status) => boolean): Promise<Status> {
    const deadline = performance.now() + 20_000;
    let last = "no daemon answers";
    while (performance.now() < deadline) {
      if (this.#daemon !== null && this.#daemon.exitCode !== null) {
        throw new Error(
          `${this.name}: the daemon ended with ${this.#daemon.exitCode}; its log is ${this.#folder}/antennad.log`,
        );
      }
      const status = await this.status().catch(() => null);
      if (status !== null && satisfied(status)) return status;
      if (status !== null) last = JSON.stringify(status);
      await delay(50);
    }
    throw new Error(`${this.name}: waited 20 s for ${what}; last status: ${last}`);
  }

  async status(): Promise<Status> {
    return JSON.parse(await this.antenna(["status", "--json"])) as Status;
  }

  /** Runs an `antenna` command against this workload's daemon and gives its stdout. */
  async antenna(args: readonly string[]): Promise<string> {
    const { stdout } = await run(process.execPath, [antenna, ...args, "--state-dir", this.stateDir]);
    return stdout;
  }

  /** Stops the daemon; the kernel goes on enforcing. */
  async stopDaemon(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = null;
    if (daemon === null || daemon.exitCode !== null || daemon.signalCode !== null) return;
    const ended = new Promise((resolve) => daemon.once("exit", resolve));
    daemon.kill(signal);
    await ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopDaemon();
    await this.applications[Symbol.asyncDispose]();
  }
}
