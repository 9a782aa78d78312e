import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { AntennaError } from "@antenna/sdk";

/** Bytes of a label policy; see `parseLabelPolicy`. */
export const largestLabelPolicy: number = 4 * 1024 * 1024;

/** `-` is stdin. */
export const policyFileArgument = {
  name: "FILE",
  about: "a label policy, YAML or JSON; - reads stdin",
  required: true,
} as const;

/**
 * Opens a label policy, refused by its kind or size before it is read; what it holds is judged by the controller. Rejects with
 * AntennaError: `input-refused`, `not-permitted`, `storage`.
 */
export async function openPolicyFile(
  file: string | undefined,
  stdin: AsyncIterable<Uint8Array>,
): Promise<AsyncIterable<Uint8Array>> {
  if (file === undefined || file === "-") return stdin;
  const operation = `read ${file}`;
  try {
    // Without O_NONBLOCK the opening of a pipe that nobody writes to never ends.
    const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK);
    const status = await handle.stat();
    if (status.isFile() && status.size <= largestLabelPolicy) return handle.createReadStream();
    await handle.close();
    const kind = status.isDirectory() ? "is a directory, not a file" : "is no regular file; - reads stdin";
    const size = `is larger than ${largestLabelPolicy} bytes, the most that a label policy may have`;
    throw refused(operation, status.isFile() ? size : kind);
  } catch (reason) {
    if (reason instanceof AntennaError) throw reason;
    const code = reason instanceof Error && "code" in reason ? reason.code : null;
    if (code === "ENOENT" || code === "ENOTDIR") throw refused(operation, "there is no such file");
    const detail = reason instanceof Error ? reason.message : String(reason);
    const message = `the label policy can't be read (${detail})`;
    const isDenied = code === "EACCES" || code === "EPERM";
    throw new AntennaError({
      code: isDenied ? "not-permitted" : "storage",
      operation,
      message,
      detail,
      cause: reason,
    });
  }
}

function refused(operation: string, problem: string): AntennaError {
  const problems = [{ path: "", problem }];
  return new AntennaError({ code: "input-refused", operation, message: problem, problems });
}
