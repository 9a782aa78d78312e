import { createHash, randomBytes } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { open, readdir, rename, unlink } from "node:fs/promises";
import { dirname, join } from "node:path";

/** Nothing of an identity is larger: 24 certificates of 16 KiB at the very most. */
const maxBytes = 1024 * 1024;

/** What a file of ours holds. `damaged` is never taken for `missing`. */
export type FileReading<T> =
  | { readonly kind: "missing" }
  | { readonly kind: "found"; readonly value: T }
  | { readonly kind: "damaged"; readonly reason: string };

/**
 * Reads what `writeSealed` wrote: a line with the SHA-256 of what follows, then JSON, which `read` turns into a value (null:
 * it is not one).
 */
export function readSealed<T>(path: string, read: (document: unknown) => T | null): FileReading<T> {
  const file = readWhole(path);
  if (file.kind !== "found") return file;
  const text = file.value.toString("utf8");
  const end = text.indexOf("\n");
  const body = text.slice(end + 1);
  if (end < 0 || text.slice(0, end) !== digestOf(body))
    return { kind: "damaged", reason: `${path} fails its checksum` };
  let document: unknown;
  try {
    document = JSON.parse(body);
  } catch {
    return { kind: "damaged", reason: `${path} does not hold JSON` };
  }
  const value = read(document);
  return value === null
    ? { kind: "damaged", reason: `${path} holds something else than expected` }
    : { kind: "found", value };
}

/** The whole file, if it has a size that files of ours have. */
export function readWhole(path: string): FileReading<Buffer> {
  try {
    const { size } = statSync(path);
    if (size === 0 || size > maxBytes)
      return { kind: "damaged", reason: `${path} has ${size} bytes, which no file of ours has` };
    return { kind: "found", value: readFileSync(path) };
  } catch (reason) {
    if (codeOf(reason) === "ENOENT") return { kind: "missing" };
    return { kind: "damaged", reason: `${path} cannot be read (${codeOf(reason) ?? String(reason)})` };
  }
}

export function writeSealed(path: string, document: object): Promise<void> {
  const body = JSON.stringify(document);
  return writeWhole(path, Buffer.from(`${digestOf(body)}\n${body}`, "utf8"));
}

/**
 * Replaces the file as a whole, mode 0600, and resolves when content and name are durable. Two may write at once: one of
 * them wins, whole.
 */
export async function writeWhole(path: string, content: Uint8Array): Promise<void> {
  const temporary = `${path}.new-${randomBytes(6).toString("hex")}`;
  const file = await open(temporary, "wx", 0o600);
  try {
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (reason) {
    // A full disk must not be filled by attempts.
    await unlink(temporary).catch(ignoreMissing);
    throw reason;
  }
  await syncNames(dirname(path));
}

/** Deletes what is there; resolves when that is durable. */
export async function removeFiles(directory: string, names: readonly string[]): Promise<void> {
  for (const name of names) await unlink(join(directory, name)).catch(ignoreMissing);
  await syncNames(directory).catch(ignoreMissing);
}

/** Names of files that somebody began to write and was killed. */
export async function unfinishedFiles(directory: string): Promise<readonly string[]> {
  const present = await readdir(directory).catch((reason: unknown) => {
    ignoreMissing(reason);
    return [];
  });
  return present.filter((name) => /\.new-[0-9a-f]{12}$/.test(name));
}

async function syncNames(directory: string): Promise<void> {
  const handle = await open(directory, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function digestOf(text: string): string {
  return createHash("sha256").update(text, "utf8").digest("hex");
}

function ignoreMissing(reason: unknown): void {
  if (codeOf(reason) !== "ENOENT") throw reason;
}

function codeOf(reason: unknown): string | null {
  return reason instanceof Error && "code" in reason && typeof reason.code === "string" ? reason.code : null;
}
