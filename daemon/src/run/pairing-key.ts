import { open } from "node:fs/promises";
import { AntennaError } from "@antenna/sdk";

export const pairingKeyVariable = "ANTENNA_PAIRING_KEY";
/** Ten times the longest key. */
const largestBytes = 4_096;

/** The text of a key file; rejects with `storage`, or with `input-refused` when it is larger than any key. */
export async function readKeyFile(path: string): Promise<string> {
  try {
    await using file = await open(path, "r");
    const bytes = Buffer.alloc(largestBytes + 1);
    const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
    if (bytesRead <= largestBytes) return bytes.toString("utf8", 0, bytesRead);
  } catch (reason) {
    const detail = reason instanceof Error ? reason.message : String(reason);
    throw new AntennaError({
      code: "storage",
      operation: `read ${path}`,
      message: "the pairing key can't be read",
      detail,
      cause: reason,
    });
  }
  throw tooLarge(path);
}

/** What comes over stdin, up to the end of a line. Rejects with `aborted` when whoever should write gives up. */
export function readKeyStream(stream: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string> {
  return new Promise((resolve, reject) => {
    const message = "no pairing key was given";
    const onAbort = (): void =>
      reject(new AntennaError({ code: "aborted", operation: "read a pairing key", message }));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    readLine(stream)
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", onAbort));
  });
}

async function readLine(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of stream) {
    length += part.length;
    if (length > largestBytes) throw tooLarge("standard input");
    parts.push(part);
    if (part.includes(0x0a)) break;
  }
  return Buffer.concat(parts).toString("utf8");
}

function tooLarge(source: string): AntennaError {
  const problem = `more than ${largestBytes} bytes: this is not a pairing key`;
  return new AntennaError({
    code: "input-refused",
    operation: `read a pairing key from ${source}`,
    message: problem,
    problems: [{ path: "", problem }],
  });
}
