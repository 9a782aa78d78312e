import { type Command, exitCode, table } from "@antenna/sdk/command-line";
import type { VerifyDocument } from "../documents.js";
import { askDaemon } from "../locate.js";
import { configOption, jsonOption, stateDirOption, workloadOption } from "../options.js";

export const verify: Command = {
  name: "verify",
  summary: "does the kernel hold exactly what the policy says",
  about: `Reads the rules and every member of every set back from the kernel and compares them with what the policy says.
What differs is listed, and repaired. Exit code 1 when anything differed.`,
  options: { json: jsonOption, workload: workloadOption, "state-dir": stateDirOption, config: configOption },
  positionals: [],
  examples: [
    ["antenna verify", "proof that the policy is enforced"],
    ["antenna verify --json > proof.json", "the same, to be kept"],
  ],
  run: async (invocation) => {
    const params = { workload: invocation.text("workload") };
    const document = (await askDaemon(invocation, { method: "verify", params })) as VerifyDocument;
    const { terminal } = invocation;
    await terminal.out(invocation.has("json") ? `${JSON.stringify(document)}\n` : formatVerify(document));
    return document.ok ? exitCode.done : exitCode.failed;
  },
};

export function formatVerify(document: VerifyDocument): string {
  const rows = document.points.flatMap((point) =>
    point.differences.length === 0
      ? [[point.workload, point.ok ? "as written" : "not proven", "", ""]]
      : point.differences.map(({ kind, object, detail }) => [point.workload, kind, object, detail]),
  );
  const version = document.policyVersion ?? "none";
  const verdict = document.ok
    ? "the kernel holds exactly this policy"
    : "the kernel does not hold this policy";
  return `policy ${version}: ${verdict}\n${table(rows)}`;
}
