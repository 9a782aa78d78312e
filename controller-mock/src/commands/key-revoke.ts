import { type Command, exitCode } from "@antenna/sdk/command-line";
import type { KeyDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";

export const keyRevoke: Command = {
  name: "key revoke",
  summary: "a pairing key pairs nobody any more",
  about: "Ends a pairing key. The workloads that it paired stay; `workload revoke` ends one of them.",
  options: { "data-dir": dataDirOption, json: jsonOption },
  positionals: [{ name: "ID", about: "as `key list` shows it", required: true }],
  examples: [["antenna-controller key revoke 4f1c0a9be2d37765", "end this key"]],
  run: async (invocation) => {
    const [id] = invocation.positionals;
    const document = await askController<KeyDocument>(invocation, { method: "key-revoke", params: { id } });
    await show(
      invocation,
      document,
      (key) => `${key.id} is revoked; ${key.used} of ${key.uses} uses were taken\n`,
    );
    return exitCode.done;
  },
};
