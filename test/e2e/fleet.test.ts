import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { FleetController } from "../fleet/fleet-controller.js";
import { monotonicMs } from "../fleet/group-protocol.js";
import { SimulatedAgent } from "../fleet/simulated-agent.js";
import { SimulatedFleet } from "../fleet/simulated-fleet.js";
import { figures, times, within } from "./link-figures.js";

// The controller's program with a fleet of simulated agents: own key, certificate, connection and session each. `npm run
// bench -- fleet` measures a thousand of them.

const tiers = [
  { tier: "large", count: times(80, 400) },
  { tier: "small", count: 4 },
  { tier: "rest", count: times(36, 596) },
] as const;
const names = tiers.map(({ tier }) => tier);
const [{ count: large }] = tiers;

describe("a fleet", () => {
  let folder = "";
  let controller: FleetController;
  let fleet: SimulatedFleet;
  const newcomers: SimulatedAgent[] = [];

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "antenna-fleet-"));
    controller = await FleetController.start(folder);
    fleet = new SimulatedFleet(controller, 2);
    await controller.apply(SimulatedFleet.policy(names, [8080]));
    await fleet.add(tiers);
    await fleet.pair(8);
  });

  after(async () => {
    for (const agent of newcomers) agent.stop();
    await fleet?.[Symbol.asyncDispose]();
    await controller?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  test("connects all at once, each of them changing the policies of its tier, and comes into sync", async () => {
    const began = monotonicMs();
    await fleet.start();
    await fleet.untilInSync();
    console.log(`${fleet.size} agents in sync after ${Math.round(monotonicMs() - began)} ms`);
    assert.ok(monotonicMs() - began <= 30_000);
  });

  test("is told of a newcomer within 300 ms, and only those that it concerns", async () => {
    const key = await controller.key({ tier: "large" });
    await within(300, async () => {
      const told: number[] = [];
      for (let join = 0; join < times(8, 50); join++) told.push(await joined(key));
      return figures(`a newcomer told to ${large}`, told);
    });
    const listed = await controller.workloads();
    const versions = new Map(listed.map(({ name, policyVersion }) => [name, policyVersion]));
    const rest = new Set([...versions].filter(([name]) => name.startsWith("rest-")).map(([, each]) => each));
    const told = new Set([...versions].filter(([name]) => name.startsWith("large-")).map(([, each]) => each));
    for (const version of told) assert.ok(!rest.has(version), `${version} went to those it does not concern`);
  });

  test("confirms a revision in waves", async () => {
    const revision = await controller.apply(SimulatedFleet.policy(names, [8080, 8081]));
    assert.equal(await controller.settled(revision), "in-force");
  });

  test("loses nothing that was acknowledged when the controller is killed, and comes back at once", async () => {
    const revision = await controller.apply(SimulatedFleet.policy(names, [8080, 8082]));
    await controller.stop("SIGKILL");
    const began = monotonicMs();
    await controller.serve();
    assert.ok((await controller.history()).some((each) => each.revision === revision));
    await fleet.untilInSync(2);
    console.log(`all in sync ${Math.round(monotonicMs() - began)} ms after the controller's start`);
    assert.ok(monotonicMs() - began <= 30_000);
    assert.equal(await controller.settled(revision), "in-force");
  });

  /** From the newcomer's context to the last of its tier that has its address. */
  async function joined(key: string): Promise<number> {
    const address = fleet.nextAddress();
    await fleet.watch(address);
    let contextAt = 0;
    const agent = new SimulatedAgent({
      ...{ name: `newcomer-${newcomers.length}`, port: controller.port, addresses: [address] },
      onContext: () => {
        contextAt = monotonicMs();
      },
    });
    newcomers.push(agent);
    await agent.pair(key);
    agent.start();
    const noted = await fleet.noted("large", large);
    return Math.max(...noted.map(({ at }) => at)) - contextAt;
  }
});
