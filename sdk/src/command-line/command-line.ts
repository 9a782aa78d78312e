import { AntennaError } from "../error.js";
import { type Command, type Invocation, parseArguments } from "./command.js";
import { exitCode, exitCodeOf, UsageError } from "./exit-code.js";
import { commandHelp, overview, usage } from "./help.js";
import { printable, type Terminal } from "./terminal.js";

/** A command, as the overview lists it. */
export interface Entry {
  readonly name: string;
  readonly summary: string;
  /** Commands are loaded when they run: `antenna status` never loads what only the daemon needs. */
  load(): Promise<Command>;
}

/** A program of several commands. */
export interface Program {
  /** As typed: `antenna`. */
  readonly name: string;
  /** One line: what it is. */
  readonly about: string;
  /** What exit code 4 means: `no daemon answers`. */
  readonly unanswered: string;
  /** In the order of the help. */
  readonly entries: readonly Entry[];
  version(): Promise<string>;
}

export interface Surroundings {
  readonly terminal: Terminal;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Runs one command line and gives its exit code; never rejects. */
export async function runCommandLine(
  program: Program,
  argv: readonly string[],
  surroundings: Surroundings,
): Promise<number> {
  const { terminal } = surroundings;
  const [first] = argv;
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    const code = first === undefined ? exitCode.usage : exitCode.done;
    if (code === exitCode.done) await terminal.out(overview(program));
    else terminal.err(overview(program));
    return code;
  }
  if (first === "--version") {
    await terminal.out(`${await program.version()}\n`);
    return exitCode.done;
  }
  const entry = find(program.entries, argv);
  if (entry === null) {
    terminal.err(
      `${program.name}: unknown command ${JSON.stringify(printable(first))}\n\n${overview(program)}`,
    );
    return exitCode.usage;
  }
  const command = await entry.load();
  try {
    const parsed = parseArguments(command, argv.slice(command.name.split(" ").length));
    if (parsed.values.help === true) {
      await terminal.out(commandHelp(program.name, command));
      return exitCode.done;
    }
    return await command.run(invocation(parsed, surroundings));
  } catch (reason) {
    return fail(program.name, command, reason, terminal);
  }
}

/** The command with the longest name that the arguments begin with. */
function find(entries: readonly Entry[], argv: readonly string[]): Entry | null {
  const matches = entries.filter(({ name }) => name.split(" ").every((word, index) => argv[index] === word));
  return matches.toSorted((a, b) => b.name.length - a.name.length)[0] ?? null;
}

function invocation(parsed: ReturnType<typeof parseArguments>, surroundings: Surroundings): Invocation {
  return {
    ...surroundings,
    positionals: parsed.positionals,
    text: (name) => {
      const value = parsed.values[name];
      return typeof value === "string" ? value : null;
    },
    texts: (name) => {
      const value = parsed.values[name];
      return typeof value === "object" ? value : [];
    },
    has: (name) => parsed.values[name] === true,
  };
}

function fail(program: string, command: Command, reason: unknown, terminal: Terminal): number {
  const words = reason instanceof Error ? reason.message : String(reason);
  terminal.err(`${program} ${command.name}: ${words.split("\n").map(printable).join("\n")}\n`);
  if (reason instanceof AntennaError) terminal.err(problemLines(reason));
  if (reason instanceof UsageError) {
    terminal.err(
      `usage: ${usage(program, command)}\n\`${program} ${command.name} --help\` shows options and examples.\n`,
    );
  }
  return exitCodeOf(reason);
}

/** `path: problem`, one a line; the exact words of the system below. */
function problemLines(error: AntennaError): string {
  const problems = error.problems.map(
    ({ path, problem }) => `${printable(path === "" ? problem : `${path}: ${problem}`)}\n`,
  );
  const { detail } = error;
  if (detail === null || error.message.includes(detail)) return problems.join("");
  return `${problems.join("")}${detail
    .split("\n")
    .map((line) => `  ${printable(line)}\n`)
    .join("")}`;
}
