import { type Command, exitCode, table, UsageError } from "@antenna/sdk/command-line";
import type { EventDocument, EventsDocument } from "../documents.js";
import { askController, dataDirOption, jsonOption, show } from "../locate.js";

export const events: Command = {
  name: "events",
  summary: "what happened, newest first",
  about: `Pairings, connections, addresses withheld, policies refused or rolled back, clones… newest first. With \`--follow\` new ones
are printed as they come, the oldest first; with \`--json\` too: one event a line.`,
  options: {
    follow: { type: "boolean", about: "go on with what comes, until interrupted" },
    limit: { type: "string", value: "N", about: "at most so many (default 100)" },
    "data-dir": dataDirOption,
    json: jsonOption,
  },
  positionals: [],
  examples: [
    ["antenna-controller events --limit 20", "the last twenty"],
    ["antenna-controller events --follow", "watch the fleet"],
  ],
  run: async (invocation) => {
    const limit = invocation.text("limit") ?? "100";
    if (!/^\d{1,6}$/.test(limit))
      throw new UsageError(`--limit ${JSON.stringify(limit)} is not a number up to 999999`);
    const { terminal } = invocation;
    if (!invocation.has("follow")) {
      const document = await askController<EventsDocument>(invocation, {
        method: "events",
        params: { limit: Number(limit) },
      });
      await show(invocation, document, people);
      return exitCode.done;
    }
    const json = invocation.has("json");
    let rest = "";
    const onText = async (text: string): Promise<void> => {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) await terminal.out(json ? `${line}\n` : table([row(JSON.parse(line))]));
    };
    try {
      // Its silence is no fault: nothing may happen for days.
      await askController(invocation, {
        method: "events-follow",
        params: { limit: Number(limit) },
        onText,
        patienceMs: 2 ** 31 - 1,
      });
    } catch (error) {
      if (!invocation.signal.aborted) throw error;
    }
    return exitCode.done;
  },
};

function people({ events: found, pruned }: EventsDocument): string {
  const older = pruned === 0 ? "" : `${pruned} older events were deleted to stay within bounds\n`;
  return `${table(found.map(row))}${older}`;
}

function row({ time, type, workload, address, message }: EventDocument): readonly string[] {
  return [time, type, [workload, address].filter((part) => part !== null).join(" "), message];
}
