import { type Command, exitCode } from "@antenna/sdk/command-line";
import { askDaemon } from "../locate.js";
import { configOption, jsonOption, stateDirOption } from "../options.js";

export const resume: Command = {
  name: "resume",
  summary: "enforce again after `antenna suspend`",
  about: `Puts the policy back into force. Tracking settles first (\`settle\`, 30 s): meanwhile nothing is dropped, so that no
connection that the policy allows is cut.`,
  options: { json: jsonOption, "state-dir": stateDirOption, config: configOption },
  positionals: [],
  examples: [["antenna resume", "enforce again"]],
  run: async (invocation) => {
    const result = (await askDaemon(invocation, { method: "resume" })) as { readonly state: string };
    if (invocation.has("json")) await invocation.terminal.out(`${JSON.stringify(result)}\n`);
    else invocation.terminal.err(`resumed: the state is ${result.state}\n`);
    return exitCode.done;
  },
};
