import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { LabController } from "./controller.js";
import { type Cell, formatMatrix } from "./matrix.js";
import { createNetwork, type Network } from "./network.js";
import {
  allows,
  badPolicy,
  controllerAddress,
  type HostName,
  hosts,
  labelPolicy,
  managed,
  movedAddress,
  newcomer,
  type PolicyOptions,
  roleOf,
} from "./policies.js";
import { Workload } from "./workload.js";

const settled: ReadonlySet<string> = new Set(["in-sync", "idle"]);
/** One try of a connection while waiting for it to be let through: short, so that its time is told well. */
const glanceMs = 60;
const patienceMs = 20_000;

export interface StoryOptions {
  readonly write: (text: string) => void;
  readonly colour: boolean;
  readonly signal: AbortSignal;
}

/** The lab with a controller and four hosts; tells the story step by step. Everything it made is gone when it is disposed. */
export class Story implements AsyncDisposable {
  readonly #options: StoryOptions;
  /** What was made, in order; undone backwards. */
  readonly #made: (() => PromiseLike<void>)[] = [];
  readonly #workloads = new Map<string, Workload>();
  #policy: PolicyOptions = { mode: "visibility", database: true, maintenance: false };
  #failures = 0;
  #network: Network | null = null;
  #controller: LabController | null = null;
  #folder = "";

  private constructor(options: StoryOptions) {
    this.#options = options;
  }

  /** Makes the network and the hosts, and starts the controller. */
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
    return [...this.#workloads.values()].filter(({ name }) => name !== "outsider");
  }

  /** All chapters in order. */
  async tell(): Promise<void> {
    const chapters = [
      () => this.#pairing(),
      () => this.#enforcement(),
      () => this.#join(),
      () => this.#roaming(),
      () => this.#changeUnderLoad(),
      () => this.#revocation(),
      () => this.#badPolicy(),
      () => this.#repair(),
      () => this.#controllerAway(),
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
    this.#title("The lab: a controller and four hosts on a bridge");
    this.#folder = await mkdtemp(join(tmpdir(), "antenna-lab-"));
    this.#made.push(() => rm(this.#folder, { recursive: true, force: true }));
    const network = await createNetwork();
    this.#network = network;
    this.#made.push(() => network[Symbol.asyncDispose]());
    const namespace = await network.addHost("ctl", [`${controllerAddress}/24`]);
    const controller = new LabController(controllerAddress, namespace, this.#folder);
    this.#controller = controller;
    this.#made.push(() => controller[Symbol.asyncDispose]());
    const readyMs = await controller.serve();
    const ready = `antenna-controller, first start in ${Math.round(readyMs)} ms`;
    this.#line(
      `  ${"ctl".padEnd(9)} ${controllerAddress.padEnd(12)} listens on ${"8443".padEnd(9)} ${ready}`,
    );
    for (const [name, host] of Object.entries(hosts)) await this.#addHost(name, host);
  }

  async #addHost(
    name: string,
    { address, ports }: { readonly address: string; readonly ports: readonly number[] },
  ): Promise<Workload> {
    if (this.#network === null) throw new Error("the lab has no network");
    const namespace = await this.#network.addHost(name, [`${address}/24`]);
    const workload = new Workload(name, address, ports, namespace, this.#folder);
    this.#made.push(() => workload[Symbol.asyncDispose]());
    this.#workloads.set(name, workload);
    await workload.applications.listen(ports);
    const role = name === "outsider" ? "no agent" : "antennad";
    this.#line(`  ${name.padEnd(9)} ${address.padEnd(12)} listens on ${ports.join(", ").padEnd(9)} ${role}`);
    return workload;
  }

  async #pairing(): Promise<void> {
    this.#title(
      "1. The hosts pair and tell who they are; visibility: nothing dropped ((p): would be blocked)",
    );
    await this.#apply(this.#policy, { wait: false });
    await Promise.all(managed.map((name) => this.#pair(this.#host(name))));
    await this.#inSync();
    for (const { name, id, addresses } of await this.#control.workloads())
      this.#line(`  ${name.padEnd(9)} ${id} ${addresses.map(({ address }) => address).join(" ")}`);
    await this.#matrix();
  }

  async #enforcement(): Promise<void> {
    this.#title("2. Full: what no rule allows is denied");
    await this.#apply({ ...this.#policy, mode: "full" });
    await this.#matrix();
  }

  async #join(): Promise<void> {
    this.#title("3. web2 joins by itself; nobody writes a rule");
    const workload = await this.#addHost(newcomer.name, newcomer);
    const before = await workload.applications.reaches(hosts.app1.address, 8080, 300);
    this.#check(!before, "before it is paired, app1:8080 does not answer it");
    const paired = performance.now();
    await this.#pair(workload);
    const elapsed = await this.#untilReached(workload, hosts.app1.address, 8080, paired);
    this.#check(
      elapsed !== null,
      `${elapsed} ms from the start of its agent to its first connection to app1:8080`,
    );
    await this.#inSync();
    await this.#matrix();
  }

  async #roaming(): Promise<void> {
    this.#title("4. web1 moves to another address; the policy's text does not change");
    const web = this.#host("web1");
    const revisions = (await this.#control.history()).length;
    await web.move(movedAddress);
    const moved = performance.now();
    const elapsed = await this.#untilReached(web, hosts.app1.address, 8080, moved);
    this.#check(elapsed !== null, `${elapsed} ms from the new address to a connection to app1:8080`);
    this.#check((await this.#control.history()).length === revisions, "no new revision of the label policy");
    await this.#inSync();
  }

  async #changeUnderLoad(): Promise<void> {
    this.#title("5. A rule is added while web1 keeps asking app1");
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
    this.#title("6. A rule is revoked under a live connection");
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
    this.#check(
      !cut.open || cut.silentMs > 300,
      `it was cut ${Math.round(after)} ms after \`policy apply\` began`,
    );
    this.#check(other.open && other.silentMs < 200, "web1 -> app1:8080 goes on undisturbed");
    this.#check(!(await app.reaches(hosts.db1.address, 5432)), "a new connection to db1:5432 is denied");
  }

  async #badPolicy(): Promise<void> {
    this.#title("7. Somebody applies a policy that cuts every path, and it undoes itself");
    const began = performance.now();
    const { code } = await this.#control.apply(badPolicy);
    const elapsed = Math.round(performance.now() - began);
    this.#check(code === 1, `\`policy apply --wait\` ended with ${code} after ${elapsed} ms`);
    const [last] = await this.#control.history();
    this.#check(last?.state === "withdrawn", `revision ${last?.revision} is ${last?.state}`);
    await this.#inSync();
    await this.#matrix();
  }

  async #repair(): Promise<void> {
    this.#title("8. Somebody flushes the rules of app1 by hand");
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

  async #controllerAway(): Promise<void> {
    this.#title("9. The controller is killed, and comes back");
    await this.#control.stop("SIGKILL");
    await this.#matrix();
    const began = performance.now();
    await this.#control.serve();
    await this.#inSync();
    const elapsed = Math.round(performance.now() - began);
    this.#check(true, `every agent is back ${elapsed} ms after the controller was started again`);
  }

  async #pair(workload: Workload): Promise<void> {
    const role = roleOf(workload.name);
    const keyFile = await this.#control.key(workload.name, { app: "shop", role }, 1);
    // The path that stays allowed throughout the story.
    const canary = `{ direction: out, protocol: tcp, peer: "${hosts.app1.address}", port: 8080 }`;
    const listed = role === "web" ? `commitConfirm: { canaries: [ ${canary} ] }\n` : "";
    await workload.startWithController(this.#control.endpoint, {
      keyFile,
      configuration: `settle: 0s\ncontext: { cloud: false }\n${listed}`,
    });
  }

  /** Milliseconds since `since` when the first connection was accepted; null: never. */
  async #untilReached(from: Workload, address: string, port: number, since: number): Promise<number | null> {
    while (performance.now() - since < patienceMs) {
      if (await from.applications.reaches(address, port, glanceMs))
        return Math.round(performance.now() - since);
    }
    return null;
  }

  /** Every workload is online and has what it should have. */
  async #inSync(): Promise<void> {
    const agents = this.agents.length;
    await this.#control.until("every workload in sync", (workloads) => {
      const done = workloads.filter(
        ({ online, policyVersion, appliedVersion, state }) =>
          online && state !== null && settled.has(state) && policyVersion === appliedVersion,
      );
      return done.length === agents;
    });
  }

  async #apply(policy: PolicyOptions, { wait = true } = {}): Promise<void> {
    this.#policy = policy;
    const { code, stderr } = await this.#control.apply(labelPolicy(policy));
    if (code !== 0) throw new Error(`the label policy was not taken: ${stderr}`);
    if (wait) await this.#inSync();
  }

  async #matrix(): Promise<void> {
    const questions = [...this.#workloads.values()].flatMap((from) =>
      [...this.#workloads.values()].flatMap((to) =>
        from === to ? [] : to.ports.map((port) => ({ from, to, port })),
      ),
    );
    const cells = await Promise.all(
      questions.map(async ({ from, to, port }): Promise<Cell> => {
        const allowed = allows(from.name, to.name, port, this.#policy);
        const expected = allowed || this.#policy.mode === "visibility";
        const observed = await from.applications.reaches(to.address, port);
        return { from: from.name, to: to.name, port, expected, wouldBlock: !allowed, observed };
      }),
    );
    this.#failures += cells.filter((cell) => cell.expected !== cell.observed).length;
    this.#options.write(formatMatrix(cells, this.#options.colour));
  }

  get #control(): LabController {
    if (this.#controller === null) throw new Error("the lab has no controller");
    return this.#controller;
  }

  #host(name: HostName | typeof newcomer.name): Workload {
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
