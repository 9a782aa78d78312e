import { type Command, exitCode, UsageError } from "@antenna/sdk/command-line";
import type { WorkloadDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";
import { readLabels } from "./label-arguments.js";
import { labelText } from "./label-text.js";

export const workloadLabel: Command = {
  name: "workload label",
  summary: "set and remove labels of a workload",
  about:
    "KEY=VALUE sets a label, KEY- removes one. Policies follow at once, on the workload itself and on its peers.",
  options: { "data-dir": dataDirOption, json: jsonOption },
  positionals: [
    { name: "ID", about: "id or name of the workload", required: true },
    { name: "LABEL", about: "KEY=VALUE, or KEY- to remove it", required: true, repeats: true },
  ],
  examples: [
    ["antenna-controller workload label w-8f2c role=db old-", "make it a database, drop the label `old`"],
  ],
  run: async (invocation) => {
    const [id, ...words] = invocation.positionals;
    const { set, removed } = readLabels(words);
    if (words.length === 0) throw new UsageError("LABEL is missing");
    const params = { id, set, removed };
    const document = await askController<WorkloadDocument>(invocation, { method: "workload-label", params });
    await show(invocation, document, ({ name, labels }) => `${name}: ${labelText(labels)}\n`);
    return exitCode.done;
  },
};
