import type { Command, Option } from "./command.js";
import type { Program } from "./command-line.js";
import { table } from "./terminal.js";

/** What the program alone and its `--help` show. */
export function overview({ name, about, unanswered, entries }: Program): string {
  return [
    `${name}: ${about}\n`,
    `usage: ${name} COMMAND [OPTION]…\n`,
    table(entries.map((entry) => [`  ${entry.name}`, entry.summary])),
    `\`${name} COMMAND --help\` shows options and examples.`,
    `exit codes: 0 done, 1 failed, 2 usage, 3 input refused, 4 ${unanswered}, 5 not permitted\n`,
  ].join("\n");
}

/** What `COMMAND --help` shows. */
export function commandHelp(program: string, command: Command): string {
  const options: (readonly [string, Option])[] = [
    ...Object.entries(command.options),
    ["help", { type: "boolean", about: "this text" }],
  ];
  const parts = [
    `usage: ${usage(program, command)}\n`,
    `${command.about}\n`,
    ...(command.positionals.length === 0
      ? []
      : [table(command.positionals.map(({ name, about }) => [`  ${name}`, about]))]),
    "options:",
    table(options.map(([name, option]) => [`  ${spell(name, option)}`, option.about])),
    "examples:",
    ...command.examples.map(([line, does]) => `  # ${does}\n  ${line}\n`),
  ];
  return parts.join("\n");
}

export function usage(program: string, command: Command): string {
  const positionals = command.positionals.map(({ name, required, repeats }) => {
    const word = repeats === true ? `${name}…` : name;
    return required ? word : `[${word}]`;
  });
  const options = Object.entries(command.options).map(
    ([name, option]) => `[${spell(name, option)}]${option.repeats === true ? "…" : ""}`,
  );
  return [program, command.name, ...options, ...positionals].join(" ");
}

function spell(name: string, option: Option): string {
  return option.value === undefined ? `--${name}` : `--${name} ${option.value}`;
}
