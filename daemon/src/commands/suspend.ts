import { type Command, exitCode } from "@antenna/sdk/command-line";
import { askDaemon } from "../locate.js";
import { configOption, jsonOption, stateDirOption } from "../options.js";

export const suspend: Command = {
  name: "suspend",
  summary: "take the rules out until `antenna resume`; survives restarts",
  about: `Takes every rule and set of Antenna's out of the kernel, and keeps it so across restarts and new policies, until
\`antenna resume\`. The policy file is still read; what it says comes into force then.`,
  options: { json: jsonOption, "state-dir": stateDirOption, config: configOption },
  positionals: [],
  examples: [["antenna suspend", "is it Antenna that is in the way? try without"]],
  run: async (invocation) => {
    await askDaemon(invocation, { method: "suspend" });
    if (invocation.has("json")) await invocation.terminal.out(`${JSON.stringify({ state: "suspended" })}\n`);
    else invocation.terminal.err("suspended: nothing is enforced until `antenna resume`\n");
    return exitCode.done;
  },
};
