import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { AgentGroup } from "../fleet/agent-group.js";
import { FleetController } from "../fleet/fleet-controller.js";
import { monotonicMs } from "../fleet/group-protocol.js";
import { SimulatedAgent } from "../fleet/simulated-agent.js";
import { SimulatedFleet } from "../fleet/simulated-fleet.js";
import { type BenchResult, judge } from "./result.js";

/** A join tells the agents of its tier, and nobody else. */
const tiers = [
  { tier: "large", count: 400 },
  { tier: "medium", count: 40 },
  { tier: "small", count: 4 },
  { tier: "rest", count: 556 },
] as const;
const policyOf = (...ports: readonly number[]): string =>
  SimulatedFleet.policy(
    tiers.map(({ tier }) => tier),
    ports,
  );
const processes = 2;
const pairingsAtOnce = 8;
const joins = 50;
const stalledAgents = 5;
/** Joins come one after the other, each when the one before is done with. */
const joinPauseMs = 200;
const idleMs = 10_000;

/**
 * The real controller with 1,000 simulated agents: own key, certificate, connection and session each. The agents run on the
 * same machine, so that latencies hold their work too; the controller's CPU is its own.
 */
export async function fleet(): Promise<readonly BenchResult[]> {
  const folder = await mkdtemp(join(tmpdir(), "antenna-fleet-"));
  try {
    await using controller = await FleetController.start(folder);
    await using agents = new SimulatedFleet(controller, processes);
    const results: BenchResult[] = [];
    results.push(...(await gather(controller, agents)));
    const idle = await idlePerMs(controller);
    await using newcomers = new Newcomers(controller, agents);
    const costs = new Map<string, JoinFigures>();
    for (const { tier, count } of tiers.slice(0, 3)) {
      const figures = await newcomers.join(tier, count, idle);
      costs.set(tier, figures);
      results.push(...joinResults(count, figures));
    }
    results.push(...growth(costs));
    results.push(...(await stalled(controller, newcomers, idle, costs)));
    newcomers.stop();
    results.push(await waves(controller, agents));
    results.push(...(await comeBack(controller, agents)));
    return results;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** All of them pair, then all connect at once: every one that is admitted changes the policies of its tier. */
async function gather(controller: FleetController, agents: SimulatedFleet): Promise<readonly BenchResult[]> {
  await controller.apply(policyOf(8080));
  await agents.add(tiers);
  const began = monotonicMs();
  await agents.pair(pairingsAtOnce);
  const paired = monotonicMs();
  await agents.start();
  await agents.untilInSync();
  const synced = monotonicMs();
  progress(`paired in ${seconds(paired - began)}, connected and in sync in ${seconds(synced - paired)}`);
  const most = { theirs: [], peerName: null };
  return [
    judge({
      ...{ name: "fleet-1000-pair", unit: "s", ours: [(paired - began) / 1000], ...most },
      goal: { kind: "absolute", comparison: "<=", bound: 60 },
    }),
    judge({
      ...{ name: "fleet-1000-first-sync", unit: "s", ours: [(synced - paired) / 1000], ...most },
      goal: { kind: "absolute", comparison: "<=", bound: 30 },
    }),
    judge({
      ...{ name: "fleet-1000-controller-rss", unit: "MiB", ours: [await controller.rssMiB()], ...most },
      goal: { kind: "absolute", comparison: "<=", bound: 512 },
    }),
  ];
}

interface JoinFigures {
  /** Milliseconds from the newcomer's first context to the last agent of its tier that has it. */
  readonly toldMs: readonly number[];
  /** The same from the pairing call. */
  readonly pairedMs: readonly number[];
  /** Of the controller, for one join: milliseconds. */
  readonly cpuMs: number;
}

/** Agents that join while the others are there; they run in this process. */
class Newcomers implements AsyncDisposable {
  readonly #controller: FleetController;
  readonly #fleet: SimulatedFleet;
  readonly #agents: SimulatedAgent[] = [];

  constructor(controller: FleetController, agents: SimulatedFleet) {
    this.#controller = controller;
    this.#fleet = agents;
  }

  async join(tier: string, affected: number, idle: number): Promise<JoinFigures> {
    const key = await this.#controller.key({ tier });
    const toldMs: number[] = [];
    const pairedMs: number[] = [];
    const [cpu, began] = [await this.#controller.cpuMs(), monotonicMs()];
    for (let at = 0; at < joins; at++) {
      const address = this.#fleet.nextAddress();
      await this.#fleet.watch(address);
      let contextAt = 0;
      const agent = new SimulatedAgent({
        ...{ name: `newcomer-${this.#agents.length}`, port: this.#controller.port, addresses: [address] },
        onContext: () => {
          contextAt = monotonicMs();
        },
      });
      this.#agents.push(agent);
      const pairing = monotonicMs();
      await agent.pair(key);
      agent.start();
      const last = Math.max(...(await this.#fleet.noted(tier, affected)).map((noted) => noted.at));
      toldMs.push(last - contextAt);
      pairedMs.push(last - pairing);
      await delay(joinPauseMs);
    }
    const spent = (await this.#controller.cpuMs()) - cpu - idle * (monotonicMs() - began);
    const figures = { toldMs, pairedMs, cpuMs: spent / joins };
    progress(
      `join told to ${affected}: p50 ${ms(percentile(toldMs, 50))}, p99 ${ms(percentile(toldMs, 99))}; from the pairing call p50 ${ms(percentile(pairedMs, 50))}, p99 ${ms(percentile(pairedMs, 99))}; controller ${ms(figures.cpuMs)} CPU a join`,
    );
    return figures;
  }

  stop(): void {
    for (const agent of this.#agents) agent.stop();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
  }
}

function joinResults(affected: number, { toldMs }: JoinFigures): readonly BenchResult[] {
  return [
    judge({
      ...{ name: `fleet-join-tells-${affected}-p99`, unit: "ms", ours: [percentile(toldMs, 99)] },
      ...{ theirs: [percentile(toldMs, 50)], peerName: "p50" },
      goal: { kind: "absolute", comparison: "<=", bound: 300 },
    }),
  ];
}

/** A join costs what it affects, whatever the size of the fleet: a hundredth of the affected, far less of the cost. */
function growth(costs: ReadonlyMap<string, JoinFigures>): readonly BenchResult[] {
  const large = costs.get("large");
  if (large === undefined) throw new Error("there is no figure of large joins");
  return [
    { tier: "medium", bound: 0.5 },
    { tier: "small", bound: 0.4 },
  ].map(({ tier, bound }) => {
    const count = tiers.find((each) => each.tier === tier)?.count ?? 0;
    return judge({
      ...{
        name: `fleet-join-tells-${count}-controller-cpu`,
        unit: "ms",
        ours: [costs.get(tier)?.cpuMs ?? 0],
      },
      ...{ theirs: [large.cpuMs], peerName: "400 told" },
      goal: { kind: "ratio", comparison: "<=", bound },
    });
  });
}

/** Agents whose host hangs: they keep their connections and read nothing. */
async function stalled(
  controller: FleetController,
  newcomers: Newcomers,
  idle: number,
  costs: ReadonlyMap<string, JoinFigures>,
): Promise<readonly BenchResult[]> {
  await using hung = new AgentGroup();
  const key = await controller.key({ tier: "large" });
  const { port } = controller;
  const agents = Array.from({ length: stalledAgents }, (_, at) => ({
    ...{ name: `stalled-${at}`, addresses: [`198.19.0.${at + 1}`], key },
  }));
  await hung.ask({ method: "add", port, agents });
  await hung.ask({ method: "pair", atOnce: stalledAgents });
  await hung.ask({ method: "start" });
  hung.freeze();
  const { toldMs } = await newcomers.join("large", 400, idle);
  return [
    judge({
      ...{ name: "fleet-join-beside-stalled-p50", unit: "ms", ours: [percentile(toldMs, 50)] },
      ...{ theirs: [percentile(costs.get("large")?.toldMs ?? [], 50)], peerName: "none stalled" },
      goal: { kind: "ratio", comparison: "<=", bound: 1.5 },
    }),
  ];
}

/** A label policy that changes everybody's: one, 99, 900; each opens a new connection to confirm. */
async function waves(controller: FleetController, agents: SimulatedFleet): Promise<BenchResult> {
  await agents.watch(null);
  const began = monotonicMs();
  const revision = await controller.apply(policyOf(8080, 8081));
  const state = await controller.settled(revision);
  const took = monotonicMs() - began;
  if (state !== "in-force") throw new Error(`revision ${revision} is ${state}`);
  const byVersion = new Map<string, number[]>();
  for (const { version, at } of await agents.noted("", agents.size))
    byVersion.set(version, [...(byVersion.get(version) ?? []), at - began]);
  const sizes = [...byVersion.values()].map((times) => `${times.length} by ${ms(Math.max(...times))}`);
  progress(`waves confirmed in ${ms(took)}: ${sizes.join(", ")}`);
  return judge({
    ...{ name: "fleet-1000-waves-confirmed", unit: "s", ours: [took / 1000], theirs: [], peerName: null },
    goal: { kind: "absolute", comparison: "<=", bound: 15 },
  });
}

/** The controller is killed; when it is back, everybody comes at once. */
async function comeBack(
  controller: FleetController,
  agents: SimulatedFleet,
): Promise<readonly BenchResult[]> {
  await controller.stop("SIGKILL");
  const killed = monotonicMs();
  await controller.serve();
  const serving = monotonicMs();
  await agents.untilInSync(2);
  const synced = monotonicMs();
  progress(`back after ${ms(serving - killed)}, all in sync ${ms(synced - serving)} later`);
  return [
    judge({
      ...{ name: "fleet-1000-reconnect", unit: "s", ours: [(synced - killed) / 1000] },
      ...{ theirs: [(serving - killed) / 1000], peerName: "the controller's start" },
      goal: { kind: "absolute", comparison: "<=", bound: 30 },
    }),
  ];
}

/** What the controller spends on 1,000 sessions in which nothing happens: CPU for each millisecond. */
async function idlePerMs(controller: FleetController): Promise<number> {
  await delay(2_000);
  const [cpu, began] = [await controller.cpuMs(), monotonicMs()];
  await delay(idleMs);
  const share = ((await controller.cpuMs()) - cpu) / (monotonicMs() - began);
  progress(`idle with 1,000 sessions: ${(share * 100).toFixed(1)} % of a core`);
  return share;
}

function percentile(values: readonly number[], percent: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil((sorted.length * percent) / 100) - 1)] ?? Number.NaN;
}

function ms(value: number): string {
  return `${value.toFixed(0)} ms`;
}

function seconds(value: number): string {
  return `${(value / 1000).toFixed(1)} s`;
}

function progress(words: string): void {
  process.stderr.write(`  ${words}\n`);
}
