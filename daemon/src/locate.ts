import { resolve } from "node:path";
import type { Invocation } from "@antenna/sdk/command-line";
import { type AskOptions, ask, placeSocket } from "@antenna/sdk/control-socket";

/** Who answers on the control socket, for people. */
export const daemonServer: AskOptions["server"] = {
  name: "daemon",
  start: "start one with `antenna run`, or name its --state-dir",
};

/** The daemon's state directory: `--state-dir`, `ANTENNA_STATE_DIR`, the configuration, the default. */
export async function findStateDir(invocation: Invocation): Promise<string> {
  const flag = invocation.text("state-dir");
  if (flag !== null) return resolve(flag);
  const { loadConfiguration } = await import("./config/read.js");
  const { values } = await loadConfiguration({
    file: invocation.text("config"),
    flags: {},
    environment: invocation.environment,
  });
  return values.stateDir;
}

/** Path of the control socket; rejects with `input-refused` where no socket can be made under that name. */
export function socketPath(stateDir: string): string {
  return placeSocket(stateDir, "antenna.sock", "stateDir");
}

export interface Question {
  readonly method: string;
  readonly params?: Readonly<Record<string, unknown>>;
  readonly body?: AsyncIterable<Uint8Array>;
  readonly onText?: (text: string) => void | Promise<void>;
}

/** Asks the daemon that the invocation is about. */
export async function askDaemon(invocation: Invocation, question: Question): Promise<unknown> {
  const path = socketPath(await findStateDir(invocation));
  return await ask({ path, server: daemonServer, signal: invocation.signal, ...question });
}
