import { setTimeout as delay } from "node:timers/promises";
import { AgentGroup } from "./agent-group.js";
import type { FleetController } from "./fleet-controller.js";
import type { AgentPlan, AgentState, NotedPolicy } from "./group-protocol.js";

/** Agents of one tier, which may talk to each other and to nobody else. */
export interface TierPlan {
  readonly tier: string;
  readonly count: number;
}

const patienceMs = 120_000;

/** Simulated agents in several processes, and the label policy that they are under. */
export class SimulatedFleet implements AsyncDisposable {
  readonly #controller: FleetController;
  readonly #groups: readonly AgentGroup[];
  #addresses = 0;
  #agents = 0;

  constructor(controller: FleetController, processes: number) {
    this.#controller = controller;
    this.#groups = Array.from({ length: processes }, () => new AgentGroup());
  }

  /** Within each tier everybody reaches everybody at these ports. */
  static policy(tiers: readonly string[], ports: readonly number[]): string {
    const rules = tiers.map((tier) => ({ from: { tier }, to: { tier }, services: ["app"] }));
    return JSON.stringify({
      services: { app: [{ protocol: "tcp", ports }] },
      rulesets: [{ name: "tiers", rules }],
      enforcement: [{ match: {}, mode: "full" }],
    });
  }

  get size(): number {
    return this.#agents;
  }

  /** An address that no agent of this fleet has: of the network for benchmarks (RFC 2544). */
  nextAddress(): string {
    const number = ++this.#addresses;
    return `198.18.${number >> 8}.${number & 255}`;
  }

  /** Deals the agents of each tier out to the processes. */
  async add(tiers: readonly TierPlan[]): Promise<void> {
    const plans: AgentPlan[][] = this.#groups.map(() => []);
    for (const { tier, count } of tiers) {
      const key = await this.#controller.key({ tier });
      for (let at = 0; at < count; at++)
        plans[at % plans.length]?.push({ name: `${tier}-${at}`, addresses: [this.nextAddress()], key });
      this.#agents += count;
    }
    const { port } = this.#controller;
    await this.#each((group, at) => group.ask({ method: "add", port, agents: plans[at] ?? [] }));
  }

  async pair(atOnce: number): Promise<void> {
    await this.#each((group) => group.ask({ method: "pair", atOnce }));
  }

  /** All at once; resolves when all are welcomed. */
  async start(): Promise<void> {
    await this.#each((group) => group.ask({ method: "start" }));
  }

  async watch(address: string | null): Promise<void> {
    await this.#each((group) => group.ask({ method: "watch", address }));
  }

  /** When all `count` agents of a tier have got what is watched for; dealt out as `add` does it. */
  async noted(tier: string, count: number): Promise<readonly NotedPolicy[]> {
    const share = (at: number): number =>
      Math.floor((count + this.#groups.length - 1 - at) / this.#groups.length);
    const found = await this.#each((group, at) =>
      group.ask({ method: "noted", prefix: tier === "" ? "" : `${tier}-`, count: share(at), patienceMs }),
    );
    return found.flat();
  }

  /** Throws when an agent saw the controller break the protocol. */
  async states(): Promise<readonly AgentState[]> {
    const told = await this.#each((group) => group.ask({ method: "states" }));
    const faults = told.flatMap((each) => each.faults);
    if (faults.length > 0) throw new Error(`agents saw faults: ${faults.join("; ")}`);
    return told.flatMap(({ agents }) => agents);
  }

  /** Until every agent is connected, after `welcomes` sessions at least, and the controller knows it to be in sync. */
  async untilInSync(welcomes = 1): Promise<void> {
    const deadline = performance.now() + patienceMs;
    for (;;) {
      const states = await this.states();
      const late = states.filter(
        (each) => !each.isConnected || each.welcomes < welcomes || !each.isApplied,
      ).length;
      const told = late === 0 ? await this.#toldInSync() : 0;
      if (told >= this.#agents) return;
      if (performance.now() > deadline)
        throw new Error(`${late} agents are not in sync; the controller knows ${told} to be`);
      await delay(50);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#each((group) => group.kill());
  }

  async #toldInSync(): Promise<number> {
    const listed = await this.#controller.workloads();
    return listed.filter(
      ({ online, state, policyVersion, appliedVersion }) =>
        online && state === "in-sync" && policyVersion === appliedVersion,
    ).length;
  }

  #each<Result>(ask: (group: AgentGroup, at: number) => Promise<Result>): Promise<readonly Result[]> {
    return Promise.all(this.#groups.map(ask));
  }
}
