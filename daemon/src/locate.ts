import { join, resolve } from "node:path";
import { AntennaError } from "@antenna/sdk";
import type { Invocation } from "./command.js";
import { ask } from "./control/client.js";
import { socketName } from "./control/protocol.js";

/** Longest path of a unix socket: `sun_path` of unix(7), its final zero left out. */
const longestSocketPath = 107;

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
  const path = join(stateDir, socketName);
  if (Buffer.byteLength(path) <= longestSocketPath) return path;
  const problem = `${path} is longer than the ${longestSocketPath} bytes that a socket's path may have`;
  throw new AntennaError({
    code: "input-refused",
    operation: "place the control socket",
    message: `${problem}; choose a shorter state directory`,
    problems: [{ path: "stateDir", problem }],
  });
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
  return await ask({ path, signal: invocation.signal, ...question });
}
