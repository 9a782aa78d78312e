import type { Logger, WorkloadContext } from "@antenna/sdk";
import { AntennaError } from "@antenna/sdk";
import { type Command, count, exitCode, type Invocation, table } from "@antenna/sdk/command-line";
import { loadConfiguration } from "../config/read.js";
import type { ContextAnswer, ContextDocument } from "../documents.js";
import { askDaemon } from "../locate.js";
import { configOption, jsonOption, stateDirOption } from "../options.js";
import { gatherContext } from "../run/gather-context.js";
import { platform } from "../run/platform.js";

export const context: Command = {
  name: "context",
  summary: "what the controller is told of this host",
  about: `Name, system, addresses, listening services and cloud facts, as the daemon tells them to its controller. Without a
controller nothing is gathered or told: this command then looks for itself and shows what would be. Policies, keys and
what flows carry are no part of it.`,
  options: { json: jsonOption, "state-dir": stateDirOption, config: configOption },
  positionals: [],
  examples: [
    ["antenna context", "what does the controller know of this host"],
    ["antenna context --json | jq '.services[] | .port'", "which ports are told"],
  ],
  run: async (invocation) => {
    const answer = (await askDaemon(invocation, { method: "context" })) as ContextAnswer;
    const facts = answer.context ?? (await gather(answer, invocation));
    if (facts === null)
      throw new AntennaError({
        code: "busy",
        operation: "show the context",
        message: "it is still being gathered; try again",
      });
    const document: ContextDocument = { workload: answer.workload, ...facts, containers: [] };
    const { terminal } = invocation;
    if (answer.controller === null) terminal.err("there is no controller: this is what one would be told\n");
    await terminal.out(invocation.has("json") ? `${JSON.stringify(document)}\n` : formatContext(document));
    return exitCode.done;
  },
};

async function gather(answer: ContextAnswer, invocation: Invocation): Promise<WorkloadContext | null> {
  if (answer.controller !== null) return null;
  const { values } = await loadConfiguration({
    file: invocation.text("config"),
    flags: {},
    environment: invocation.environment,
  });
  const source = await (await platform()).context({ cloud: values["context.cloud"] });
  const { namespace } = answer;
  return await gatherContext(source, { namespace, logger: toPeople(invocation) });
}

/** What can't be read is left out, and said. */
function toPeople({ terminal }: Invocation): Logger {
  const say = (_facts: object, message: string): void => terminal.err(`${message}\n`);
  return { debug: () => undefined, info: () => undefined, warn: say, error: say };
}

/** The document for people. */
export function formatContext(document: ContextDocument): string {
  const { addresses, cloud, os, services } = document;
  const facts: (readonly [string, string])[] = [
    ["workload", document.workload],
    ["hostname", document.hostname],
    ["system", `${os.name} ${os.version}, kernel ${os.kernel}, ${os.arch}`],
    ["virtualization", document.virtualization ?? "not known"],
    [
      "cloud",
      cloud === null
        ? "none known"
        : `${cloud.provider}, instance ${cloud.instance}, ${cloud.region} ${cloud.zone}, ${count(Object.keys(cloud.tags).length, "tag")}`,
    ],
  ];
  const places = addresses.map((each) => [`${each.address}/${each.prefix}`, each.interface, each.scope]);
  const doors = services.map((each) => [
    `${each.protocol} ${each.port}`,
    each.address,
    each.process ?? "-",
    each.user ?? "-",
  ]);
  return [
    table(facts),
    places.length === 0 ? "no addresses\n" : table([["ADDRESS", "INTERFACE", "SCOPE"], ...places]),
    doors.length === 0
      ? "no listening services\n"
      : table([["SERVICE", "ADDRESS", "PROCESS", "USER"], ...doors]),
  ].join("\n");
}
