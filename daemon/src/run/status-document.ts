import type { AgentStatus } from "@antenna/sdk";
import type { Configuration } from "../config/keys.js";
import type { BudgetDocument, StatusDocument, StatusProblem } from "../documents.js";
import type { Problems } from "./problems.js";
import type { UsageMeter } from "./usage.js";

export interface StatusFacts {
  /** null while the agent is still opening. */
  readonly agent: AgentStatus | null;
  readonly problems: Problems;
  readonly meter: UsageMeter | null;
  /** What stops the way to the controller, in words; asked only while the link is down. */
  readonly inTheWay: () => Promise<string | null>;
  readonly values: Configuration;
  readonly version: string;
}

/** The document of `antenna status --json`. */
export async function statusDocument(facts: StatusFacts): Promise<StatusDocument> {
  const { agent, problems, values, version } = facts;
  const { stateDir, namespace, policy } = values;
  return {
    ...(agent ?? { ...starting, link: { ...starting.link, controller: values.controller } }),
    budget: await budget(facts),
    losses: { events: 0, summaries: 0 },
    problems: await explainLink(
      problems.with(agent?.problems ?? [], { ofFile: policy !== null }),
      facts.inTheWay,
    ),
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

/** A link that is down for a rule of the owner's says which. */
async function explainLink(
  problems: readonly StatusProblem[],
  inTheWay: StatusFacts["inTheWay"],
): Promise<readonly StatusProblem[]> {
  if (!problems.some(({ code }) => isAboutTheWay(code))) return problems;
  const words = await inTheWay();
  if (words === null) return problems;
  return problems.map((problem) =>
    isAboutTheWay(problem.code) ? { ...problem, message: `${problem.message}; ${words}` } : problem,
  );
}

function isAboutTheWay(code: string): boolean {
  return code === "link-down" || code === "not-paired";
}

const starting: AgentStatus = {
  link: { state: "none", controller: null, lastSync: null },
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
