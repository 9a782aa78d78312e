import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { expectedPath } from "./expectation.js";
import { type Cell, formatMatrix } from "./matrix.js";
import { createNetwork, type Network } from "./network.js";
import { type HostName, hosts, type ManagedName, managed, type PolicyOptions, policyOf } from "./policies.js";
import { Workload } from "./workload.js";

export interface StoryOptions {
  readonly write: (text: string) => void;
  readonly colour: boolean;
  readonly signal: AbortSignal;
}

/** The lab with its four hosts; tells the story step by step. Everything it made is gone when it is disposed. */
export class Story implements AsyncDisposable {
  readonly #options: StoryOptions;
  /** What was made, in order; undone backwards. */
  readonly #made: (() => PromiseLike<void>)[] = [];
  readonly #workloads = new Map<HostName, Workload>();
  #policy: PolicyOptions = { mode: "visibility", database: true, maintenance: false };
  #failures = 0;
  #network: Network | null = null;

  private constructor(options: StoryOptions) {
    this.#options = options;
  }

  /** Makes the network and the hosts and starts the agents in visibility mode. */
  static async begin(options: StoryOptions): Promise<Story> {
    const story = new Story(options);
    try {
      await story.#setUp();
      return story;
    } catch (error) {
      await story[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Names of the network namespaces that it made. */
  get namespaces(): readonly string[] {
    return this.#network?.names ?? [];
  }

  /** How many things went otherwise than told. */
  get failures(): number {
    return this.#failures;
  }

  /** The agents, for the status view. */
  get agents(): readonly Workload[] {
    return managed.map((name) => this.#host(name));
  }

  /** All chapters in order. */
  async tell(): Promise<void> {
    const chapters = [
      () => this.#visibility(),
      () => this.#enforcement(),
      () => this.#changeUnderLoad(),
      () => this.#revocation(),
      () => this.#repair(),
    ];
    for (const chapter of chapters) {
      this.#options.signal.throwIfAborted();
      await chapter();
    }
    this.#line(
      this.#failures === 0 ? "\nThe story holds." : `\n${this.#failures} things went otherwise than told.`,
    );
  }

  async #setUp(): Promise<void> {
    this.#title("The lab: four hosts on a bridge");
    const folder = await mkdtemp(join(tmpdir(), "antenna-lab-"));
    this.#made.push(() => rm(folder, { recursive: true, force: true }));
    const network = await createNetwork();
    this.#network = network;
    this.#made.push(() => network[Symbol.asyncDispose]());
    for (const [name, { address, ports }] of Object.entries(hosts) as [
      HostName,
      (typeof hosts)[HostName],
    ][]) {
      const namespace = await network.addHost(name, [`${address}/24`]);
      const workload = new Workload(name, address, ports, namespace, folder);
      this.#made.push(() => workload[Symbol.asyncDispose]());
      this.#workloads.set(name, workload);
      await workload.applications.listen(ports);
      const role = name === "outsider" ? "no agent" : "antennad";
      this.#line(
        `  ${name.padEnd(9)} ${address.padEnd(12)} listens on ${ports.join(", ").padEnd(9)} ${role}`,
      );
    }
  }

  async #visibility(): Promise<void> {
    this.#title("1. Visibility: decided like full, nothing dropped ((p): would be blocked)");
    await Promise.all(
      this.agents.map(async (workload) => {
        await workload.writePolicy(policyOf(workload.name as ManagedName, this.#policy));
        await workload.startDaemon(["--settle", "1s"]);
      }),
    );
    await this.#matrix();
  }

  async #enforcement(): Promise<void> {
    this.#title("2. Full: what no rule allows is denied");
    await this.#apply({ ...this.#policy, mode: "full" });
    await this.#matrix();
  }

  async #changeUnderLoad(): Promise<void> {
    this.#title("3. A rule is added while web1 keeps asking app1");
    const web = this.#host("web1").applications;
    await web.startLoad("load", hosts.app1.address, 8080);
    await delay(500);
    await this.#apply({ ...this.#policy, maintenance: true });
    await delay(500);
    const load = await web.stopLoad("load");
    const rate = Math.round(load.connections / load.seconds);
    this.#check(load.failures === 0, `${load.connections} connections at ${rate}/s, ${load.failures} lost`);
    this.#check(await web.reaches(hosts.app1.address, 22), "web1 now reaches app1:22");
  }

  async #revocation(): Promise<void> {
    this.#title("4. A rule is revoked under a live connection");
    const app = this.#host("app1").applications;
    const web = this.#host("web1").applications;
    await app.openStream("db", hosts.db1.address, 5432);
    await web.openStream("app", hosts.app1.address, 8080);
    await delay(300);
    const before = await app.streamState("db");
    this.#check(
      before.echoes > 0 && before.silentMs < 200,
      `app1 -> db1:5432 is alive (${before.echoes} echoes)`,
    );
    const started = performance.now();
    await this.#apply({ ...this.#policy, database: false });
    await delay(400);
    const cut = await app.streamState("db");
    const other = await web.streamState("app");
    const after = Math.max(0, performance.now() - started - cut.silentMs);
    this.#check(!cut.open || cut.silentMs > 300, `it was cut ${Math.round(after)} ms after the file changed`);
    this.#check(other.open && other.silentMs < 200, "web1 -> app1:8080 goes on undisturbed");
    this.#check(!(await app.reaches(hosts.db1.address, 5432)), "a new connection to db1:5432 is denied");
  }

  async #repair(): Promise<void> {
    this.#title("5. Somebody flushes the rules of app1 by hand");
    const workload = this.#host("app1");
    const outsider = this.#host("outsider").applications;
    const repairs = (await workload.status()).drift.repairs;
    await workload.namespace.exec("/usr/sbin/iptables", ["-F", "ANT-IN"]);
    const started = performance.now();
    const status = await workload.until("a repair", (now) => now.drift.repairs > repairs);
    const elapsed = Math.round(performance.now() - started);
    const { differences = [], writer = null } = status.drift.last ?? {};
    const what = differences.map(({ object, detail }) => `${object}: ${detail}`).join("; ");
    const who = writer === null ? "somebody" : `${writer.name} (pid ${writer.pid}, both as claimed)`;
    this.#check(differences.length > 0, `repaired and reported within ${elapsed} ms; ${what}, by ${who}`);
    this.#check(
      !(await outsider.reaches(hosts.app1.address, 8080)),
      "the outsider still does not reach app1:8080",
    );
    const verified = JSON.parse(await workload.antenna(["verify", "--json"])) as { readonly ok: boolean };
    this.#check(verified.ok, "antenna verify: the kernel means the policy");
  }

  async #apply(policy: PolicyOptions): Promise<void> {
    this.#policy = policy;
    await Promise.all(
      this.agents.map(async (workload) => {
        const before = await workload.status();
        const text = policyOf(workload.name as ManagedName, policy);
        const changed = text !== this.#texts.get(workload.name);
        this.#texts.set(workload.name, text);
        await workload.writePolicy(text);
        if (!changed) return;
        await workload.until(
          "the new policy",
          (now) => now.policyDigest !== before.policyDigest && now.state === "in-sync",
        );
      }),
    );
  }

  readonly #texts = new Map<string, string>();

  async #matrix(): Promise<void> {
    const questions = [...this.#workloads.values()].flatMap((from) =>
      [...this.#workloads.values()].flatMap((to) =>
        from === to ? [] : to.ports.map((port) => ({ from, to, port })),
      ),
    );
    const cells = await Promise.all(
      questions.map(async ({ from, to, port }): Promise<Cell> => {
        const path = expectedPath({ from, to, port, policy: (name) => this.#policyText(name) });
        const observed = await from.applications.reaches(to.address, port);
        return {
          from: from.name,
          to: to.name,
          port,
          expected: path.open,
          wouldBlock: path.wouldBlock,
          observed,
        };
      }),
    );
    this.#failures += cells.filter((cell) => cell.expected !== cell.observed).length;
    this.#options.write(formatMatrix(cells, this.#options.colour));
  }

  #policyText(name: string): string | null {
    return name === "outsider" ? null : policyOf(name as ManagedName, this.#policy);
  }

  #host(name: HostName): Workload {
    const workload = this.#workloads.get(name);
    if (workload === undefined) throw new Error(`the lab has no host ${name}`);
    return workload;
  }

  #title(words: string): void {
    this.#line(this.#options.colour ? `\n\u001b[1m${words}\u001b[0m` : `\n${words}`);
  }

  #check(holds: boolean, words: string): void {
    if (!holds) this.#failures += 1;
    this.#line(`  ${holds ? "yes" : "NO "}  ${words}`);
  }

  #line(words: string): void {
    this.#options.write(`${words}\n`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const undo of this.#made.splice(0).reverse()) await undo();
  }
}
