import { type Command, count, exitCode, table } from "@antenna/sdk/command-line";
import type { FleetPreviewDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";
import { openPolicyFile, policyFileArgument } from "./policy-file.js";

export const policyPreview: Command = {
  name: "policy preview",
  summary: "what a label policy would change and cut, workload by workload",
  about: `Computes every workload's policy anew and asks the agents that are online how many of their flows it would cut. Nothing is
stored, nothing is sent to be enforced.`,
  options: { "data-dir": dataDirOption, json: jsonOption },
  positionals: [policyFileArgument],
  examples: [["antenna-controller policy preview shop.yaml", "before it is applied"]],
  run: async (invocation) => {
    const [file] = invocation.positionals;
    const body = await openPolicyFile(file, invocation.terminal.stdin);
    const document = await askController<FleetPreviewDocument>(invocation, {
      method: "policy-preview",
      body,
    });
    await show(invocation, document, ({ workloads }) =>
      workloads.length === 0
        ? "nothing changes for any workload\n"
        : table([
            ["WORKLOAD", "RULES", "SETS", "CUTS"],
            ...workloads.map(({ name, rules, sets, cuts }) => [
              name,
              `+${rules.added.length} -${rules.removed.length} ~${rules.changed.length}`,
              count(Object.keys(sets).length, "set changes", "sets change"),
              cuts === null ? "offline" : `${count(cuts.flows, "flow")}${cuts.complete ? "" : " at least"}`,
            ]),
          ]),
    );
    return exitCode.done;
  },
};
