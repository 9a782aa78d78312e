import { execFile } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { createNamespace } from "../lab/namespace.js";
import { Workload } from "../lab/workload.js";
import { hostAddress, oneSetPolicy } from "./policies.js";
import { cpuTicks, statusKiB, ticksPerSecond } from "./process-figures.js";
import { type BenchResult, judge } from "./result.js";

const run = promisify(execFile);
const port = 8080;
const idleMs = 180_000;
/** Some 10 s after the last work V8 collects garbage in two rounds, 70 ms together, and then no more. */
const restMs = 20_000;

/** What the daemon itself costs: memory while it works and while it holds, CPU while nothing happens. */
export async function footprint(): Promise<readonly BenchResult[]> {
  const results: BenchResult[] = [];
  for (const members of [100_000, 500_000]) results.push(...(await memory(members)));
  results.push(...(await Promise.all([idle(10_000, 0.2), idle(100_000, 0.4)])));
  return results;
}

async function withDaemon<Result>(
  members: number,
  use: (workload: Workload, pid: number) => Promise<Result>,
): Promise<Result> {
  const folder = await mkdtemp(join(tmpdir(), "antenna-bench-"));
  await using namespace = await createNamespace();
  const workload = new Workload("bench", "127.0.0.1", [], namespace, folder);
  try {
    await workload.writePolicy(oneSetPolicy(members, port));
    await workload.startDaemon(["--settle", "0s"]);
    return await use(workload, workload.daemonPid);
  } finally {
    await workload[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  }
}

async function memory(members: number): Promise<readonly BenchResult[]> {
  const bare = await bareNode();
  return withDaemon(members, async (workload, pid) => {
    const children = watchChildren(pid);
    await writeFile(`${workload.policyFile}.next`, oneSetPolicy(members, port, [], 1), { mode: 0o600 });
    const before = (await workload.status()).policyDigest;
    await workload.swapPolicy(`${workload.policyFile}.next`);
    await workload.until(
      "the replaced policy",
      (status) => status.policyDigest !== before && status.state === "in-sync",
    );
    const peak = (await statusKiB(pid, "VmHWM")) / 1024 + (await children.stop());
    if (members <= 100_000) await changeOneByOne(workload, members);
    await delay(15_000);
    const held = (await statusKiB(pid, "VmRSS")) / 1024;
    const thousand = `${members / 1000}k`;
    const peer = { theirs: [bare], peerName: "bare Node" };
    const rows = [
      judge({
        ...{ name: `peak-${thousand}-read-apply-replace`, unit: "MiB", ours: [peak], ...peer },
        goal: { kind: "absolute", comparison: "<=", bound: 96 },
      }),
    ];
    if (members <= 100_000) {
      rows.push(
        judge({
          ...{ name: `rss-holding-${thousand}`, unit: "MiB", ours: [held], ...peer },
          goal: { kind: "absolute", comparison: "<=", bound: 72 },
        }),
      );
    }
    return rows;
  });
}

/** 200 changes of one member, by the file. */
async function changeOneByOne(workload: Workload, members: number): Promise<void> {
  for (let change = 0; change < 200; change++) {
    const applied = (await workload.logged("policy in force")).length;
    await workload.writePolicy(oneSetPolicy(members, port, [hostAddress(0x800000 + change)], 1));
    while ((await workload.logged("policy in force")).length === applied) await delay(10);
  }
}

function idle(members: number, bound: number): Promise<BenchResult> {
  return withDaemon(members, async (_workload, pid) => {
    await delay(restMs);
    const before = await cpuTicks(pid);
    await delay(idleMs);
    const percent = (((await cpuTicks(pid)) - before) / ticksPerSecond / (idleMs / 1000)) * 100;
    return judge({
      ...{
        name: `idle-cpu-${members / 1000}k`,
        unit: "% of a core",
        ours: [percent],
        theirs: [],
        peerName: null,
      },
      goal: { kind: "absolute", comparison: "<=", bound },
    });
  });
}

/** The most that children held at one moment, in MiB, looked at every 5 ms. */
function watchChildren(pid: number): { readonly stop: () => Promise<number> } {
  let running = true;
  let most = 0;
  const done = (async () => {
    while (running) {
      let sum = 0;
      for (const task of await readdir(`/proc/${pid}/task`)) {
        const children = await readFile(`/proc/${pid}/task/${task}/children`, "utf8").catch(() => "");
        for (const child of children.trim().split(" ").filter(Boolean))
          sum += await statusKiB(Number(child), "VmRSS").catch(() => 0);
      }
      most = Math.max(most, sum / 1024);
      await delay(5);
    }
  })();
  return {
    stop: async () => {
      running = false;
      await done;
      return most;
    },
  };
}

async function bareNode(): Promise<number> {
  const script = "console.log(process.memoryUsage.rss() / 1048576)";
  return Number((await run(process.execPath, ["-e", script])).stdout);
}
