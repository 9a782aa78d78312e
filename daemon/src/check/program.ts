import { execFile } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { promisify } from "node:util";

const run = promisify(execFile);
const folders = ["/usr/sbin", "/sbin", "/usr/local/sbin", "/usr/bin", "/bin"];

/** Absolute path of a program; null: not installed. */
export function findProgram(name: string): string | null {
  return folders.map((folder) => `${folder}/${name}`).find(isExecutable) ?? null;
}

export interface Outcome {
  readonly ok: boolean;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program by absolute path, without a shell; a failure is an outcome, not an error. */
export async function runProgram(file: string, args: readonly string[], input?: string): Promise<Outcome> {
  const child = run(file, [...args], { timeout: 10_000, maxBuffer: 16 * 1024 * 1024, env: { LC_ALL: "C" } });
  child.child.stdin?.on("error", () => undefined);
  child.child.stdin?.end(input ?? "");
  try {
    return { ok: true, ...(await child) };
  } catch (reason) {
    const words = reason instanceof Error && "stderr" in reason ? String(reason.stderr) : "";
    return { ok: false, stdout: "", stderr: words === "" ? String(reason) : words };
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
