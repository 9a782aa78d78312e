import type { Workload } from "./workload.js";

/** One line an agent, for people. */
export async function statusView(agents: readonly Workload[]): Promise<string> {
  const head = ["host", "mode", "state", "version", "repairs", "RSS MiB", "CPU %", "problems"];
  const rows = await Promise.all(
    agents.map(async (agent) => {
      const status = await agent.status().catch(() => null);
      if (status === null) return [agent.name, "-", "no daemon answers", "-", "-", "-", "-", "-"];
      return [
        agent.name,
        status.mode ?? "-",
        status.state,
        status.policyVersion ?? "-",
        String(status.drift.repairs),
        status.budget.memoryMiB.used.toFixed(0),
        status.budget.cpuPercent.used.toFixed(2),
        status.problems.map((problem) => problem.code).join(", ") || "none",
      ];
    }),
  );
  const widths = head.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]?.length ?? 0)),
  );
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, column) => cell.padEnd((widths[column] ?? 0) + 2))
        .join("")
        .trimEnd(),
    )
    .join("\n")
    .concat("\n");
}
