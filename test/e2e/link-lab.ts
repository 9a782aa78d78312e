import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { ask } from "@antenna/sdk/control-socket";
import { LabController, type ListedRevision, type ListedWorkload } from "../lab/controller.js";
import { createNetwork, type Network } from "../lab/network.js";
import { type Status, Workload } from "../lab/workload.js";

/** What a controller tells of an event. */
export interface ToldEvent {
  readonly type: string;
  readonly workload: string | null;
  readonly message: string;
}

/** The status of a daemon with a link. */
export interface LinkedStatus extends Status {
  readonly link: { readonly state: string };
}

export interface AgentOptions {
  readonly labels: Readonly<Record<string, string>>;
  /** YAML lines of its configuration, beside those that every agent here has. */
  readonly configuration?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** How the controller is dialled; default by its address. */
  readonly controller?: string;
  /** A file that stands for its /etc/resolv.conf. */
  readonly resolvConf?: string;
}

const startedAtOnce = 4;
const controllerAddress = "10.78.0.2";

/**
 * A controller and hosts with agents, all real, in namespaces of their own. The controller is asked over its control socket:
 * the time that a command line takes to start would drown what is measured. Everything is gone when it is disposed.
 */
export class LinkLab implements AsyncDisposable {
  readonly network: Network;
  readonly controller: LabController;
  readonly folder: string;
  readonly #made: (() => PromiseLike<void>)[] = [];

  private constructor(network: Network, controller: LabController, folder: string) {
    this.network = network;
    this.controller = controller;
    this.folder = folder;
  }

  /** With a controller that serves. `environment` is its own, beside that of this process. */
  static async begin(environment: Readonly<Record<string, string>> = {}): Promise<LinkLab> {
    const folder = await mkdtemp(join(tmpdir(), "antenna-link-"));
    const made: (() => PromiseLike<void>)[] = [() => rm(folder, { recursive: true, force: true })];
    try {
      const network = await createNetwork();
      made.push(() => network[Symbol.asyncDispose]());
      const namespace = await network.addHost("lkctl", [`${controllerAddress}/24`]);
      const controller = new LabController(controllerAddress, namespace, folder);
      made.push(() => controller[Symbol.asyncDispose]());
      const lab = new LinkLab(network, controller, folder);
      const readyMs = await controller.serve(environment);
      console.log(`the controller answers ${Math.round(readyMs)} ms after its start`);
      lab.#made.push(...made);
      return lab;
    } catch (error) {
      for (const undo of made.reverse()) await undo();
      throw error;
    }
  }

  /** Is undone before everything that was made earlier. */
  own(undo: () => PromiseLike<void>): void {
    this.#made.push(undo);
  }

  /** A host without an agent; `ip`: the last number of its address. */
  async host(name: string, number: number): Promise<Workload> {
    const address = `10.78.0.${number}`;
    const namespace = await this.network.addHost(name, [`${address}/24`]);
    const workload = new Workload(name, address, [], namespace, this.folder);
    this.own(() => workload[Symbol.asyncDispose]());
    return workload;
  }

  /** A pairing key: the text. */
  async key(labels: Readonly<Record<string, string>>, uses = 1): Promise<string> {
    const params = { labels, uses, ttlMs: 3_600_000, addresses: [], delegate: [] };
    const { pairingKey } = (await this.ask("key-create", params)) as { readonly pairingKey: string };
    return pairingKey;
  }

  /** Starts the agent of a host; it pairs first when it has `labels`. */
  async startAgent(host: Workload, options: Partial<AgentOptions> = {}): Promise<void> {
    const { labels, configuration = "", environment = {}, resolvConf } = options;
    const { controller = this.controller.endpoint } = options;
    const key = labels === undefined ? {} : { ANTENNA_PAIRING_KEY: await this.key(labels) };
    await host.startWithController(controller, {
      configuration: `settle: 0s\ncontext: { cloud: false }\n${configuration}`,
      environment: { ...environment, ...key },
      ...(resolvConf === undefined ? {} : { resolvConf }),
    });
  }

  /** Hosts with agents, a few starting at the same time, so that a small machine is not swamped. */
  async agents(
    hosts: readonly { readonly name: string; readonly number: number; readonly options: AgentOptions }[],
  ): Promise<readonly Workload[]> {
    const workloads: Workload[] = [];
    for (const { name, number } of hosts) workloads.push(await this.host(name, number));
    for (let at = 0; at < hosts.length; at += startedAtOnce) {
      const batch = hosts.slice(at, at + startedAtOnce);
      await Promise.all(
        batch.map(({ options }, index) => this.startAgent(workloads[at + index] as Workload, options)),
      );
      await this.until(`${at + batch.length} agents`, (listed) =>
        batch.every(({ name }) => listed.some((one) => one.name === name && one.online)),
      );
    }
    return workloads;
  }

  /** One call of the controller's control socket. */
  async ask(
    method: string,
    params: Readonly<Record<string, unknown>> = {},
    body?: string,
    patienceMs = 60_000,
  ): Promise<unknown> {
    return await ask({
      path: join(this.controller.dataDir, "controller.sock"),
      server: { name: "controller", start: "the lab starts it" },
      method,
      params,
      patienceMs,
      ...(body === undefined ? {} : { body: Readable.from([Buffer.from(body)]) }),
    });
  }

  /** Stores a label policy; gives its revision. */
  async apply(policy: string): Promise<number> {
    const { revision } = (await this.ask("policy-apply", {}, policy)) as { readonly revision: number };
    return revision;
  }

  /** Waits until the waves of a revision are over; gives how they ended. */
  async settled(revision: number): Promise<string> {
    const { state } = (await this.ask("policy-wait", { revision })) as { readonly state: string };
    return state;
  }

  /** Those whose identity stands. */
  async workloads(): Promise<readonly ListedWorkload[]> {
    const { workloads } = (await this.ask("workloads")) as { readonly workloads: readonly ListedWorkload[] };
    return workloads.filter(({ state }) => state !== "revoked");
  }

  async workload(name: string): Promise<ListedWorkload> {
    const found = (await this.workloads()).find((one) => one.name === name);
    if (found === undefined) throw new Error(`the controller knows no ${name}`);
    return found;
  }

  /** Newest first. */
  async history(): Promise<readonly ListedRevision[]> {
    const { revisions } = (await this.ask("policy-history")) as {
      readonly revisions: readonly ListedRevision[];
    };
    return revisions;
  }

  /** Newest first. */
  async events(type: string): Promise<readonly ToldEvent[]> {
    const { events } = (await this.ask("events", { limit: 10_000 })) as {
      readonly events: readonly ToldEvent[];
    };
    return events.filter((event) => event.type === type);
  }

  /** Waits until what the controller lists satisfies. */
  async until(
    what: string,
    satisfied: (workloads: readonly ListedWorkload[]) => boolean,
    patienceMs = 40_000,
  ): Promise<readonly ListedWorkload[]> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const workloads = await this.workloads();
      if (satisfied(workloads)) return workloads;
      if (performance.now() > deadline)
        throw new Error(`waited ${patienceMs / 1_000} s for ${what}: ${told(workloads)}`);
      await delay(25);
    }
  }

  /** Every workload (of these names) is online and enforces what it should. */
  inSync(names?: readonly string[], patienceMs?: number): Promise<readonly ListedWorkload[]> {
    return this.until(
      "everybody in sync",
      (listed) => {
        const wanted = names === undefined ? listed : listed.filter(({ name }) => names.includes(name));
        return (names === undefined || wanted.length === names.length) && wanted.every(isInSync);
      },
      patienceMs,
    );
  }

  /** The end of a daemon's log and the latest events: what a test that fails shows. */
  async diary(host: Workload): Promise<string> {
    const log = await readFile(join(this.folder, host.name, "antennad.log"), "utf8").catch(String);
    const { events } = (await this.ask("events", { limit: 20 })) as { readonly events: readonly object[] };
    const told = events.map((event) => JSON.stringify(event));
    return ["", ...log.trimEnd().split("\n").slice(-25), "events, newest first:", ...told].join("\n");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const undo of this.#made.splice(0).reverse()) await undo();
  }
}

/** A line each, of those that are not in sync, or all when everybody is. */
function told(workloads: readonly ListedWorkload[]): string {
  const late = workloads.filter((workload) => !isInSync(workload));
  return (late.length === 0 ? workloads : late).map((workload) => `\n  ${JSON.stringify(workload)}`).join("");
}

export function isInSync({ online, state, policyVersion, appliedVersion }: ListedWorkload): boolean {
  return online && (state === "in-sync" || state === "idle") && policyVersion === appliedVersion;
}

/** Asks a host's daemon; null when none answers. */
export async function statusOf(host: Workload): Promise<LinkedStatus | null> {
  const path = join(host.stateDir, "antenna.sock");
  const server = { name: "daemon", start: "the lab starts it" };
  const params = { workload: null };
  return (await ask({ path, server, method: "status", params }).catch(() => null)) as LinkedStatus | null;
}

/** Waits until a host's daemon says what satisfies; gives the milliseconds that took. */
export async function untilStatus(
  host: Workload,
  what: string,
  satisfied: (status: LinkedStatus) => boolean,
  patienceMs = 30_000,
): Promise<number> {
  const began = performance.now();
  for (;;) {
    const status = await statusOf(host);
    if (status !== null && satisfied(status)) return performance.now() - began;
    if (performance.now() - began > patienceMs)
      throw new Error(`${host.name}: waited ${patienceMs / 1_000} s for ${what}: ${inShort(status)}`);
    await delay(20);
  }
}

function inShort(status: LinkedStatus | null): string {
  if (status === null) return "no daemon answers";
  const { state, policyVersion, link, problems } = status;
  return JSON.stringify({ state, policyVersion, link, problems });
}
