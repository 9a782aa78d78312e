import { type Command, exitCode } from "@antenna/sdk/command-line";
import type { AppliedDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";
import { readRevision } from "./revision-argument.js";

export const policyRollback: Command = {
  name: "policy rollback",
  summary: "make the content of an older revision a new one",
  about: "Versions only rise: the old content goes out as a new revision, in waves like any other.",
  options: { "data-dir": dataDirOption, json: jsonOption },
  positionals: [{ name: "REVISION", about: "as `policy history` shows it", required: true }],
  examples: [["antenna-controller policy rollback 2", "back to what revision 2 said"]],
  run: async (invocation) => {
    const of = readRevision(invocation.positionals[0]);
    const document = await askController<AppliedDocument>(invocation, {
      method: "policy-rollback",
      params: { revision: of },
    });
    await show(
      invocation,
      document,
      ({ revision, state }) => `revision ${revision} repeats ${of}: ${state}\n`,
    );
    return exitCode.done;
  },
};
