import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { AntennaError } from "../error.js";
import { policyLimits } from "./limits.js";
import type { Policy } from "./model.js";
import { PolicyParser } from "./parse.js";

export interface ReadPolicyOptions {
  readonly signal?: AbortSignal;
}

/** Small enough to be scanned within a few milliseconds; between two of them the loop turns. */
const chunkBytes = 65_536;

/**
 * Reads a policy from a file. Its size and kind are looked at before it is read: JSON up to 32 MiB, YAML up to 4 MiB; directories, pipes
 * and devices are refused. JSON never blocks the loop for longer than one chunk; YAML is parsed in one go at the end. A handle
 * is read from its current position, and stays open.
 *
 * @throws AntennaError `input-refused` with every problem (a missing file is one: `cause` is the system's error),
 * `not-permitted`, `storage` when reading fails, `aborted`.
 */
export async function readPolicyFile(
  file: string | FileHandle,
  options: ReadPolicyOptions = {},
): Promise<Policy> {
  const operation = typeof file === "string" ? `read policy ${file}` : "read a policy";
  throwIfAborted(options, operation);
  if (typeof file !== "string") return readHandle(file, operation, options);
  // Without O_NONBLOCK the opening of a pipe that nobody writes to never ends.
  const handle = await attempt(operation, () => open(file, constants.O_RDONLY | constants.O_NONBLOCK));
  try {
    return await readHandle(handle, operation, options);
  } finally {
    await handle.close();
  }
}

/**
 * Reads a policy from a stream, like stdin, within the same limits.
 *
 * @throws AntennaError as `readPolicyFile`
 */
export async function readPolicyStream(
  stream: AsyncIterable<Uint8Array>,
  options: ReadPolicyOptions = {},
): Promise<Policy> {
  const parser = new PolicyParser();
  for await (const chunk of stream) {
    throwIfAborted(options, "read a policy");
    for (let at = 0; at < chunk.length; at += chunkBytes) parser.push(chunk.subarray(at, at + chunkBytes));
    if (parser.failed) break;
  }
  return parser.end();
}

async function readHandle(
  handle: FileHandle,
  operation: string,
  options: ReadPolicyOptions,
): Promise<Policy> {
  const status = await attempt(operation, () => handle.stat());
  if (!status.isFile()) {
    const kind = status.isDirectory() ? "a directory" : "a device, a pipe or a socket";
    throw refusal(operation, `is ${kind}, not a file`, undefined);
  }
  const parser = new PolicyParser({ operation, expectedBytes: status.size });
  const buffer = Buffer.allocUnsafeSlow(Math.min(chunkBytes, policyLimits.jsonBytes));
  while (!parser.failed) {
    throwIfAborted(options, operation);
    const { bytesRead } = await attempt(operation, () => handle.read(buffer, 0, buffer.length, null));
    if (bytesRead === 0) break;
    parser.push(buffer.subarray(0, bytesRead));
  }
  return parser.end();
}

function throwIfAborted({ signal }: ReadPolicyOptions, operation: string): void {
  if (signal?.aborted !== true) return;
  throw new AntennaError({
    code: "aborted",
    operation,
    message: "aborted by the caller",
    cause: signal.reason,
  });
}

async function attempt<Result>(operation: string, act: () => Promise<Result>): Promise<Result> {
  try {
    return await act();
  } catch (reason) {
    const code = reason instanceof Error && "code" in reason ? reason.code : null;
    const detail = reason instanceof Error ? reason.message : String(reason);
    if (code === "ENOENT" || code === "ENOTDIR") throw refusal(operation, "there is no such file", reason);
    if (code === "ENXIO" || code === "ELOOP" || code === "ENAMETOOLONG")
      throw refusal(operation, detail, reason);
    const isDenied = code === "EACCES" || code === "EPERM";
    const message = isDenied ? "the file may not be read; let this account read it" : "reading failed";
    throw new AntennaError({
      code: isDenied ? "not-permitted" : "storage",
      operation,
      message,
      detail,
      cause: reason,
    });
  }
}

function refusal(operation: string, problem: string, cause: unknown): AntennaError {
  return new AntennaError({
    code: "input-refused",
    operation,
    message: problem,
    problems: [{ path: "", problem }],
    cause,
  });
}
