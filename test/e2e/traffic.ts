import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { inside, type Namespace } from "../lab/namespace.js";
import type { Arena } from "./arena.js";
import { type DirectedProbe, type Expected, inPorts, outPorts } from "./probes.js";
import type { TrafficAnswer, TrafficCounts, TrafficRequest } from "./traffic-protocol.js";

/** So long a datagram that was sent may take through two busy processes. */
const arrivalMs = 3_000;
const nothing: TrafficCounts = { sent: {}, refused: {}, received: {} };

export interface ProbeReport {
  /** Of all probes. */
  readonly sent: number;
  /** What happened against expectation, for people; empty: nothing. */
  readonly wrong: readonly string[];
}

/** UDP probes between client and server, both ways, each judged anew: nothing answers them. */
export class Traffic implements AsyncDisposable {
  readonly #arena: Arena;
  readonly #ends: Readonly<Record<"client" | "server", TrafficEnd>>;
  #probes: readonly DirectedProbe[] = [];
  #before: Readonly<Record<"client" | "server", TrafficCounts>> = { client: nothing, server: nothing };
  #overruns = 0;

  private constructor(arena: Arena) {
    this.#arena = arena;
    this.#ends = {
      client: new TrafficEnd(arena.client.namespace),
      server: new TrafficEnd(arena.server.namespace),
    };
  }

  static async start(arena: Arena): Promise<Traffic> {
    const traffic = new Traffic(arena);
    await Promise.all([
      traffic.#ends.server.ask({ op: "receive", ports: inPorts }),
      traffic.#ends.client.ask({ op: "receive", ports: outPorts }),
    ]);
    traffic.#overruns = await traffic.#allOverruns();
    return traffic;
  }

  /** Sends these from the next `resume` on. */
  async use(probes: readonly DirectedProbe[], perSecond: number): Promise<void> {
    this.#probes = probes;
    const [inward, outward] = (["in", "out"] as const).map((direction) =>
      probes
        .filter((probe) => probe.direction === direction)
        .map(({ tag, source, host, port }) => ({ tag, source, host, port })),
    );
    const share = (part: readonly unknown[] | undefined) =>
      Math.ceil((perSecond * (part?.length ?? 0)) / Math.max(1, probes.length));
    await Promise.all([
      this.#ends.client.ask({ op: "probes", probes: inward ?? [], perSecond: share(inward) }),
      this.#ends.server.ask({ op: "probes", probes: outward ?? [], perSecond: share(outward) }),
    ]);
  }

  /** Sends; with `renew` from new ports, so that every flow is a new one. */
  async resume({ renew }: { readonly renew: boolean }): Promise<void> {
    const request = { op: "resume", renew } as const;
    await Promise.all([this.#ends.client.ask(request), this.#ends.server.ask(request)]);
  }

  /** Stops sending and compares everything since the last report with what was expected. */
  async report(expected: (probe: DirectedProbe) => Expected): Promise<ProbeReport> {
    await Promise.all([this.#ends.client.ask({ op: "pause" }), this.#ends.server.ask({ op: "pause" })]);
    const end = performance.now() + arrivalMs;
    for (;;) {
      const now = { client: await this.#counts("client"), server: await this.#counts("server") };
      const lines = this.#probes.map((probe) => this.#line(probe, now, expected(probe)));
      const lost = lines.reduce((sum, line) => sum + line.lost, 0);
      if (lost > 0 && performance.now() < end) {
        await delay(20);
        continue;
      }
      this.#before = now;
      // What a full receive buffer lost, no rule did.
      const overruns = lost === 0 ? this.#overruns : await this.#allOverruns();
      const excused = overruns - this.#overruns >= lost;
      this.#overruns = overruns;
      return {
        sent: lines.reduce((sum, line) => sum + line.sent, 0),
        wrong: lines.flatMap((line) =>
          line.wrong === null || (line.lost > 0 && excused) ? [] : [line.wrong],
        ),
      };
    }
  }

  #line(
    { tag, direction }: DirectedProbe,
    now: Readonly<Record<"client" | "server", TrafficCounts>>,
    expected: Expected,
  ): { readonly sent: number; readonly lost: number; readonly wrong: string | null } {
    const [from, to] = direction === "in" ? (["client", "server"] as const) : (["server", "client"] as const);
    const since = (end: "client" | "server", what: keyof TrafficCounts) =>
      (now[end][what][tag] ?? 0) - (this.#before[end][what][tag] ?? 0);
    const refused = since(from, "refused");
    const sent = since(from, "sent") + refused;
    const received = since(to, "received");
    const lost = expected === "passes" ? Math.max(0, sent - received) : 0;
    const passed = expected === "never" ? received : 0;
    const wrong =
      lost > 0
        ? `${tag}: ${lost} of ${sent} allowed packets lost (${refused} refused by the sender's kernel)`
        : passed > 0
          ? `${tag}: ${passed} of ${sent} denied packets passed`
          : null;
    return { sent, lost, wrong };
  }

  async #counts(end: "client" | "server"): Promise<TrafficCounts> {
    return (await this.#ends[end].ask({ op: "counts" })) ?? nothing;
  }

  async #allOverruns(): Promise<number> {
    const parts = await Promise.all(
      [this.#arena.client.namespace, this.#arena.server.namespace].map(overrunsIn),
    );
    return parts.reduce((sum, part) => sum + part, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#ends.client.close(), this.#ends.server.close()]);
  }
}

/** Datagrams that arrived and found the receiver's buffer full, of both families. */
async function overrunsIn(namespace: Namespace): Promise<number> {
  const text = await namespace.exec("/usr/bin/cat", ["/proc/net/snmp", "/proc/net/snmp6"]);
  const udp = text.split("\n").filter((line) => line.startsWith("Udp:"));
  const column = (udp[0] ?? "").split(" ").indexOf("RcvbufErrors");
  const six = /^Udp6RcvbufErrors\s+(\d+)$/m.exec(text)?.[1] ?? "0";
  return Number((udp[1] ?? "").split(" ")[column]) + Number(six);
}

/** The process that sends and receives in one namespace. */
class TrafficEnd {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: TrafficAnswer) => void>();
  #next = 1;

  constructor(namespace: Namespace) {
    const [file, args] = inside(namespace.path, process.execPath, [
      join(import.meta.dirname, "traffic-peer.js"),
    ]);
    this.#child = spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] });
    if (this.#child.stdout === null) throw new Error("stdout is not piped");
    createInterface({ input: this.#child.stdout }).on("line", (line) => {
      const answer = JSON.parse(line) as TrafficAnswer;
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    this.#child.once("exit", () => {
      for (const [id, give] of this.#waiting) give({ id, ok: false, error: "the process ended" });
      this.#waiting.clear();
    });
  }

  async ask(request: TrafficRequest): Promise<TrafficCounts | null> {
    const id = this.#next++;
    const answered = new Promise<TrafficAnswer>((resolve) => this.#waiting.set(id, resolve));
    this.#child.stdin?.write(`${JSON.stringify({ id, ...request })}\n`);
    const answer = await answered;
    if (!answer.ok) throw new Error(`${request.op}: ${answer.error}`);
    return answer.result;
  }

  async close(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise((resolve) => this.#child.once("exit", resolve));
    this.#child.stdin?.end();
    await ended;
  }
}
