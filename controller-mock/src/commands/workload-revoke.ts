import { type Command, exitCode } from "@antenna/sdk/command-line";
import type { WorkloadDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";

export const workloadRevoke: Command = {
  name: "workload revoke",
  summary: "end a workload's identity: its addresses leave the sets",
  about: `Its certificates are good for nothing from now on, and its addresses leave the sets of its peers. It stays listed as
\`revoked\`; its agent goes on enforcing what it has, and may pair again with a key that is still good.`,
  options: { "data-dir": dataDirOption, json: jsonOption },
  positionals: [{ name: "ID", about: "id or name of the workload", required: true }],
  examples: [["antenna-controller workload revoke w-8f2c", "end this identity"]],
  run: async (invocation) => {
    const [id] = invocation.positionals;
    const document = await askController<WorkloadDocument>(invocation, {
      method: "workload-revoke",
      params: { id },
    });
    await show(invocation, document, ({ name, id: revoked }) => `${name} (${revoked}) is revoked\n`);
    return exitCode.done;
  },
};
