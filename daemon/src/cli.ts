import { AntennaError } from "@antenna/sdk";
import type { Command } from "./command.js";
import { type Invocation, parseArguments } from "./command.js";
import { exitCode, exitCodeOf, UsageError } from "./exit-code.js";
import { commandHelp, overview, usage } from "./help.js";
import { packageVersion } from "./package-version.js";
import { printable, type Terminal } from "./terminal.js";

interface Entry {
  readonly name: string;
  readonly summary: string;
  /** Commands are loaded when they run: `antenna status` never loads what only the daemon needs. */
  load(): Promise<Command>;
}

/** Every command, in the order of the help. The summaries are those of the commands; a test compares them. */
export const entries: readonly Entry[] = [
  {
    name: "run",
    summary: "the daemon, in the foreground (`antennad` is the same)",
    load: async () => (await import("./commands/run.js")).run,
  },
  {
    name: "status",
    summary: "mode, policy version, state, drift, budget against use, problems",
    load: async () => (await import("./commands/status.js")).status,
  },
  {
    name: "policy",
    summary: "the policy in force",
    load: async () => (await import("./commands/policy.js")).policy,
  },
  {
    name: "policy check",
    summary: "is a policy file valid, and what does it cost",
    load: async () => (await import("./commands/policy-check.js")).policyCheck,
  },
  {
    name: "policy preview",
    summary: "what a policy file would change and cut",
    load: async () => (await import("./commands/policy-preview.js")).policyPreview,
  },
  {
    name: "explain",
    summary: "verdict for a new connection, and why",
    load: async () => (await import("./commands/explain.js")).explain,
  },
  {
    name: "verify",
    summary: "does the kernel hold exactly what the policy says",
    load: async () => (await import("./commands/verify.js")).verify,
  },
  {
    name: "check",
    summary: "is this host able to enforce; changes nothing",
    load: async () => (await import("./commands/check.js")).check,
  },
  {
    name: "suspend",
    summary: "take the rules out until `antenna resume`; survives restarts",
    load: async () => (await import("./commands/suspend.js")).suspend,
  },
  {
    name: "resume",
    summary: "enforce again after `antenna suspend`",
    load: async () => (await import("./commands/resume.js")).resume,
  },
  {
    name: "purge",
    summary: "take everything of Antenna's out of the kernel; needs no daemon",
    load: async () => (await import("./commands/purge.js")).purge,
  },
];

export interface Surroundings {
  readonly terminal: Terminal;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** Runs one command line and gives its exit code; never rejects. */
export async function main(argv: readonly string[], surroundings: Surroundings): Promise<number> {
  const { terminal } = surroundings;
  const [first] = argv;
  if (first === undefined || first === "--help" || first === "-h" || first === "help") {
    const code = first === undefined ? exitCode.usage : exitCode.done;
    if (code === exitCode.done) await terminal.out(overview(entries));
    else terminal.err(overview(entries));
    return code;
  }
  if (first === "--version") {
    await terminal.out(`${await packageVersion()}\n`);
    return exitCode.done;
  }
  const entry = find(argv);
  if (entry === null) {
    terminal.err(`antenna: unknown command ${JSON.stringify(printable(first))}\n\n${overview(entries)}`);
    return exitCode.usage;
  }
  const command = await entry.load();
  try {
    const parsed = parseArguments(command, argv.slice(command.name.split(" ").length));
    if (parsed.values.help === true) {
      await terminal.out(commandHelp(command));
      return exitCode.done;
    }
    return await command.run(invocation(parsed, surroundings));
  } catch (reason) {
    return fail(command, reason, terminal);
  }
}

/** The command with the longest name that the arguments begin with. */
function find(argv: readonly string[]): Entry | null {
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
    has: (name) => parsed.values[name] === true,
  };
}

function fail(command: Command, reason: unknown, terminal: Terminal): number {
  const words = reason instanceof Error ? reason.message : String(reason);
  terminal.err(`antenna ${command.name}: ${words.split("\n").map(printable).join("\n")}\n`);
  if (reason instanceof AntennaError) terminal.err(problemLines(reason));
  if (reason instanceof UsageError) {
    terminal.err(
      `usage: ${usage(command)}\n\`antenna ${command.name} --help\` shows options and examples.\n`,
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
