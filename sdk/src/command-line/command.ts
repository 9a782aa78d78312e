import { type ParseArgsConfig, parseArgs } from "node:util";
import { UsageError } from "./exit-code.js";
import type { Terminal } from "./terminal.js";

/** One option of a command. */
export interface Option {
  readonly type: "boolean" | "string";
  /** What stands for its value in the help: `FILE`. Only for `string`. */
  readonly value?: string;
  /** May be given several times. Only for `string`. */
  readonly repeats?: boolean;
  readonly about: string;
}

export interface Positional {
  readonly name: string;
  readonly about: string;
  readonly required: boolean;
  /** One or more of it; the last one only. */
  readonly repeats?: boolean;
}

/** What was written on the command line, checked against the command's table. */
export interface Invocation {
  /** The value of a string option; null if it was not given. */
  text(name: string): string | null;
  /** The values of a string option that repeats, as given. */
  texts(name: string): readonly string[];
  /** Whether a boolean option was given. */
  has(name: string): boolean;
  readonly positionals: readonly string[];
  readonly terminal: Terminal;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborted by SIGINT, SIGTERM and SIGHUP, except for `run`, which listens to them itself. */
  readonly signal: AbortSignal;
}

export interface Command {
  /** As typed after the program: `policy check`. */
  readonly name: string;
  /** One line. */
  readonly summary: string;
  /** More, for the command's own help. */
  readonly about: string;
  readonly options: Readonly<Record<string, Option>>;
  readonly positionals: readonly Positional[];
  /** Command lines with what they do. */
  readonly examples: readonly (readonly [string, string])[];
  /** Gives the exit code, or throws what `exitCodeOf` understands. */
  run(invocation: Invocation): Promise<number>;
}

export interface ParsedArguments {
  readonly values: Readonly<Record<string, string | boolean | readonly string[]>>;
  readonly positionals: readonly string[];
}

/** Reads a command's arguments; throws UsageError in one sentence that says what to write instead. */
export function parseArguments(command: Command, argv: readonly string[]): ParsedArguments {
  const options: NonNullable<ParseArgsConfig["options"]> = { help: { type: "boolean", short: "h" } };
  for (const [name, option] of Object.entries(command.options))
    options[name] = { type: option.type, multiple: true };
  let parsed: ReturnType<typeof parseArgs>;
  try {
    parsed = parseArgs({ args: [...argv], options, allowPositionals: true, strict: true });
  } catch (reason) {
    // The first sentence says what is wrong; the rest explains node's own conventions.
    throw new UsageError(reason instanceof Error ? reason.message.split(/[.\n]/)[0] : String(reason));
  }
  const values = Object.fromEntries(
    Object.entries(parsed.values).map(
      ([name, value]) => [name, readValue(name, command.options[name], value)] as const,
    ),
  );
  if (values.help !== true) checkPositionals(command, parsed.positionals);
  return { values, positionals: parsed.positionals };
}

function readValue(
  name: string,
  option: Option | undefined,
  value: unknown,
): string | boolean | readonly string[] {
  const given: unknown[] = Array.isArray(value) ? value : [value];
  if (option?.repeats === true) {
    if (given.includes("")) throw new UsageError(`--${name} is empty`);
    return given.filter((item) => typeof item === "string");
  }
  if (given.length > 1 && typeof given[0] === "string")
    throw new UsageError(`--${name} is given ${given.length} times`);
  const [first] = given;
  if (first === "") throw new UsageError(`--${name} is empty`);
  return typeof first === "string" ? first : first === true;
}

function checkPositionals(command: Command, given: readonly string[]): void {
  const missing = command.positionals[given.length];
  if (missing?.required === true) throw new UsageError(`${missing.name} is missing: ${missing.about}`);
  const extra = given[command.positionals.length];
  if (command.positionals.at(-1)?.repeats === true) return;
  if (extra !== undefined) throw new UsageError(`unexpected argument ${JSON.stringify(extra)}`);
}
