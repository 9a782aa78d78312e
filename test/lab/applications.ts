import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { inside, type Namespace } from "./namespace.js";
import type {
  LoadResult,
  PeerAnswer,
  PeerRequest,
  PeerResult,
  PumpResult,
  SinkState,
  StreamState,
} from "./peer-protocol.js";

/** A workload's applications: a handle on the process of `peer.ts` in its namespace. */
export class Applications implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: PeerAnswer) => void>();
  #next = 1;

  private constructor(child: ChildProcess) {
    this.#child = child;
    if (child.stdout === null) throw new Error("the peer's stdout is not piped");
    createInterface({ input: child.stdout }).on("line", (line) => {
      const answer = JSON.parse(line) as PeerAnswer;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    child.once("exit", () => {
      for (const [id, give] of this.#waiting) give({ id, ok: false, error: "the peer process ended" });
      this.#waiting.clear();
    });
  }

  static start(namespace: Namespace): Applications {
    const program = join(import.meta.dirname, "peer.js");
    const [file, args] = inside(namespace.path, process.execPath, [program]);
    return new Applications(spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] }));
  }

  async listen(ports: readonly number[]): Promise<void> {
    await Promise.all(ports.map((port) => this.#ask({ op: "listen", port })));
  }

  /** Sends every UDP datagram that arrives on a port back. */
  async echo(port: number): Promise<void> {
    await this.#ask({ op: "echo", port });
  }

  /** True when a TCP connection to host and port opens within the time. */
  async reaches(host: string, port: number, timeoutMs = 700): Promise<boolean> {
    return (await this.#ask({ op: "connect", host, port, timeoutMs })) === true;
  }

  async openStream(stream: string, host: string, port: number): Promise<boolean> {
    return (await this.#ask({ op: "stream-open", stream, host, port })) === true;
  }

  async streamState(stream: string): Promise<StreamState> {
    return (await this.#ask({ op: "stream-state", stream })) as StreamState;
  }

  async startLoad(load: string, host: string, port: number): Promise<void> {
    await this.#ask({ op: "load-start", load, host, port });
  }

  async stopLoad(load: string): Promise<LoadResult> {
    return (await this.#ask({ op: "load-stop", load })) as LoadResult;
  }

  /** Counts UDP datagrams that arrive on a port. */
  async sink(port: number): Promise<void> {
    await this.#ask({ op: "sink", port });
  }

  async received(port: number): Promise<number> {
    return ((await this.#ask({ op: "sink-state", port })) as SinkState).received;
  }

  async startPump(
    pump: string,
    options: {
      readonly host: string;
      readonly port: number;
      readonly perSecond: number;
      readonly flows: number;
    },
  ): Promise<void> {
    await this.#ask({ op: "pump-start", pump, ...options });
  }

  async stopPump(pump: string): Promise<PumpResult> {
    return (await this.#ask({ op: "pump-stop", pump })) as PumpResult;
  }

  async #ask(request: PeerRequest): Promise<PeerResult> {
    const id = this.#next++;
    const answered = new Promise<PeerAnswer>((resolve) => this.#waiting.set(id, resolve));
    this.#child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`);
    const answer = await answered;
    if (!answer.ok) throw new Error(`${request.op}: ${answer.error}`);
    return answer.result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.stdin?.end();
    const late = setTimeout(() => this.#child.kill("SIGKILL"), 2000);
    await ended;
    clearTimeout(late);
  }
}
