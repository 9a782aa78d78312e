import { type Command, exitCode } from "@antenna/sdk/command-line";
import type { AppliedDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";
import { openPolicyFile, policyFileArgument } from "./policy-file.js";

/** Waves wait for agents: each may take its window, and offline ones are not waited for. */
const waitMs = 24 * 3_600_000;

export const policyApply: Command = {
  name: "policy apply",
  summary: "make a label policy the next revision",
  about: `Checks the whole file, stores it as the next revision and sends it out in waves: one workload in an enforcing mode, then a
tenth, then all. Ends when it is stored; with \`--wait\` when all waves have confirmed it. If a workload rolls it back, the revision
is withdrawn and everybody gets the last good content. A bad file changes nothing.`,
  options: {
    wait: { type: "boolean", about: "end when all waves have confirmed; 1 when it was withdrawn" },
    "data-dir": dataDirOption,
    json: jsonOption,
  },
  positionals: [policyFileArgument],
  examples: [
    ["antenna-controller policy apply shop.yaml --wait", "roll it out and hear how it went"],
    ["antenna-controller policy preview shop.yaml", "look first"],
  ],
  run: async (invocation) => {
    const [file] = invocation.positionals;
    const wait = invocation.has("wait");
    const body = await openPolicyFile(file, invocation.terminal.stdin);
    const applied = await askController<AppliedDocument>(invocation, { method: "policy-apply", body });
    const document = wait
      ? await askController<AppliedDocument>(invocation, {
          method: "policy-wait",
          params: { revision: applied.revision },
          patienceMs: waitMs,
        })
      : applied;
    await show(invocation, document, ({ revision, state }) => `revision ${revision}: ${state}\n`);
    const failed = wait && document.state !== "in-force";
    if (failed && !invocation.has("json"))
      invocation.terminal.err("see `antenna-controller events` for who refused it and why\n");
    return failed ? exitCode.failed : exitCode.done;
  },
};
