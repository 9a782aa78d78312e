import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { AntennaError } from "@antenna/sdk";
import { type Command, count, exitCode, table } from "@antenna/sdk/command-line";
import { largestBody } from "@antenna/sdk/control-socket";
import type { PolicyPreviewDocument } from "../documents.js";
import { askDaemon } from "../locate.js";
import { configOption, jsonOption, stateDirOption } from "../options.js";

export const policyPreview: Command = {
  name: "policy preview",
  summary: "what a policy file would change and cut",
  about: `Compares a policy with the one in force: sets, rules, and the connections of this moment that it would cut.
Nothing is changed. Flows that are closing already don't count. Exit code 3 when the policy is refused.`,
  options: {
    json: jsonOption,
    all: { type: "boolean", about: "every flow that would be cut, not only 20" },
    "state-dir": stateDirOption,
    config: configOption,
  },
  positionals: [{ name: "FILE", about: "the policy, YAML or JSON; - reads stdin", required: true }],
  examples: [
    ["antenna policy preview new.yaml", "whom would this policy cut off"],
    ["antenna policy preview --all --json new.yaml", "every one of them, for a script"],
  ],
  run: async (invocation) => {
    const [file = "-"] = invocation.positionals;
    const { terminal } = invocation;
    const body = file === "-" ? terminal.stdin : await openPolicy(file);
    const document = (await askDaemon(invocation, {
      method: "policy-preview",
      params: { all: invocation.has("all"), streamed: true },
      body,
    })) as PolicyPreviewDocument;
    await terminal.out(invocation.has("json") ? `${JSON.stringify(document)}\n` : formatPreview(document));
    return exitCode.done;
  },
};

/** Refused by its kind or size before it is read, as by `policy check`; what it holds is judged by the daemon. */
async function openPolicy(file: string): Promise<AsyncIterable<Uint8Array>> {
  try {
    // Without O_NONBLOCK the opening of a pipe that nobody writes to never ends.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const status = await handle.stat();
    if (status.isFile() && status.size <= largestBody) return handle.createReadStream();
    await handle.close();
    const kind = status.isDirectory() ? "a directory" : "a device, a pipe or a socket";
    throw refused(
      file,
      status.isFile()
        ? `larger than ${largestBody} bytes, the most that a policy may have`
        : `is ${kind}, not a file`,
    );
  } catch (reason) {
    if (reason instanceof AntennaError) throw reason;
    const code = reason instanceof Error && "code" in reason ? reason.code : null;
    if (code === "ENOENT" || code === "ENOTDIR") throw refused(file, "there is no such file");
    const detail = reason instanceof Error ? reason.message : String(reason);
    const message = `the policy can't be read (${detail})`;
    const isDenied = code === "EACCES" || code === "EPERM";
    throw new AntennaError({
      code: isDenied ? "not-permitted" : "storage",
      operation: `read ${file}`,
      message,
      detail,
      cause: reason,
    });
  }
}

function refused(file: string, problem: string): AntennaError {
  const problems = [{ path: "", problem }];
  return new AntennaError({ code: "input-refused", operation: `read ${file}`, message: problem, problems });
}

export function formatPreview(document: PolicyPreviewDocument): string {
  const { cuts, cost, rules, sets } = document;
  const changed = [
    ...Object.entries(sets).map(([name, { added, removed }]) => [
      "set",
      name,
      `+${added} -${removed} members`,
    ]),
    ...rules.added.map((id) => ["rule", id, "added"]),
    ...rules.removed.map((id) => ["rule", id, "removed"]),
    ...rules.changed.map((id) => ["rule", id, "changed"]),
  ];
  const examples = cuts.examples.map((flow) => [
    flow.direction,
    flow.protocol,
    endpoint(flow.source, flow.sourcePort),
    endpoint(flow.destination, flow.port),
    flow.rule ?? "-",
  ]);
  const sure = cuts.complete ? "" : " or more: the table could not be read to its end";
  return [
    `from ${document.from ?? "no policy"} to ${document.to}`,
    changed.length === 0 ? "no rule and no set changes" : table(changed).trimEnd(),
    `would cut ${count(cuts.flows, "flow")}${sure}`,
    ...(examples.length === 0
      ? []
      : [table([["DIRECTION", "PROTOCOL", "FROM", "TO", "ALLOWED NOW BY"], ...examples]).trimEnd()]),
    `cost: ${count(cost.rules, "rule")}, ${count(cost.members, "member")}, about ${cost.applyMs} ms to apply`,
    "",
  ].join("\n");
}

function endpoint(address: string, port: number | null): string {
  if (port === null) return address;
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}
