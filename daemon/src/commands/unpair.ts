import { resolve } from "node:path";
import { unpair as unpairHost } from "@antenna/sdk";
import { type Command, exitCode } from "@antenna/sdk/command-line";
import { findStateDir } from "../locate.js";
import { configOption, stateDirOption } from "../options.js";

export const unpair: Command = {
  name: "unpair",
  summary: "give this host's identity up; the policy in force stays",
  about: `Deletes the identity that \`antenna pair\` got. A daemon that runs ends its connection at once, and goes on enforcing the
policy that it has, across restarts too, until it is paired again; \`antenna purge\` takes the policy out. The private key
stays, so that pairing again with the same controller gives the same workload. The controller is not told:
\`antenna-controller workload revoke\` ends the identity there.`,
  options: { "state-dir": stateDirOption, config: configOption },
  positionals: [],
  examples: [["antenna unpair", "before this host moves to another controller"]],
  run: async (invocation) => {
    const workload = await unpairHost({ stateDir: resolve(await findStateDir(invocation)) });
    await invocation.terminal.out(
      workload === null
        ? "this host was not paired\n"
        : `this host was ${workload}, and is nobody now; the policy in force stays until it is paired again, or until \`antenna purge\`\n`,
    );
    return exitCode.done;
  },
};
