import { type Command, exitCode, UsageError } from "@antenna/sdk/command-line";
import type { EpochDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";

export const policyEpoch: Command = {
  name: "policy epoch",
  summary: "raise the epoch, after a restore from an older backup",
  about: `Agents refuse versions lower than those they had. A controller that was restored from an older backup therefore issues
nothing to them until you raise the epoch: then everything it says is newer than anything said before. Do this once you are sure that the
restored content is what you want.`,
  options: {
    raise: { type: "boolean", about: "do it" },
    "data-dir": dataDirOption,
    json: jsonOption,
  },
  positionals: [],
  examples: [["antenna-controller policy epoch --raise", "the restored content is what I want"]],
  run: async (invocation) => {
    if (!invocation.has("raise")) throw new UsageError("nothing is done without --raise");
    const document = await askController<EpochDocument>(invocation, { method: "policy-epoch-raise" });
    await show(invocation, document, ({ epoch }) => `the epoch is ${epoch} now\n`);
    return exitCode.done;
  },
};
