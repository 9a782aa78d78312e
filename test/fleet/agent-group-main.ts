import { setTimeout as delay } from "node:timers/promises";
import { formatVersion, parseAddress } from "@antenna/sdk";
import {
  type AgentPlan,
  type AgentState,
  type GroupAnswers,
  type GroupRequest,
  monotonicMs,
  type NotedPolicy,
  type NumberedAnswer,
  type NumberedRequest,
} from "./group-protocol.js";
import { SimulatedAgent, type TakenPolicy } from "./simulated-agent.js";

// A process of simulated agents: the program of AgentGroup.

const agents = new Map<string, { readonly agent: SimulatedAgent; readonly plan: AgentPlan }>();
const faults: string[] = [];
const mostFaults = 20;
const pollMs = 2;
/** null: nothing is watched; its address null: every policy is noted. */
let watched: { readonly address: ReturnType<typeof parseAddress> | null } | null = null;
const noted = new Map<string, NotedPolicy>();

process.on("message", (message: NumberedRequest) => {
  const { id, request } = message;
  carryOut(request).then(
    (value) => answer({ id, value }),
    (reason: unknown) => answer({ id, problem: reason instanceof Error ? reason.message : String(reason) }),
  );
});
process.on("disconnect", () => process.exit(0));

function answer(message: NumberedAnswer): void {
  process.send?.(message);
}

async function carryOut(request: GroupRequest): Promise<GroupAnswers[keyof GroupAnswers]> {
  switch (request.method) {
    case "add":
      for (const plan of request.agents) add(plan, request.port);
      return null;
    case "pair":
      return pairAll(request.atOnce);
    case "start":
      return startAll();
    case "watch":
      noted.clear();
      watched = { address: request.address === null ? null : parseAddress(request.address) };
      return null;
    case "noted":
      return untilNoted(request);
    case "states":
      return { agents: [...agents.values()].map(({ agent }) => stateOf(agent)), faults };
    case "stop":
      for (const { agent } of agents.values()) agent.stop();
      return null;
  }
}

function add(plan: AgentPlan, port: number): void {
  const { name, addresses } = plan;
  const agent = new SimulatedAgent({
    ...{ name, port, addresses },
    onPolicy: (taken) => note(name, taken),
    onFault: (words) => {
      if (faults.length < mostFaults) faults.push(words);
    },
  });
  agents.set(name, { agent, plan });
}

function note(name: string, { policy, version, probation }: TakenPolicy): void {
  if (watched === null || noted.has(name)) return;
  const { address } = watched;
  if (address !== null && ![...policy.sets.values()].some((set) => set.has(address))) return;
  noted.set(name, { name, at: monotonicMs(), version: formatVersion(version), probation });
}

async function pairAll(atOnce: number): Promise<null> {
  const waiting = [...agents.values()].filter(({ agent }) => agent.workload === "");
  const pairNext = async (): Promise<void> => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop())
      await next.agent.pair(next.plan.key);
  };
  await Promise.all(Array.from({ length: atOnce }, pairNext));
  return null;
}

async function startAll(): Promise<null> {
  for (const { agent } of agents.values()) if (agent.welcomes === 0) agent.start();
  while ([...agents.values()].some(({ agent }) => !agent.isConnected)) await delay(10);
  return null;
}

async function untilNoted({
  prefix,
  count,
  patienceMs,
}: Extract<GroupRequest, { method: "noted" }>): Promise<readonly NotedPolicy[]> {
  const deadline = monotonicMs() + patienceMs;
  for (;;) {
    const found = [...noted.values()].filter(({ name }) => name.startsWith(prefix));
    if (found.length >= count) return found;
    if (monotonicMs() > deadline)
      throw new Error(`${found.length} of ${count} agents ${prefix}* got their policy in ${patienceMs} ms`);
    await delay(pollMs);
  }
}

function stateOf(agent: SimulatedAgent): AgentState {
  const { name, workload, isConnected, welcomes, current, applied } = agent;
  return {
    ...{ name, workload, isConnected, welcomes },
    version: current === null ? null : formatVersion(current.version),
    digest: current?.digest ?? null,
    isApplied: current !== null && current === applied,
  };
}
