import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { accessSync, constants } from "node:fs";
import { AntennaError } from "@antenna/sdk";

export interface CommandLine {
  /** Absolute path. */
  readonly file: string;
  readonly args: readonly string[];
  readonly input?: string;
  /** Added to an environment that is otherwise empty but for the locale. */
  readonly environment?: Readonly<Record<string, string>>;
  /** After this it is killed; default 30,000 ms. */
  readonly timeoutMs?: number;
}

export interface CommandResult {
  /** null: it died by a signal. */
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** The seam to the operating system's programs; tests bring their own. */
export interface CommandRunner {
  /** Rejects with AntennaError only when the program could not be started or took too long. */
  run(command: CommandLine): Promise<CommandResult>;
  /**
   * Starts a program that echoes its input, shows its pid once it runs, and ends it. Rejects like `run`, and with what
   * `look` throws.
   */
  inspect(command: CommandLine, look: (pid: number) => void): Promise<void>;
  /** The first of the paths that can be executed. @throws AntennaError `unsupported` when none can. */
  resolve(paths: readonly string[]): string;
}

/** A child's output beyond this is cut off. */
const mostOutput = 64 * 1024 * 1024;

/** Runs programs by absolute path and argv, never through a shell. */
export class ChildProcesses implements CommandRunner {
  readonly #resolved = new Map<string, string>();

  resolve(paths: readonly string[]): string {
    const key = paths.join(":");
    const known = this.#resolved.get(key);
    if (known !== undefined) return known;
    const found = paths.find(isExecutable);
    if (found === undefined) {
      throw new AntennaError({
        code: "unsupported",
        operation: `find ${paths[0]?.split("/").pop()}`,
        message: `none of ${paths.join(", ")} is there; install the packages iptables, ipset and util-linux`,
      });
    }
    this.#resolved.set(key, found);
    return found;
  }

  async inspect(command: CommandLine, look: (pid: number) => void): Promise<void> {
    let thrown: unknown = null;
    const result = await this.#run(command, "x", (child) => {
      try {
        if (child.pid !== undefined) look(child.pid);
      } catch (error) {
        thrown = error;
      }
      child.stdin.end();
    });
    if (thrown !== null) throw thrown;
    if (result.code === 0) return;
    const operation = `run ${command.file}`;
    throw new AntennaError({
      code: "not-permitted",
      operation,
      message: result.stderr,
      detail: result.stderr,
    });
  }

  async run(command: CommandLine): Promise<CommandResult> {
    return await this.#run(command, command.input ?? "", null);
  }

  /** @param onEcho called with the child at its first output; it then has to end the child's input. */
  async #run(
    command: CommandLine,
    input: string,
    onEcho: ((child: ChildProcessWithoutNullStreams) => void) | null,
  ): Promise<CommandResult> {
    const { file, args, environment, timeoutMs = 30_000 } = command;
    return await new Promise((resolve, reject) => {
      const child = spawn(file, [...args], {
        env: { LC_ALL: "C", ...environment },
        stdio: "pipe",
        timeout: timeoutMs,
        killSignal: "SIGKILL",
      });
      const stdout = new Output();
      const stderr = new Output();
      child.stdout.on("data", (chunk: Buffer) => stdout.add(chunk));
      child.stderr.on("data", (chunk: Buffer) => stderr.add(chunk));
      // It may end before it has read everything; its exit code says why.
      child.stdin.on("error", () => undefined);
      if (onEcho === null) child.stdin.end(input);
      else {
        child.stdin.write(input);
        child.stdout.once("data", () => onEcho(child));
      }
      child.on("error", (cause) =>
        reject(
          new AntennaError({
            code: "unsupported",
            operation: `start ${file}`,
            message: `${cause.message}; check that the program is installed and may be executed`,
            cause,
          }),
        ),
      );
      child.on("close", (code, signal) => {
        if (signal === "SIGKILL") {
          const message = `killed, most likely because it took longer than ${timeoutMs} ms`;
          reject(
            new AntennaError({ code: "busy", operation: `run ${file}`, message, detail: stderr.text() }),
          );
          return;
        }
        resolve({ code, stdout: stdout.text(), stderr: stderr.text() });
      });
    });
  }
}

class Output {
  readonly #chunks: Buffer[] = [];
  #bytes = 0;

  add(chunk: Buffer): void {
    if (this.#bytes >= mostOutput) return;
    this.#chunks.push(chunk);
    this.#bytes += chunk.length;
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString("utf8");
  }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
