import { execFile } from "node:child_process";
import { existsSync, mkdirSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Namespace } from "../lab/namespace.js";
import { LineProgram } from "./line-program.js";

const run = promisify(execFile);
const source = join(import.meta.dirname, "..", "..", "e2e", "native", "kill-at.c");
const folder = join(import.meta.dirname, "native");
const program = join(folder, "kill-at");

/** Compiles the tracer, unless it is there already. */
export async function buildKillAt(): Promise<void> {
  if (existsSync(program) && statSync(program).mtimeMs >= statSync(source).mtimeMs) return;
  mkdirSync(folder, { recursive: true });
  await run("/usr/bin/cc", ["-O2", "-Wall", "-Wextra", "-Werror", "-o", program, source]);
}

/** Who dies: the process about to make the call, the agent whoever makes it, or the agent with all its children. */
export type Victim = "caller" | "root" | "tree";
export const victims: readonly Victim[] = ["caller", "root", "tree"];

export interface TracedOptions {
  readonly namespace: Namespace;
  /** The program and its arguments, by absolute path. */
  readonly argv: readonly string[];
  readonly log: string;
}

/** Where the traced program dies: it tells the tracer by looking for a file that is not there. */
export interface Kill {
  /** Before the n-th call that changes something; 0: nobody is killed. */
  readonly at: number;
  readonly victim: Victim;
}

/** What the tracer wrote down. */
export interface TraceEnd {
  /** Calls that change something, in order: command, call and object. */
  readonly calls: readonly string[];
  /** 0: nobody. */
  readonly killed: number;
}

/** A program under the tracer; its children are traced too, waited for, and taken along when it is disposed. */
export class TracedProgram implements AsyncDisposable {
  readonly program: LineProgram;
  readonly #log: string;

  constructor({ namespace, argv, log }: TracedOptions) {
    // File work then is system calls that the tracer sees.
    this.program = new LineProgram(namespace, [program, log, ...argv], { UV_USE_IO_URING: "0" });
    this.#log = log;
  }

  /** Waits until it and all its children are gone. */
  async end(): Promise<TraceEnd> {
    await this.program.end();
    const lines = (await readFile(this.#log, "utf8")).trim().split("\n");
    const killed = /^counted \d+ killed (\d+)$/.exec(lines.pop() ?? "")?.[1];
    if (killed === undefined) throw new Error(`the tracer did not finish; ${this.#log} ends early`);
    return { calls: lines.map((line) => line.replace(/^\d+ \d+ /, "")), killed: Number(killed) };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.program[Symbol.asyncDispose]();
  }
}
