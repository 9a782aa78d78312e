import { type Command, exitCode, type Terminal, table } from "@antenna/sdk/command-line";
import type { WorkloadDocument, WorkloadsDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";
import { labelText } from "./label-text.js";

export const workloads: Command = {
  name: "workloads",
  summary: "workloads: labels, addresses, policy version, state",
  about: `What the agents told of their workloads, and how their policy stands. An address that is withheld is in nobody's sets; the
reason stands below the table.`,
  options: { "data-dir": dataDirOption, json: jsonOption },
  positionals: [],
  examples: [["antenna-controller workloads", "the fleet at a glance"]],
  run: async (invocation) => {
    const document = await askController<WorkloadsDocument>(invocation, { method: "workloads" });
    await show(invocation, document, ({ workloads: found }) =>
      found.length === 0
        ? "no workloads; `antenna-controller key create` makes a key, `antenna pair` on a host uses it\n"
        : `${table([
            ["ID", "NAME", "LABELS", "ADDRESSES", "ONLINE", "MODE", "POLICY", "STATE"],
            ...found.map((workload) => row(workload, invocation.terminal)),
          ])}${found.flatMap(remarks).join("")}`,
    );
    return exitCode.done;
  },
};

function row(workload: WorkloadDocument, terminal: Terminal): readonly string[] {
  const { id, name, labels, addresses, online, mode, policyVersion, appliedVersion, state } = workload;
  const admitted = addresses.filter((address) => address.state === "admitted").map(({ address }) => address);
  const withheld = addresses.length - admitted.length;
  const versions =
    policyVersion === appliedVersion ? policyVersion : `${appliedVersion ?? "none"} → ${policyVersion}`;
  return [
    id,
    name,
    labelText(labels),
    `${admitted.join(" ") || "none"}${withheld > 0 ? terminal.paint("yellow", ` (${withheld} withheld)`) : ""}`,
    online ? terminal.paint("green", "yes") : terminal.paint("dim", "no"),
    mode ?? "none",
    versions ?? "none",
    state === null
      ? "unknown"
      : terminal.paint(state === "in-sync" || state === "idle" ? "green" : "yellow", state),
  ];
}

function remarks({ name, addresses, problems }: WorkloadDocument): readonly string[] {
  return [
    ...addresses.flatMap(({ address, reason }) =>
      reason === null ? [] : [`${name}: ${address}: ${reason}\n`],
    ),
    ...problems.map(({ code, message }) => `${name}: ${code}: ${message}\n`),
  ];
}
