import { type Command, count, exitCode, table } from "@antenna/sdk/command-line";
import { askDaemon } from "../locate.js";
import { configOption, jsonOption, stateDirOption, workloadOption } from "../options.js";

/** What the daemon answers without `--json`: a policy of 500,000 members is no reading for people. */
export interface PolicyOutline {
  readonly version: string;
  readonly digest: string;
  readonly mode: string;
  readonly visibility: string;
  readonly reject: boolean;
  readonly sets: readonly { readonly name: string; readonly members: number }[];
  readonly rules: readonly {
    readonly id: string;
    readonly direction: string;
    readonly action: string;
    readonly peers: readonly string[];
    readonly services: string;
    readonly secure: boolean;
  }[];
  readonly enforce: string;
}

export const policy: Command = {
  name: "policy",
  summary: "the policy in force",
  about: `Shows the policy in force. With --json it is the whole normalised policy, in the form of a policy file:
\`antenna policy --json | antenna policy check -\` passes. Exit code 1 when there is no policy yet.`,
  options: { json: jsonOption, workload: workloadOption, "state-dir": stateDirOption, config: configOption },
  positionals: [],
  examples: [
    ["antenna policy", "rules and sets, in a table"],
    ["antenna policy --json > policy.json", "the whole of it, to be edited and applied elsewhere"],
  ],
  run: async (invocation) => {
    const { terminal } = invocation;
    const params = { workload: invocation.text("workload") };
    if (invocation.has("json")) {
      await askDaemon(invocation, { method: "policy", params, onText: (text) => terminal.out(text) });
      return exitCode.done;
    }
    const outline = (await askDaemon(invocation, { method: "policy-outline", params })) as PolicyOutline;
    await terminal.out(formatOutline(outline));
    return exitCode.done;
  },
};

export function formatOutline(outline: PolicyOutline): string {
  const facts = [
    ["version", outline.version],
    ["digest", outline.digest],
    ["mode", outline.mode],
    ["visibility", outline.visibility],
    ["denied", outline.reject ? "answered" : "dropped in silence"],
    ...(outline.enforce === "" ? [] : [["enforce", outline.enforce]]),
  ];
  const rules = outline.rules.map((rule) => [
    rule.id,
    rule.direction,
    rule.secure ? `${rule.action} (secure)` : rule.action,
    rule.peers.join(", "),
    rule.services,
  ]);
  return [
    table(facts),
    rules.length === 0
      ? "no rules\n"
      : table([["RULE", "DIRECTION", "ACTION", "PEERS", "SERVICES"], ...rules]),
    outline.sets.length === 0
      ? "no sets\n"
      : table([
          ["SET", "MEMBERS"],
          ...outline.sets.map(({ name, members }) => [name, count(members, "member")]),
        ]),
  ].join("\n");
}
