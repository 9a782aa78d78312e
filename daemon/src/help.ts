import type { Command, Option } from "./command.js";
import { table } from "./terminal.js";

export interface Listed {
  readonly name: string;
  readonly summary: string;
}

/** What `antenna` and `antenna --help` show. */
export function overview(commands: readonly Listed[]): string {
  return [
    "antenna: turns a workload's policy into kernel rules and keeps them so\n",
    "usage: antenna COMMAND [OPTION]…\n",
    table(commands.map(({ name, summary }) => [`  ${name}`, summary])),
    "`antenna COMMAND --help` shows options and examples.",
    "exit codes: 0 done, 1 failed, 2 usage, 3 input refused, 4 no daemon answers, 5 not permitted\n",
  ].join("\n");
}

/** What `antenna COMMAND --help` shows. */
export function commandHelp(command: Command): string {
  const options: (readonly [string, Option])[] = [
    ...Object.entries(command.options),
    ["help", { type: "boolean", about: "this text" }],
  ];
  const parts = [
    `usage: ${usage(command)}\n`,
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

export function usage(command: Command): string {
  const positionals = command.positionals.map(({ name, required }) => (required ? name : `[${name}]`));
  const options = Object.entries(command.options).map(([name, option]) => `[${spell(name, option)}]`);
  return ["antenna", command.name, ...options, ...positionals].join(" ");
}

function spell(name: string, option: Option): string {
  return option.value === undefined ? `--${name}` : `--${name} ${option.value}`;
}
