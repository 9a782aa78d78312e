import { resolve } from "node:path";
import type { Invocation, Option } from "@antenna/sdk/command-line";
import { type AskOptions, ask, placeSocket } from "@antenna/sdk/control-socket";

export const dataDirOption: Option = {
  type: "string",
  value: "DIR",
  about: "the controller's data directory (default /var/lib/antenna-controller)",
};
export const jsonOption: Option = { type: "boolean", about: "one JSON document on stdout, nothing else" };

/** Who answers on the control socket, for people. */
const server: AskOptions["server"] = {
  name: "controller",
  start: "start one with `antenna-controller serve`, or name its --data-dir",
};

/** `--data-dir`, `ANTENNA_CONTROLLER_DATA_DIR`, the default. */
export function findDataDir(invocation: Invocation): string {
  const { ANTENNA_CONTROLLER_DATA_DIR: named } = invocation.environment;
  return resolve(invocation.text("data-dir") ?? (named || "/var/lib/antenna-controller"));
}

/** Rejects with `input-refused` where no socket can be made under that name. */
export function socketPath(dataDir: string): string {
  return placeSocket(dataDir, "controller.sock", "data-dir");
}

/** Asks the running controller that the invocation is about. */
export async function askController<Document>(
  invocation: Invocation,
  question: Pick<AskOptions, "method" | "params" | "body" | "onText" | "patienceMs">,
): Promise<Document> {
  const path = socketPath(findDataDir(invocation));
  // Both ends are this package, of one version as a rule; the socket is the controller's own.
  return (await ask({ path, server, signal: invocation.signal, ...question })) as Document;
}

/** One JSON document on stdout with `--json`; else what `people` makes of it. */
export async function show<Document>(
  invocation: Invocation,
  document: Document,
  people: (document: Document) => string,
): Promise<void> {
  await invocation.terminal.out(
    invocation.has("json") ? `${JSON.stringify(document, null, 2)}\n` : people(document),
  );
}
