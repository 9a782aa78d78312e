import { type ChildProcess, execFile, spawn } from "node:child_process";
import { createWriteStream } from "node:fs";
import { mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { Applications } from "./applications.js";
import { inside, ip, type Namespace } from "./namespace.js";

const run = promisify(execFile);
const antenna = join(import.meta.dirname, "..", "..", "..", "daemon", "bin", "antenna.js");

const unshare = "/usr/bin/unshare";
const sh = "/bin/sh";
/** `unshare` and then the name: `hostname(1)` asks for the name of the namespace it runs in. */
const hostname = 'hostname "$1" && shift && exec "$@"';
/** The same with a resolv.conf of its own. */
const resolving = 'hostname "$1" && mount --bind "$2" /etc/resolv.conf && shift 2 && exec "$@"';
const stopPatienceMs = 15_000;
const defaultPatienceMs = 20_000;

/** The latest repair, as the status tells it. */
interface Repair {
  readonly differences: readonly { readonly object: string; readonly detail: string }[];
  readonly writer: { readonly pid: number; readonly name: string } | null;
}

/** What the lab reads of `antenna status --json`. */
export interface Status {
  readonly mode: string | null;
  readonly state: string;
  readonly policyVersion: string | null;
  readonly policyDigest: string | null;
  readonly drift: { readonly repairs: number; readonly last: Repair | null };
  readonly budget: {
    readonly memoryMiB: { readonly used: number };
    readonly cpuPercent: { readonly used: number };
  };
  readonly problems: readonly { readonly code: string; readonly message: string }[];
}

/** A host of the lab: a namespace, its applications, and (unless it is an outsider) an Antenna daemon with a policy file. */
export class Workload implements AsyncDisposable {
  readonly name: string;
  #address: string;
  readonly ports: readonly number[];
  readonly namespace: Namespace;
  readonly applications: Applications;
  readonly #folder: string;
  #daemon: ChildProcess | null = null;

  constructor(name: string, address: string, ports: readonly number[], namespace: Namespace, folder: string) {
    this.name = name;
    this.#address = address;
    this.ports = ports;
    this.namespace = namespace;
    this.applications = Applications.start(namespace);
    this.#folder = join(folder, name);
  }

  get address(): string {
    return this.#address;
  }

  /** Gets another address instead of its own, of the same network of 24 bits. */
  async move(address: string): Promise<void> {
    await this.namespace.exec(ip, ["address", "del", `${this.#address}/24`, "dev", "eth0"]);
    await this.namespace.exec(ip, ["address", "add", `${address}/24`, "dev", "eth0"]);
    this.#address = address;
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

  /** Puts a file that is already written in place of the policy file. */
  async swapPolicy(file: string): Promise<void> {
    await rename(file, this.policyFile);
  }

  /** Records of the daemon's log with this message. */
  async logged(message: string): Promise<readonly { readonly time: string }[]> {
    const lines = (await readFile(join(this.#folder, "antennad.log"), "utf8")).split("\n");
    const records = lines
      .filter((line) => line.endsWith("}"))
      .map((line) => JSON.parse(line) as { readonly time: string; readonly msg: string });
    return records.filter((record) => record.msg === message);
  }

  get daemonPid(): number {
    if (this.#daemon?.pid === undefined) throw new Error(`${this.name}: no daemon runs`);
    return this.#daemon.pid;
  }

  /** Starts `antenna run` on the policy file and waits until it is in force; at most `patienceMs`, default 20 s. */
  async startDaemon(flags: readonly string[] = [], patienceMs = defaultPatienceMs): Promise<void> {
    await this.#spawn([antenna, "run", "--policy", this.policyFile, "--state-dir", this.stateDir, ...flags]);
    await this.settled(patienceMs);
  }

  /**
   * Starts `antenna run` with a controller, and with a pairing key it pairs first. `configuration`: YAML of its file.
   * Resolves when the process has started.
   */
  async startWithController(
    controller: string,
    options: {
      readonly keyFile?: string;
      readonly configuration?: string;
      readonly flags?: readonly string[];
      readonly environment?: Readonly<Record<string, string>>;
      /** A file that stands for /etc/resolv.conf, which the machine shares otherwise. */
      readonly resolvConf?: string;
    } = {},
  ): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const config = join(this.#folder, "antenna.yaml");
    await writeFile(config, options.configuration ?? "settle: 0s\n", { mode: 0o600 });
    const key = options.keyFile === undefined ? [] : ["--key-file", options.keyFile];
    const flags = [...key, ...(options.flags ?? [])];
    const args = [
      "run",
      "--config",
      config,
      "--controller",
      controller,
      "--state-dir",
      this.stateDir,
      ...flags,
    ];
    // A host of its own has a name of its own, as in reality.
    const { resolvConf } = options;
    const named =
      resolvConf === undefined
        ? [unshare, "--uts", "--", sh, "-c", hostname, sh, this.name]
        : [unshare, "--uts", "--mount", "--", sh, "-c", resolving, sh, this.name, resolvConf];
    await this.#spawn([...named, antenna, ...args], options.environment);
  }

  async #spawn(
    [program = "", ...args]: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<void> {
    const [file, argv] = inside(this.namespace.path, program, args);
    const log = createWriteStream(join(this.#folder, "antennad.log"), { flags: "a", mode: 0o600 });
    await new Promise((resolve) => log.once("open", resolve));
    this.#daemon = spawn(file, argv, {
      stdio: ["ignore", log, log],
      env: { ...process.env, ...environment },
    });
  }

  /** Waits until the daemon says that the policy is in force; rejects after `patienceMs` with what it says instead. */
  async settled(patienceMs = defaultPatienceMs): Promise<Status> {
    const settled = (status: Status) => status.state === "in-sync" || status.state === "idle";
    return this.until("in-sync", settled, patienceMs);
  }

  /** Waits until the status satisfies; rejects after `patienceMs` with the last one. */
  async until(
    what: string,
    satisfied: (status: Status) => boolean,
    patienceMs = defaultPatienceMs,
  ): Promise<Status> {
    const deadline = performance.now() + patienceMs;
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
    throw new Error(`${this.name}: waited ${patienceMs / 1000} s for ${what}; last status: ${last}`);
  }

  async status(): Promise<Status> {
    return JSON.parse(await this.antenna(["status", "--json"])) as Status;
  }

  /** Runs an `antenna` command against this workload's daemon and gives its stdout. */
  async antenna(args: readonly string[]): Promise<string> {
    const { stdout } = await run(antenna, [...args, "--state-dir", this.stateDir]);
    return stdout;
  }

  /** Stops the daemon; the kernel goes on enforcing. */
  async stopDaemon(signal: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = null;
    if (daemon === null || daemon.exitCode !== null || daemon.signalCode !== null) return;
    const ended = new Promise((resolve) => daemon.once("exit", resolve));
    daemon.kill(signal);
    // It promises to end within 5 s; one that hangs must not outlive the lab.
    const late = setTimeout(() => daemon.kill("SIGKILL"), stopPatienceMs);
    await ended;
    clearTimeout(late);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stopDaemon();
    await this.applications[Symbol.asyncDispose]();
  }
}
