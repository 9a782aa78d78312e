import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openConnectionTable } from "@antenna/netfilter";
import type { ConnectionTable, Logger, TrackedFlow } from "@antenna/sdk";
import { systemClock } from "@antenna/sdk";
import { createNamespace, inside, link, type Namespace, uniqueName } from "../lab/namespace.js";
import type { PeerAnswer, PeerCall, TcpReport } from "./connection-peer-protocol.js";

export const cutMark = 0x1000_0000;
const iptables = "/usr/sbin/iptables-nft";
const ip6tables = "/usr/sbin/ip6tables-nft";
export const conntrack = "/usr/sbin/conntrack";

/** A process with sockets inside one namespace. */
export class Peer implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: PeerAnswer) => void>();
  #next = 0;

  constructor(namespace: Namespace) {
    const program = fileURLToPath(new URL("./connection-peer.js", import.meta.url));
    const [file, argv] = inside(namespace.path, process.execPath, [program]);
    this.#child = spawn(file, [...argv], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    this.#child.on("message", (answer: PeerAnswer) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
  }

  async call(call: PeerCall): Promise<unknown> {
    this.#next += 1;
    const id = this.#next;
    const answered = new Promise<PeerAnswer>((resolve) => this.#waiting.set(id, resolve));
    this.#child.send({ id, call });
    const { value, error } = await answered;
    if (error !== null) throw new Error(`${call.do}: ${error}`);
    return value;
  }

  async listen(host: string, port: number): Promise<void> {
    await this.call({ do: "listen", host, port });
  }

  async connect(host: string, port: number, localPort: number | null = null): Promise<number> {
    return (await this.call({ do: "connect", host, port, localPort })) as number;
  }

  /** Writes; with `flush` it resolves once the kernel has taken everything. */
  async push(key: string, bytes: number, flush = false): Promise<void> {
    await this.call({ do: "push", key, bytes, flush });
  }

  async report(key: string): Promise<TcpReport> {
    return (await this.call({ do: "report", key })) as TcpReport;
  }

  async bind(host: string, port: number): Promise<number> {
    return (await this.call({ do: "bind", host, port })) as number;
  }

  async send(from: number, host: string, port: number): Promise<void> {
    await this.call({ do: "send", from, host, port });
  }

  async datagrams(port: number): Promise<number> {
    return (await this.call({ do: "datagrams", port })) as number;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exited = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exited;
  }
}

interface Overwritten {
  readonly flow: TrackedFlow;
  readonly by: "mark-overwritten" | "entry-deleted";
  readonly atMs: number;
}

/** Two hosts on one link; `here` is where connections are tracked and cut. */
export interface Arena extends AsyncDisposable {
  readonly here: Namespace;
  readonly there: Namespace;
  readonly server: Peer;
  readonly client: Peer;
  readonly table: ConnectionTable;
  readonly warnings: readonly string[];
  readonly overwritten: readonly Overwritten[];
  /** Opens another table on the same namespace, as a restart would. */
  reopen(): Promise<ConnectionTable>;
}

export const hereAddress = "10.90.0.1";
export const thereAddress = "10.90.0.2";
export const hereAddress6 = "fd90::1";
const thereAddress6 = "fd90::2";

export async function createArena(): Promise<Arena> {
  const undo: (() => Promise<void>)[] = [];
  const dispose = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  try {
    const here = await createNamespace(uniqueName("cth"));
    undo.push(async () => await here[Symbol.asyncDispose]());
    const there = await createNamespace(uniqueName("ctt"));
    undo.push(async () => await there[Symbol.asyncDispose]());
    await link(
      { namespace: here, interface: "eth0", addresses: [`${hereAddress}/24`, `${hereAddress6}/64`] },
      { namespace: there, interface: "eth0", addresses: [`${thereAddress}/24`, `${thereAddress6}/64`] },
    );
    const server = new Peer(here);
    undo.push(async () => await server[Symbol.asyncDispose]());
    const client = new Peer(there);
    undo.push(async () => await client[Symbol.asyncDispose]());
    const warnings: string[] = [];
    const overwritten: Overwritten[] = [];
    const open = async (): Promise<ConnectionTable> => {
      const table = await openConnectionTable({
        namespace: here.path,
        cutMark,
        clock: systemClock,
        logger: recorder(warnings),
      });
      undo.push(async () => await table[Symbol.asyncDispose]());
      table.onOverwritten((event) => overwritten.push({ ...event, atMs: performance.now() }));
      return table;
    };
    const table = await open();
    return {
      here,
      there,
      server,
      client,
      table,
      warnings,
      overwritten,
      reopen: open,
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function recorder(warnings: string[]): Logger {
  const write = (facts: object, message: string): void => {
    const error = "error" in facts ? ` ${String(facts.error)}` : "";
    warnings.push(`${message}${error}`);
  };
  return { debug: () => undefined, info: () => undefined, warn: write, error: write };
}

/** Rules of both families; `filter` unless a line begins with another table in brackets. */
export async function rules(namespace: Namespace, lines: readonly string[]): Promise<void> {
  for (const line of lines) {
    for (const program of [iptables, ip6tables]) await namespace.exec(program, ["-w", ...line.split(" ")]);
  }
}

const cutMatch = `-m connmark --mark 0x${cutMark.toString(16)}/0x${cutMark.toString(16)}`;

/** What an agent's chains hold around the cut, in front of `more` and a closing drop of both directions. */
export async function enforce(namespace: Namespace, more: readonly string[]): Promise<void> {
  await rules(namespace, [
    "-N JUDGE-IN",
    "-N JUDGE-OUT",
    ...more,
    ...["INPUT -i lo", "OUTPUT -o lo"].map((where) => `-A ${where} -j ACCEPT`),
    ...["INPUT", "OUTPUT"].map((chain) => `-A ${chain} ${cutMatch} -j DROP`),
    ...["INPUT", "OUTPUT"].map((chain) => `-A ${chain} -m conntrack --ctstate ESTABLISHED -j ACCEPT`),
    "-A INPUT -j JUDGE-IN",
    "-A OUTPUT -j JUDGE-OUT",
    "-A INPUT -j DROP",
    "-A OUTPUT -j DROP",
  ]);
  for (const chain of ["INPUT", "OUTPUT"]) {
    await namespace.exec(ip6tables, ["-w", "-I", chain, "-p", "icmpv6", "-j", "ACCEPT"]);
  }
}

/** Every tracked flow that `wanted` takes, as copies. */
export async function flows(
  table: ConnectionTable,
  wanted: (flow: TrackedFlow) => boolean = () => true,
): Promise<TrackedFlow[]> {
  const found: TrackedFlow[] = [];
  for await (const batch of table.dump()) {
    for (const flow of batch) {
      if (!wanted(flow)) continue;
      found.push({
        ...flow,
        original: copyTuple(flow.original),
        reply: copyTuple(flow.reply),
      });
    }
  }
  return found;
}

function copyTuple(tuple: TrackedFlow["original"]): TrackedFlow["original"] {
  return { ...tuple, source: tuple.source.slice(), destination: tuple.destination.slice() };
}

/** The flow that has this port at one of its ends. */
export function hasPort(port: number): (flow: TrackedFlow) => boolean {
  return ({ original }) => original.sourcePort === port || original.destinationPort === port;
}

export async function only(
  table: ConnectionTable,
  wanted: (flow: TrackedFlow) => boolean,
): Promise<TrackedFlow> {
  const found = await flows(table, wanted);
  const [flow] = found;
  if (flow === undefined || found.length > 1) throw new Error(`${found.length} flows where one was expected`);
  return flow;
}

/** Waits until `holds`; rejects after `limitMs`. */
export async function until(what: string, limitMs: number, holds: () => Promise<boolean>): Promise<number> {
  const began = performance.now();
  for (;;) {
    if (await holds()) return performance.now() - began;
    if (performance.now() - began > limitMs) throw new Error(`not within ${limitMs} ms: ${what}`);
    await sleep(10);
  }
}

/** Lines of `conntrack -L`, as the owner sees them. */
export async function conntrackLines(namespace: Namespace): Promise<string[]> {
  const text = await namespace.exec(conntrack, ["-L"]);
  return text.split("\n").filter((line) => line !== "");
}
