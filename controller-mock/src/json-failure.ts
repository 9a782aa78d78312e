import { AntennaError, type Problem } from "@antenna/sdk";
import { type Command, UsageError } from "@antenna/sdk/command-line";
import { UnansweredError } from "@antenna/sdk/control-socket";

/** What a command prints on stdout when it fails with `--json`; people's words go to stderr all the same. */
export interface FailureDocument {
  readonly error: {
    /** A code of AntennaError, or `unanswered`. */
    readonly code: string;
    readonly message: string;
    readonly problems: readonly Problem[];
  };
}

/** The command, with one document on stdout for a failure too. A command line that is not understood has none. */
export function tellFailure(command: Command): Command {
  if (command.options.json === undefined) return command;
  return {
    ...command,
    run: async (invocation) => {
      try {
        return await command.run(invocation);
      } catch (reason) {
        if (invocation.has("json") && !(reason instanceof UsageError)) {
          await invocation.terminal.out(`${JSON.stringify(failureDocument(reason), null, 2)}\n`);
        }
        throw reason;
      }
    },
  };
}

function failureDocument(reason: unknown): FailureDocument {
  if (reason instanceof UnansweredError)
    return { error: { code: "unanswered", message: reason.message, problems: [] } };
  const { code, message, problems } = AntennaError.from(reason, "run the command");
  return { error: { code, message, problems } };
}
