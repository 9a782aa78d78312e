import { UnansweredError } from "../control-socket/unanswered-error.js";
import { AntennaError } from "../error.js";

/** What the process tells its caller; the numbers are a contract with scripts. */
export const exitCode = {
  done: 0,
  failed: 1,
  usage: 2,
  inputRefused: 3,
  unanswered: 4,
  notPermitted: 5,
} as const;
export type ExitCode = (typeof exitCode)[keyof typeof exitCode];

/** The command line was not understood: exit code 2, with the help of the command it was meant for. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

export function exitCodeOf(reason: unknown): ExitCode {
  if (reason instanceof UsageError) return exitCode.usage;
  if (reason instanceof UnansweredError) return exitCode.unanswered;
  if (!(reason instanceof AntennaError)) return exitCode.failed;
  switch (reason.code) {
    case "input-refused":
    case "version-refused":
    case "over-budget":
      return exitCode.inputRefused;
    case "not-permitted":
      return exitCode.notPermitted;
    default:
      return exitCode.failed;
  }
}
