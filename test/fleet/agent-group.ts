import { type ChildProcess, fork } from "node:child_process";
import { join } from "node:path";
import type { GroupAnswers, GroupRequest, NumberedAnswer, NumberedRequest } from "./group-protocol.js";

const program = join(import.meta.dirname, "agent-group-main.js");

interface Waiting {
  readonly resolve: (value: GroupAnswers[keyof GroupAnswers]) => void;
  readonly reject: (reason: Error) => void;
}

/** Simulated agents in a process of their own, which can be stopped as a host is that hangs. */
export class AgentGroup implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #next = 1;

  constructor() {
    this.#child = fork(program, { execArgv: ["--conditions=in-repo", "--enable-source-maps"] });
    this.#child.on("message", (message: NumberedAnswer) => {
      const waiting = this.#waiting.get(message.id);
      this.#waiting.delete(message.id);
      if ("problem" in message) waiting?.reject(new Error(message.problem));
      else waiting?.resolve(message.value);
    });
    this.#child.once("exit", (code, signal) => {
      for (const { reject } of this.#waiting.values())
        reject(new Error(`the agents' process ended: ${code ?? signal}`));
      this.#waiting.clear();
    });
  }

  /** Its answer is of the method's type. */
  ask<Method extends GroupRequest["method"]>(
    request: Extract<GroupRequest, { readonly method: Method }>,
  ): Promise<GroupAnswers[Method]> {
    const id = this.#next++;
    const message: NumberedRequest = { id, request };
    return new Promise<GroupAnswers[keyof GroupAnswers]>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#child.send(message, (error) => {
        if (error !== null) reject(error);
      });
    }) as Promise<GroupAnswers[Method]>;
  }

  /** Hangs: nothing is read, nothing is answered, connections stay. */
  freeze(): void {
    this.#child.kill("SIGSTOP");
  }

  thaw(): void {
    this.#child.kill("SIGCONT");
  }

  /** Dies at once, frozen or not. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.kill("SIGKILL");
    await ended;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.kill();
  }
}
