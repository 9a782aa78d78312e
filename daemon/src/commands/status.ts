import { type Colour, type Command, exitCode, type Terminal, table } from "@antenna/sdk/command-line";
import type { StatusDocument, Usage } from "../documents.js";
import { askDaemon } from "../locate.js";
import { configOption, jsonOption, stateDirOption, workloadOption } from "../options.js";

export const status: Command = {
  name: "status",
  summary: "mode, policy version, state, link, drift, budget against use, problems",
  about: `Asks the daemon how it stands. \`state\` is one of starting, settling, applying, in-sync, degraded, rolled-back,
suspended and idle; every problem that stands is listed. Exit code 4 when no daemon answers.`,
  options: { json: jsonOption, workload: workloadOption, "state-dir": stateDirOption, config: configOption },
  positionals: [],
  examples: [
    ["antenna status", "how does the agent of this host stand"],
    ["antenna status --json | jq -r .state", "the same for a script"],
    ["antenna status --state-dir /run/antenna-web1", "of the second agent on this machine"],
  ],
  run: async (invocation) => {
    const params = { workload: invocation.text("workload") };
    const document = (await askDaemon(invocation, { method: "status", params })) as StatusDocument;
    const { terminal } = invocation;
    await terminal.out(
      invocation.has("json") ? `${JSON.stringify(document)}\n` : formatStatus(document, terminal),
    );
    return exitCode.done;
  },
};

const stateColours: Readonly<Record<string, Colour>> = {
  "in-sync": "green",
  idle: "green",
  degraded: "red",
  "rolled-back": "red",
};

/** The document for people. */
export function formatStatus(document: StatusDocument, terminal: Pick<Terminal, "paint">): string {
  const { budget, daemon, drift } = document;
  const facts: (readonly [string, string])[] = [
    ["workload", document.workload],
    ["state", terminal.paint(stateColours[document.state] ?? "yellow", document.state)],
    ["mode", document.mode ?? "none: no policy yet"],
    [
      "policy",
      document.policyVersion === null ? "none" : `${document.policyVersion}  ${document.policyDigest ?? ""}`,
    ],
    ["visibility", visibility(document)],
    ["link", link(document, terminal)],
    [
      "drift",
      drift.last === null ? `${drift.repairs} repairs` : `${drift.repairs} repairs, last ${drift.last.time}`,
    ],
    ["cpu", usage(budget.cpuPercent, "% of a core")],
    ["memory", usage(budget.memoryMiB, "MiB")],
    ["disk", usage(budget.diskMiB, "MiB")],
    ["losses", `${document.losses.events} events, ${document.losses.summaries} summaries`],
    ["daemon", `pid ${daemon.pid}, version ${daemon.version}, up ${Math.round(daemon.uptimeSeconds)} s`],
  ];
  const points = document.points.map((point) => [
    point.name,
    point.state +
      (point.settlesInMs === null ? "" : ` (dropping begins in ${Math.ceil(point.settlesInMs / 1_000)} s)`),
    point.mode ?? "-",
    point.policyVersion ?? "-",
    point.filter.mechanism,
    intervals(point.filter.intervals),
    String(point.flowsCut),
  ]);
  const problems = document.problems.map(({ code, message, since }) => [
    terminal.paint("red", code),
    since,
    message,
  ]);
  return [
    table(facts),
    table([["POINT", "STATE", "MODE", "POLICY", "MECHANISM", "CHECKS", "CUT"], ...points]),
    problems.length === 0 ? "no problems\n" : table([["PROBLEM", "SINCE", "WHAT"], ...problems]),
  ].join("\n");
}

const linkColours: Readonly<Record<StatusDocument["link"]["state"], Colour>> = {
  none: "yellow",
  connecting: "yellow",
  connected: "green",
  refused: "red",
  revoked: "red",
};

function link(
  { link: { state, controller, lastSync } }: StatusDocument,
  terminal: Pick<Terminal, "paint">,
): string {
  if (controller === null) return "none: there is no controller";
  const word = terminal.paint(linkColours[state], state === "none" ? "not paired" : state);
  const last = state === "connected" || lastSync === null ? "" : `, connected last ${lastSync}`;
  return `${word}, controller ${controller}${last}`;
}

function visibility(document: StatusDocument): string {
  const { visibility: asked, visibilityInForce: held } = document;
  if (asked === null) return "none";
  return asked === held ? asked : `${held ?? "none"} (asked: ${asked})`;
}

function usage({ used, limit }: Usage, unit: string): string {
  return `${used} of ${limit} ${unit}`;
}

function intervals(given: StatusDocument["points"][number]["filter"]["intervals"]): string {
  const rules = given.rulesMs === null ? "rules notified" : `rules ${given.rulesMs / 1_000} s`;
  return `${rules}, counts ${given.countsMs / 1_000} s, members ${given.membersMs / 1_000} s`;
}
