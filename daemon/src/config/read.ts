import { open } from "node:fs/promises";
import { AntennaError, type Problem } from "@antenna/sdk";
import { type Configuration, environmentName, type KeyName, keyNames, keys } from "./keys.js";
import { refuse, show } from "./value.js";

export const defaultConfigPath = "/etc/antenna/antenna.yaml";

/** A configuration is written by people; more than this is a mistake. */
const largestBytes = 1024 * 1024;

export interface ConfigurationSources {
  /** `--config F`; null: the default path, if it exists. */
  readonly file: string | null;
  /** Values from flags, already of the right type. They beat the environment, which beats the file. */
  readonly flags: Partial<Configuration>;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

export interface LoadedConfiguration {
  readonly values: Configuration;
  /** Keys that somebody set. */
  readonly given: ReadonlySet<KeyName>;
  /** The file that was read; null: none. */
  readonly file: string | null;
}

/**
 * Puts flags, environment, file and defaults together.
 * Rejects with `input-refused` and every problem found, or with `storage` when a named file can't be read.
 */
export async function loadConfiguration(sources: ConfigurationSources): Promise<LoadedConfiguration> {
  const problems: Problem[] = [];
  const file = await readFileOf(sources.file);
  const fromFile = file === null ? new Map<KeyName, unknown>() : fromDocument(file.document, problems);
  const fromEnvironment = readEnvironment(sources.environment, problems);
  if (problems.length > 0) {
    throw new AntennaError({
      code: "input-refused",
      operation: file === null ? "read the environment" : `read ${file.path}`,
      message: `${problems.length} ${problems.length === 1 ? "problem" : "problems"} in the configuration`,
      problems,
    });
  }
  const flags = new Map(Object.entries(sources.flags).filter(([, value]) => value !== undefined));
  const values = keyNames.map((name) => {
    const given = flags.get(name) ?? fromEnvironment.get(name) ?? fromFile.get(name);
    return [name, given ?? keys[name].initial] as const;
  });
  return {
    values: Object.fromEntries(values) as Configuration,
    given: new Set(
      keyNames.filter((name) => flags.has(name) || fromEnvironment.has(name) || fromFile.has(name)),
    ),
    file: file?.path ?? null,
  };
}

async function readFileOf(
  named: string | null,
): Promise<{ readonly path: string; readonly document: unknown } | null> {
  const path = named ?? defaultConfigPath;
  let text: string;
  try {
    text = await readBounded(path);
  } catch (reason) {
    if (named === null && isMissing(reason)) return null;
    if (reason instanceof AntennaError) throw reason;
    const detail = reason instanceof Error ? reason.message : String(reason);
    throw new AntennaError({
      code: "storage",
      operation: `read ${path}`,
      message: `the configuration can't be read (${detail})`,
      detail,
      cause: reason,
    });
  }
  return { path, document: await parse(text, path) };
}

async function readBounded(path: string): Promise<string> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  if (size > largestBytes) {
    throw refused(path, `${size} bytes; a configuration has at most ${largestBytes}`);
  }
  const bytes = Buffer.alloc(largestBytes + 1);
  let length = 0;
  for (;;) {
    const { bytesRead } = await file.read(bytes, length, bytes.length - length, null);
    if (bytesRead === 0) break;
    length += bytesRead;
    if (length > largestBytes) throw refused(path, `more than ${largestBytes} bytes`);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, length));
  } catch {
    throw refused(path, "not UTF-8");
  }
}

async function parse(text: string, path: string): Promise<unknown> {
  const { CORE_SCHEMA, loadAll, realMapTag } = await import("js-yaml");
  try {
    // Aliases are refused: a small file could unfold to any size.
    const documents = loadAll(text, {
      schema: CORE_SCHEMA.withTags(realMapTag),
      maxAliases: 0,
      maxDepth: 20,
    });
    if (documents.length > 1) throw refused(path, `${documents.length} documents; a configuration is one`);
    return documents[0];
  } catch (reason) {
    if (reason instanceof AntennaError) throw reason;
    throw refused(
      path,
      (reason instanceof Error ? reason.message : String(reason)).split("\n")[0] ?? "not YAML",
    );
  }
}

/** The values of a parsed document by key. */
function fromDocument(document: unknown, problems: Problem[]): ReadonlyMap<KeyName, unknown> {
  const values = new Map<KeyName, unknown>();
  if (document === null || document === undefined) return values;
  if (!(document instanceof Map)) {
    refuse(problems, "", `${show(document)}; a configuration is a map of keys`);
    return values;
  }
  const sections = new Set(keyNames.filter((name) => name.includes(".")).map((name) => name.split(".")[0]));
  for (const [name, value] of document) {
    if (typeof name !== "string") refuse(problems, show(name), "a key must be text");
    else if (sections.has(name)) readSection(name, value, values, problems);
    else readKey(name, value, values, problems);
  }
  return values;
}

function readSection(
  section: string,
  value: unknown,
  values: Map<KeyName, unknown>,
  problems: Problem[],
): void {
  if (value === null) return;
  if (!(value instanceof Map)) {
    refuse(problems, section, `${show(value)} is not a map`);
    return;
  }
  for (const [name, inner] of value) readKey(`${section}.${String(name)}`, inner, values, problems);
}

function readKey(name: string, value: unknown, values: Map<KeyName, unknown>, problems: Problem[]): void {
  const known = keyNames.find((key) => key === name);
  if (known === undefined) {
    refuse(problems, name, "unknown key");
    return;
  }
  const read = keys[known].kind.read(value, name, problems);
  if (read !== null) values.set(known, read);
}

function readEnvironment(
  environment: ConfigurationSources["environment"],
  problems: Problem[],
): ReadonlyMap<KeyName, unknown> {
  const values = new Map<KeyName, unknown>();
  for (const name of keyNames) {
    const variable = environmentName(name);
    const text = environment[variable];
    if (text === undefined || text === "") continue;
    const read = keys[name].kind.read(fromText(text), variable, problems);
    if (read !== null) values.set(name, read);
  }
  return values;
}

/** An environment variable holds what the file would: a word, a number, true or false, or JSON for lists and maps. */
function fromText(text: string): unknown {
  if (text === "true" || text === "false") return text === "true";
  if (/^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (!/^[[{]/.test(text)) return text;
  try {
    return toMaps(JSON.parse(text));
  } catch {
    return text;
  }
}

/** Objects as the Maps that YAML gives. */
function toMaps(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(toMaps);
  if (typeof value !== "object" || value === null) return value;
  return new Map(Object.entries(value).map(([name, inner]) => [name, toMaps(inner)]));
}

function refused(path: string, problem: string): AntennaError {
  return new AntennaError({
    code: "input-refused",
    operation: `read ${path}`,
    message: problem,
    problems: [{ path: "", problem }],
  });
}

function isMissing(reason: unknown): boolean {
  return reason instanceof Error && "code" in reason && reason.code === "ENOENT";
}
