import { type Command, count, exitCode, table } from "@antenna/sdk/command-line";
import type { HistoryDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";

export const policyHistory: Command = {
  name: "policy history",
  summary: "revisions of the label policy",
  about: "Every revision, newest first: when it was applied, and what became of it.",
  options: { "data-dir": dataDirOption, json: jsonOption },
  positionals: [],
  examples: [["antenna-controller policy history", "what was in force when"]],
  run: async (invocation) => {
    const document = await askController<HistoryDocument>(invocation, { method: "policy-history" });
    await show(invocation, document, ({ revisions }) =>
      revisions.length === 0
        ? "no revisions; `antenna-controller policy apply FILE` makes the first\n"
        : `${table([
            ["REVISION", "TIME", "STATE", "REPEATS"],
            ...revisions.map(({ revision, time, state, of }) => [
              String(revision),
              time,
              state,
              of === null ? "" : String(of),
            ]),
          ])}${gone(revisions)}`,
    );
    return exitCode.done;
  },
};

/** Revisions are numbered from 1, without gaps. */
function gone(kept: HistoryDocument["revisions"]): string {
  const newest = Math.max(...kept.map(({ revision }) => revision));
  const pruned = newest - kept.length;
  return pruned === 0
    ? ""
    : `${count(pruned, "older one was", "older ones were")} deleted to stay within bounds\n`;
}
