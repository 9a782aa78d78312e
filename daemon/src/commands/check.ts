import { resolve } from "node:path";
import { type Colour, type Command, exitCode, type Terminal, table } from "@antenna/sdk/command-line";
import { loadConfiguration } from "../config/read.js";
import type { CheckDocument, CheckItem } from "../documents.js";
import { configOption, controllerOption, flaggedController, jsonOption, stateDirOption } from "../options.js";

export const check: Command = {
  name: "check",
  summary: "is this host able to enforce; changes nothing",
  about: `Looks at everything that enforcement needs, and says what to do about what is missing. Nothing is written and no
module is loaded: what files do not tell is \`not known\`. --probe then tries every kind of rule in a network namespace of
its own, which is gone afterwards; the kernel may load modules for it, and it needs root. With a controller, it also opens
a connection there that says nothing, and names the owner's rule that closes the way, if one does. Exit code 1 with a red item.`,
  options: {
    json: jsonOption,
    probe: { type: "boolean", about: "try rules and sets in a scratch network namespace (may load modules)" },
    namespace: {
      type: "string",
      value: "PATH",
      about: "network namespace, as given to run (default: the own one)",
    },
    controller: controllerOption,
    "state-dir": stateDirOption,
    config: configOption,
  },
  positionals: [],
  examples: [
    ["antenna check", "before the first `antenna run`"],
    ["antenna check --controller controller.example:8443", "is the way to the controller open"],
    ["antenna check --probe --json", "be sure, and let a script read it"],
  ],
  run: async (invocation) => {
    const { terminal } = invocation;
    const [stateDir, namespace] = ["state-dir", "namespace"].map((name) => {
      const given = invocation.text(name);
      return given === null ? undefined : resolve(given);
    });
    const { values } = await loadConfiguration({
      file: invocation.text("config"),
      flags: {
        ...(stateDir === undefined ? {} : { stateDir }),
        ...(namespace === undefined ? {} : { namespace }),
        ...flaggedController(invocation),
      },
      environment: invocation.environment,
    });
    const { checkHost } = await import("../check/check-host.js");
    const document = await checkHost(values, { probe: invocation.has("probe"), signal: invocation.signal });
    await terminal.out(
      invocation.has("json") ? `${JSON.stringify(document)}\n` : formatCheck(document, terminal),
    );
    return document.ok ? exitCode.done : exitCode.failed;
  },
};

const colours: Readonly<Record<CheckItem["state"], Colour>> = {
  green: "green",
  yellow: "yellow",
  red: "red",
};

export function formatCheck(document: CheckDocument, terminal: Pick<Terminal, "paint">): string {
  const rows = document.items.map(({ name, state, found, advice }) => [
    terminal.paint(colours[state], state),
    name,
    found ?? "-",
    advice ?? "",
  ]);
  const verdict = document.ok
    ? "this host is able to enforce"
    : "this host is not able to enforce: see the red items";
  return `${table(rows)}\n${verdict}\n`;
}
