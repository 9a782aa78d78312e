import { AntennaError } from "@antenna/sdk";
import {
  type Colour,
  type Command,
  exitCode,
  type Invocation,
  type Terminal,
  table,
  UsageError,
} from "@antenna/sdk/command-line";
import type { ExplainDocument } from "../documents.js";
import { askDaemon } from "../locate.js";
import { configOption, jsonOption, stateDirOption, workloadOption } from "../options.js";

export const explain: Command = {
  name: "explain",
  summary: "verdict for a new connection, and why",
  about: `Tells what happens to the first packet of a new connection, which step of the policy decides, and by which rule.
\`foreign\` lists the owner's own rules that would stop it as well; one with a match that is not understood is \`unknown\`.`,
  options: {
    direction: { type: "string", value: "in|out", about: "seen from this workload" },
    protocol: { type: "string", value: "NAME", about: "tcp, udp, icmp, icmpv6, … or a number" },
    peer: { type: "string", value: "IP", about: "the other side: source for in, destination for out" },
    port: { type: "string", value: "N", about: "destination port, for protocols that have ports" },
    type: { type: "string", value: "N", about: "ICMP type" },
    code: { type: "string", value: "N", about: "ICMP code" },
    json: jsonOption,
    workload: workloadOption,
    "state-dir": stateDirOption,
    config: configOption,
  },
  positionals: [],
  examples: [
    [
      "antenna explain --direction in --protocol tcp --peer 10.0.1.10 --port 80",
      "may web1 reach our port 80",
    ],
    ["antenna explain --direction out --protocol icmp --type 8 --peer 10.0.0.1", "may we ping the router"],
  ],
  run: async (invocation) => {
    const params = question(invocation);
    await demandUsable(params);
    const document = (await askDaemon(invocation, { method: "explain", params })) as ExplainDocument;
    const { terminal } = invocation;
    await terminal.out(
      invocation.has("json") ? `${JSON.stringify(document)}\n` : formatExplain(document, terminal),
    );
    return exitCode.done;
  },
};

function question(invocation: Invocation): Readonly<Record<string, unknown>> {
  const [direction, protocol, peer] = ["direction", "protocol", "peer"].map((name) => {
    const given = invocation.text(name);
    if (given === null) throw new UsageError(`--${name} is missing`);
    return given;
  });
  const [port, type, code] = ["port", "type", "code"].map((name) => {
    const given = invocation.text(name);
    if (given !== null && !/^\d{1,5}$/.test(given))
      throw new UsageError(`--${name} ${JSON.stringify(given)} is not a number`);
    return given === null ? null : Number(given);
  });
  return { direction, protocol, peer, port, type, code, workload: invocation.text("workload") };
}

/** What is wrong on the command line is told without a daemon: what is missing as usage, a bad value as refused input. */
async function demandUsable(params: Readonly<Record<string, unknown>>): Promise<void> {
  const { readQuestion } = await import("../run/control-handler.js");
  try {
    readQuestion(params);
  } catch (reason) {
    if (reason instanceof AntennaError && params.port === null) {
      const missing = reason.problems.find(({ path }) => path === "port");
      if (missing !== undefined) throw new UsageError(`--port is missing: ${missing.problem}`);
    }
    throw reason;
  }
}

const verdictColours: Readonly<Record<string, Colour>> = {
  allowed: "green",
  blocked: "red",
  "potentially-blocked": "yellow",
};

export function formatExplain(document: ExplainDocument, terminal: Pick<Terminal, "paint">): string {
  const { verdict, stage, rule, policyVersion, foreign } = document;
  const why = rule === null ? `by ${stage}` : `by ${stage}, rule ${rule}`;
  const head = `${terminal.paint(verdictColours[verdict] ?? "yellow", verdict)} ${why} (policy ${policyVersion ?? "none"})\n`;
  if (foreign.length === 0) return `${head}no rule of the owner stops it\n`;
  const rows = foreign.map((one) => [one.verdict, one.table, one.chain, one.rule, one.reason ?? ""]);
  return `${head}\n${table([["OWNER'S", "TABLE", "CHAIN", "RULE", "NOT UNDERSTOOD"], ...rows])}`;
}
