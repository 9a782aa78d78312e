import { type ChildProcess, execFile, spawn } from "node:child_process";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { promisify } from "node:util";
import { inside, type Namespace } from "../lab/namespace.js";

const run = promisify(execFile);
const source = join(import.meta.dirname, "..", "..", "bench", "native", "connect-loop.c");
const program = join(import.meta.dirname, "native", "connect-loop");

/** Compiles the load program; Node itself costs more per connection than what is to be measured. */
export async function buildConnectLoop(): Promise<void> {
  if (existsSync(program)) return;
  mkdirSync(join(import.meta.dirname, "native"), { recursive: true });
  await run("/usr/bin/cc", ["-O2", "-Wall", "-Wextra", "-o", program, source]);
}

export interface Connections {
  readonly perSecond: number;
  /** CPU of both ends, kernel work included, which noise disturbs least. */
  readonly cpuUsPerConnection: number;
}

/** Accepts connections in a namespace. */
export class ConnectionServer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #lines: Interface;

  private constructor(child: ChildProcess, lines: Interface) {
    this.#child = child;
    this.#lines = lines;
  }

  static async start(namespace: Namespace, port: number): Promise<ConnectionServer> {
    const [file, args] = inside(namespace.path, program, ["serve", String(port)]);
    const child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
    if (child.stdout === null) throw new Error("stdout is not piped");
    const server = new ConnectionServer(child, createInterface({ input: child.stdout }));
    const ready = await server.#line();
    if (ready !== "ready") throw new Error(`connect-loop serve said ${ready}`);
    return server;
  }

  async cpuUs(): Promise<number> {
    const answer = this.#line();
    this.#child.stdin?.write("\n");
    return Number(await answer);
  }

  #line(): Promise<string> {
    return new Promise((resolve) => this.#lines.once("line", resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.stdin?.end();
    await ended;
  }
}

export interface ConnectOptions {
  readonly from: Namespace;
  readonly host: string;
  readonly port: number;
  readonly count: number;
  readonly server: ConnectionServer;
}

/** Opens `count` connections one after another from a namespace to a server and measures both ends. */
export async function connectMany({ from, host, port, count, server }: ConnectOptions): Promise<Connections> {
  const before = await server.cpuUs();
  const answer = JSON.parse(await from.exec(program, ["connect", host, String(port), String(count)])) as {
    readonly elapsedUs: number;
    readonly cpuUs: number;
  };
  const served = (await server.cpuUs()) - before;
  return { perSecond: (count * 1e6) / answer.elapsedUs, cpuUsPerConnection: (answer.cpuUs + served) / count };
}
