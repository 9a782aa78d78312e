import {
  AntennaError,
  compile,
  formatVersion,
  membersWithin,
  policyDigest,
  predictCost,
  readPolicyFile,
  readPolicyStream,
  requireAffordable,
} from "@antenna/sdk";
import {
  type Command,
  count,
  exitCode,
  type Invocation,
  printable,
  type Terminal,
} from "@antenna/sdk/command-line";
import { loadConfiguration } from "../config/read.js";
import type { PolicyCheckDocument } from "../documents.js";
import { configOption, jsonOption } from "../options.js";

export const policyCheck: Command = {
  name: "policy check",
  summary: "is a policy file valid, and what does it cost",
  about: `Reads a policy as the daemon would, and tells every problem as \`path: problem\`, one a line on stderr; or its
version, digest and predicted cost, which must lie within this host's budget. Needs neither a daemon nor privileges. Exit code 3 when the policy is refused.`,
  options: { json: jsonOption, config: configOption },
  positionals: [{ name: "FILE", about: "the policy, YAML or JSON; - reads stdin", required: true }],
  examples: [
    ["antenna policy check policy.yaml", "before it is put into force"],
    ["antenna policy --json | antenna policy check -", "the policy in force is a valid one"],
  ],
  run: async (invocation) => {
    const [file = "-"] = invocation.positionals;
    const document = await checkPolicy(file, invocation);
    await show(document, invocation.terminal, invocation.has("json"));
    return document.ok ? exitCode.done : exitCode.inputRefused;
  },
};

async function checkPolicy(file: string, invocation: Invocation): Promise<PolicyCheckDocument> {
  const { environment, signal, terminal } = invocation;
  const { values } = await loadConfiguration({ file: invocation.text("config"), flags: {}, environment });
  const maxMembers = membersWithin(values["budget.memoryMiB"]);
  try {
    const policy =
      file === "-"
        ? await readPolicyStream(terminal.stdin, { signal })
        : await readPolicyFile(file, { signal });
    const cost = predictCost(compile(policy, { maxMembers }));
    requireAffordable(cost, maxMembers);
    return {
      ok: true,
      version: policy.version === null ? null : formatVersion(policy.version),
      digest: policyDigest(policy),
      cost,
      problems: [],
    };
  } catch (reason) {
    if (!(reason instanceof AntennaError) || reason.problems.length === 0) throw reason;
    return { ok: false, version: null, digest: null, cost: null, problems: reason.problems };
  }
}

async function show(document: PolicyCheckDocument, terminal: Terminal, json: boolean): Promise<void> {
  if (json) await terminal.out(`${JSON.stringify(document)}\n`);
  for (const { path, problem } of document.problems) {
    terminal.err(`${printable(path === "" ? problem : `${path}: ${problem}`)}\n`);
  }
  if (json || document.cost === null) return;
  const { rules, members, memoryKiB, applyMs } = document.cost;
  await terminal.out(
    [
      `${terminal.paint("green", "valid")}: version ${document.version ?? "none, the agent counts on"}, ${document.digest}`,
      `cost: ${count(rules, "rule")}, ${count(members, "member")}, ${memoryKiB} KiB, about ${applyMs} ms to apply`,
      "",
    ].join("\n"),
  );
}
