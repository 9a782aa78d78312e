import { type Command, exitCode } from "@antenna/sdk/command-line";
import { askController, dataDirOption, jsonOption } from "../locate.js";
import { readRevision } from "./revision-argument.js";

export const policyShow: Command = {
  name: "policy show",
  summary: "a revision of the label policy, as it was written",
  about:
    "The text of a revision, byte for byte as it was applied; without a number, of the one in force (one in waves is not yet).",
  options: { "data-dir": dataDirOption, json: jsonOption },
  positionals: [{ name: "REVISION", about: "as `policy history` shows it", required: false }],
  examples: [["antenna-controller policy show 3 > shop.yaml", "take an older text up again"]],
  run: async (invocation) => {
    const revision = readRevision(invocation.positionals[0]);
    const document = await askController<{ readonly revision: number; readonly text: string }>(invocation, {
      method: "policy-show",
      params: { revision },
    });
    await invocation.terminal.out(
      invocation.has("json") ? `${JSON.stringify(document, null, 2)}\n` : document.text,
    );
    return exitCode.done;
  },
};
