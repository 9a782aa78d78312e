import { execFile } from "node:child_process";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { LinkLab } from "../e2e/link-lab.js";
import type { Workload } from "../lab/workload.js";
import { hostAddress } from "./policies.js";
import { cpuTicks, statusKiB, ticksPerSecond } from "./process-figures.js";
import { type BenchResult, judge } from "./result.js";

const run = promisify(execFile);
const idleMs = 180_000;
/** Some 10 s after the last work V8 collects garbage in two rounds, and then no more. */
const restMs = 20_000;
const memorySamples = 5;

/** What the daemon costs with a link to a controller, context included: memory with 100,000 members, CPU while idle with 10,000. */
export async function linkFootprint(): Promise<readonly BenchResult[]> {
  return [...(await shares()), ...(await withMembers(100_000, memory)), ...(await withMembers(10_000, idle))];
}

async function withMembers(
  members: number,
  measure: (agent: Workload) => Promise<BenchResult>,
): Promise<readonly BenchResult[]> {
  await using lab = await LinkLab.begin();
  await lab.apply(labelPolicy(members));
  const [agent] = await lab.agents([{ name: "bench", number: 10, options: { labels: { role: "web" } } }]);
  if (agent === undefined) throw new Error("no agent was made");
  await lab.inSync(["bench"]);
  await delay(restMs);
  return [await measure(agent)];
}

async function memory({ daemonPid }: Workload): Promise<BenchResult> {
  const resident: number[] = [];
  while (resident.length < memorySamples) {
    resident.push((await statusKiB(daemonPid, "VmRSS")) / 1024);
    await delay(2_000);
  }
  const peak = (await statusKiB(daemonPid, "VmHWM")) / 1024;
  return judge({
    ...{ name: "link-rss-holding-100k", unit: "MiB", ours: resident, theirs: [peak], peerName: "its peak" },
    goal: { kind: "absolute", comparison: "<=", bound: 84 },
  });
}

async function idle({ daemonPid }: Workload): Promise<BenchResult> {
  const before = await cpuTicks(daemonPid);
  await delay(idleMs);
  const percent = (((await cpuTicks(daemonPid)) - before) / ticksPerSecond / (idleMs / 1000)) * 100;
  return judge({
    ...{ name: "link-idle-cpu-10k", unit: "% of a core", ours: [percent], theirs: [], peerName: null },
    goal: { kind: "absolute", comparison: "<=", bound: 0.25 },
  });
}

/** Everybody in the list may reach every workload. */
function labelPolicy(members: number): string {
  const list = Array.from({ length: members }, (_, at) => hostAddress(at));
  return JSON.stringify({
    services: { http: [{ protocol: "tcp", ports: [8080] }] },
    ipLists: { clients: list },
    rulesets: [{ name: "bench", rules: [{ from: { ipList: "clients" }, to: {}, services: ["http"] }] }],
    enforcement: [{ match: {}, mode: "full", visibility: "off" }],
  });
}

/** What each dependency adds to a bare node, alone: resident memory after a collection, in MiB. */
const dependencies: readonly (readonly [string, readonly string[]])[] = [
  ["grpc-js", ["@grpc/grpc-js"]],
  ["protobufjs", ["@antenna/sdk/internal/protocol/codec/session-request.js"]],
  ["node-cron", ["@antenna/host/internal/periodic-task.js"]],
  ["pino", ["pino"]],
  ["sdk-with-link", ["@antenna/sdk"]],
];

async function shares(): Promise<readonly BenchResult[]> {
  const results: BenchResult[] = [];
  for (const [name, modules] of dependencies) {
    const [bare, loaded]: [number[], number[]] = [[], []];
    for (let round = 0; round < memorySamples; round++) {
      bare.push(await residentWith([]));
      loaded.push(await residentWith(modules));
    }
    results.push(
      judge({
        ...{ name: `link-share-${name}`, unit: "MiB", ours: loaded, theirs: bare, peerName: "bare Node" },
        goal: { kind: "absolute", comparison: "<=", bound: 84 },
      }),
    );
  }
  return results;
}

async function residentWith(modules: readonly string[]): Promise<number> {
  const script = `${modules.map((name) => `await import(${JSON.stringify(name)});`).join(" ")} gc(); console.log(process.memoryUsage.rss() / 1048576);`;
  const args = ["--conditions=in-repo", "--expose-gc", "--input-type=module", "-e", script];
  return Number((await run(process.execPath, args, { cwd: import.meta.dirname })).stdout);
}
