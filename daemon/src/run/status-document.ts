import type { AgentStatus } from "@antenna/sdk";
import type { Configuration } from "../config/keys.js";
import type { BudgetDocument, StatusDocument } from "../documents.js";
import type { Problems } from "./problems.js";
import type { UsageMeter } from "./usage.js";

export interface StatusFacts {
  /** null while the agent is still opening. */
  readonly agent: AgentStatus | null;
  readonly problems: Problems;
  readonly meter: UsageMeter | null;
  readonly values: Configuration;
  readonly version: string;
}

/** The document of `antenna status --json`. */
export async function statusDocument(facts: StatusFacts): Promise<StatusDocument> {
  const { agent, problems, values, version } = facts;
  const { stateDir, namespace, policy } = values;
  return {
    ...(agent ?? starting),
    link: { state: "none", controller: null, lastSync: null },
    budget: await budget(facts),
    losses: { events: 0, summaries: 0 },
    problems: problems.with(agent?.problems ?? []),
    daemon: {
      version,
      pid: process.pid,
      uptimeSeconds: Math.round(process.uptime() * 10) / 10,
      stateDir,
      namespace,
      policy,
    },
  };
}

const starting: AgentStatus = {
  workload: "host",
  mode: null,
  visibility: null,
  visibilityInForce: null,
  policyVersion: null,
  policyDigest: null,
  state: "starting",
  points: [],
  drift: { repairs: 0, last: null },
  problems: [],
};

async function budget({ meter, values }: StatusFacts): Promise<BudgetDocument> {
  const [cpuPercent, memoryMiB, diskMiB, cpuSeconds] = await Promise.all([
    meter?.cpuPercent() ?? 0,
    meter?.memoryMiB() ?? 0,
    meter?.diskMiB() ?? 0,
    meter?.cpuSeconds() ?? 0,
  ]);
  return {
    cpuPercent: { used: cpuPercent, limit: values["budget.cpuPercent"] },
    memoryMiB: { used: memoryMiB, limit: values["budget.memoryMiB"] },
    diskMiB: { used: diskMiB, limit: values["budget.diskMiB"] },
    // All that this daemon does is enforcement.
    enforcement: { cpuSeconds },
    level: "full",
  };
}
