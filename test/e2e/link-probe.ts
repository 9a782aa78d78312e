import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { inside, type Namespace } from "../lab/namespace.js";
import type { ProbeAnswer, ProbeRequest, ProbeResult } from "./link-probe-protocol.js";

/** A handle on a prober in a namespace. */
export class Probe implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: ProbeAnswer) => void>();
  #next = 1;

  /** `environment` is added to this process's own. */
  constructor(namespace: Namespace, environment: Readonly<Record<string, string>> = {}) {
    const program = join(import.meta.dirname, "link-prober.js");
    const [file, args] = inside(namespace.path, process.execPath, ["--conditions=in-repo", program]);
    this.#child = spawn(file, args, {
      stdio: ["pipe", "pipe", "inherit"],
      env: { ...process.env, ...environment },
    });
    const { stdout } = this.#child;
    if (stdout === null) throw new Error("the prober's stdout is not piped");
    createInterface({ input: stdout }).on("line", (line) => {
      const answer = JSON.parse(line) as ProbeAnswer;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    this.#child.once("exit", () => {
      for (const [id, give] of this.#waiting) give({ id, ok: false, error: "the prober ended" });
      this.#waiting.clear();
    });
  }

  async ask(request: ProbeRequest): Promise<ProbeResult> {
    const id = this.#next++;
    const answered = new Promise<ProbeAnswer>((resolve) => this.#waiting.set(id, resolve));
    this.#child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`);
    const answer = await answered;
    if (!answer.ok) throw new Error(`${request.op}: ${answer.error}`);
    return answer.result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.stdin?.end();
    const late = setTimeout(() => this.#child.kill("SIGKILL"), 2_000);
    await ended;
    clearTimeout(late);
  }
}
