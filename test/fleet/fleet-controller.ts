import { type ChildProcess, spawn } from "node:child_process";
import { open, readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import type {
  AppliedDocument,
  CreatedKeyDocument,
  HistoryDocument,
  WorkloadsDocument,
} from "@antenna/controller/internal/documents.js";
import { ask } from "@antenna/sdk/control-socket";

const program = join(
  ...[import.meta.dirname, "..", "..", "..", "controller-mock", "bin", "antenna-controller.js"],
);
const readyMs = 30_000;
const ticksPerSecond = 100;
const waitMs = 600_000;

/** The real controller's program on loopback, asked over its control socket. */
export class FleetController implements AsyncDisposable {
  readonly port: number;
  readonly dataDir: string;
  readonly #folder: string;
  #server: ChildProcess | null = null;

  private constructor(folder: string, port: number) {
    this.#folder = folder;
    this.port = port;
    this.dataDir = join(folder, "data");
  }

  /** A controller that serves. The folder is the caller's to remove. */
  static async start(folder: string): Promise<FleetController> {
    const controller = new FleetController(folder, await freePort());
    await controller.serve();
    return controller;
  }

  get pid(): number {
    if (this.#server?.pid === undefined) throw new Error("no controller runs");
    return this.#server.pid;
  }

  get logFile(): string {
    return join(this.#folder, "controller.log");
  }

  /** Resolves when its socket answers. */
  async serve(): Promise<void> {
    await using log = await open(this.logFile, "a", 0o600);
    const args = ["serve", "--listen", `127.0.0.1:${this.port}`, "--data-dir", this.dataDir];
    const server = spawn(program, args, { stdio: ["ignore", log.fd, log.fd] });
    this.#server = server;
    const deadline = performance.now() + readyMs;
    for (;;) {
      const isReady = await this.#ask("key-list").then(
        () => true,
        () => false,
      );
      if (isReady) return;
      if (server.exitCode !== null || performance.now() > deadline)
        throw new Error(`the controller does not serve: ${await readFile(this.logFile, "utf8")}`);
      await delay(20);
    }
  }

  async key(labels: Readonly<Record<string, string>>): Promise<string> {
    const params = { labels, uses: 10_000, ttlMs: 3_600_000, addresses: [], delegate: [] };
    return ((await this.#ask("key-create", params)) as CreatedKeyDocument).pairingKey;
  }

  /** The number of the revision; its waves may last. */
  async apply(policy: string): Promise<number> {
    const body = (async function* () {
      yield Buffer.from(policy);
    })();
    return ((await this.#ask("policy-apply", {}, body)) as AppliedDocument).revision;
  }

  /** How the waves of a revision ended. */
  async settled(revision: number): Promise<AppliedDocument["state"]> {
    return ((await this.#ask("policy-wait", { revision })) as AppliedDocument).state;
  }

  async history(): Promise<HistoryDocument["revisions"]> {
    return ((await this.#ask("policy-history")) as HistoryDocument).revisions;
  }

  async workloads(): Promise<WorkloadsDocument["workloads"]> {
    return ((await this.#ask("workloads")) as WorkloadsDocument).workloads;
  }

  async label(
    id: string,
    set: Readonly<Record<string, string>>,
    removed: readonly string[] = [],
  ): Promise<void> {
    await this.#ask("workload-label", { id, set, removed });
  }

  async revoke(id: string): Promise<void> {
    await this.#ask("workload-revoke", { id });
  }

  /** User and system time of all its threads, in milliseconds. */
  async cpuMs(): Promise<number> {
    const stat = await readFile(`/proc/${this.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond;
  }

  async rssMiB(): Promise<number> {
    const found = /^VmRSS:\s+(\d+) kB/m.exec(await readFile(`/proc/${this.pid}/status`, "utf8"));
    return Number(found?.[1] ?? Number.NaN) / 1024;
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

  async #ask(
    method: string,
    params: Readonly<Record<string, unknown>> = {},
    body?: AsyncIterable<Uint8Array>,
  ): Promise<unknown> {
    const server = { name: "controller", start: "the test starts it" };
    const path = join(this.dataDir, "controller.sock");
    return ask({ path, server, method, params, patienceMs: waitMs, ...(body === undefined ? {} : { body }) });
  }
}

/** A port of loopback that nobody had a moment ago. */
async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}
