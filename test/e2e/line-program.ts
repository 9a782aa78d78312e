import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { inside, type Namespace } from "../lab/namespace.js";

/** A program in a namespace that is spoken to by JSON lines on stdin and stdout; killed when disposed. */
export class LineProgram implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  readonly #lines: string[] = [];
  #said: () => void = () => undefined;
  #over = false;

  constructor(namespace: Namespace, argv: readonly string[], environment: Record<string, string> = {}) {
    const [program = "", ...rest] = argv;
    const [file, args] = inside(namespace.path, program, rest);
    this.#child = spawn(file, args, {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, ...environment },
    });
    // It may be killed at any time.
    this.#child.stdin?.on("error", () => undefined);
    if (this.#child.stdout === null) throw new Error("stdout is not piped");
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      this.#lines.push(line);
      this.#said();
    });
    this.#exited = new Promise((resolve) => {
      this.#child.once("close", () => {
        this.#over = true;
        this.#said();
        resolve();
      });
    });
  }

  tell(message: unknown): void {
    this.#child.stdin?.write(`${JSON.stringify(message)}\n`);
  }

  /** The next thing it says; null when it ended instead. Rejects when it says nothing for so long. */
  async hear(timeoutMs: number): Promise<unknown> {
    const end = performance.now() + timeoutMs;
    while (this.#lines.length === 0 && !this.#over) {
      const left = end - performance.now();
      if (left <= 0) throw new Error(`the program said nothing for ${timeoutMs} ms`);
      await new Promise<void>((resolve) => {
        const late = setTimeout(resolve, left);
        this.#said = () => {
          clearTimeout(late);
          resolve();
        };
      });
    }
    const line = this.#lines.shift();
    return line === undefined ? null : (JSON.parse(line) as unknown);
  }

  /** Tells it that nothing more comes, and waits until it ends. */
  async end(): Promise<void> {
    this.#child.stdin?.end();
    await this.#exited;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#over) this.#child.kill("SIGKILL");
    await this.#exited;
  }
}
