import { execFile } from "node:child_process";
import { createSocket } from "node:dgram";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { pair, unpair } from "@antenna/sdk";
import { ip } from "../lab/namespace.js";
import {
  type ProbeAnswer,
  type ProbeRequest,
  type ProbeResult,
  type ProbeTargets,
  sharedNow,
} from "./link-probe-protocol.js";

// Runs inside a host's namespace: joins, moves, and tells when the first packet came through to each peer. Every request has
// a socket of its own, so that each question is a flow that the kernel has not seen before.

const run = promisify(execFile);
const everyMs = 5;
/** Nobody who lets a packet in takes longer on a busy machine. */
const silentMs = 150;

/** Opens a socket that keeps asking every target for an answer; `heard` gives when each answered first and last. */
function asking({ targets, port }: ProbeTargets) {
  const socket = createSocket("udp4");
  socket.on("error", () => undefined);
  const first = new Map<string, number>();
  const last = new Map<string, number>();
  socket.on("message", (_bytes, { address }) => {
    const now = sharedNow();
    last.set(address, now);
    if (!first.has(address)) first.set(address, now);
  });
  return {
    first,
    last,
    ask: (waiting: readonly string[] = targets) => {
      for (const target of waiting) socket.send("?", port, target, () => undefined);
    },
    [Symbol.dispose]: () => void socket.close(),
  };
}

async function reach(request: ProbeTargets, since: number, pairedMs: number | null = null) {
  using probe = asking(request);
  const waiting = () => request.targets.filter((target) => !probe.first.has(target));
  while (waiting().length > 0 && sharedNow() - since < request.patienceMs) {
    probe.ask(waiting());
    await delay(everyMs);
  }
  return resultOf(request, [...probe.first.values()], since, { pairedMs, late: waiting() });
}

/** Each round has a socket of its own: a flow that was cut is no answer to whether a new one would be let in. */
async function lose(request: ProbeTargets, since: number): Promise<ProbeResult> {
  const lost = new Map<string, number>();
  const waiting = () => request.targets.filter((target) => !lost.has(target));
  while (waiting().length > 0 && sharedNow() - since < request.patienceMs) {
    using probe = asking(request);
    const asked = waiting();
    const at = sharedNow();
    probe.ask(asked);
    while (sharedNow() - at < silentMs && asked.some((target) => !probe.first.has(target)))
      await delay(everyMs);
    for (const target of asked.filter((one) => !probe.first.has(one))) lost.set(target, at);
  }
  return resultOf(request, [...lost.values()], since, { pairedMs: null, late: waiting() });
}

function resultOf(
  { targets }: ProbeTargets,
  times: readonly number[],
  since: number,
  rest: Pick<ProbeResult, "pairedMs" | "late">,
): ProbeResult {
  const elapsed = times.map((time) => Math.max(0, time - since));
  return {
    ...rest,
    firstMs: elapsed.length === 0 ? null : Math.min(...elapsed),
    allMs: elapsed.length < targets.length ? null : Math.max(...elapsed),
  };
}

async function answer(request: ProbeRequest): Promise<ProbeResult> {
  switch (request.op) {
    case "join": {
      const { controller, key, stateDir } = request;
      const since = sharedNow();
      let pairedMs: number | null = null;
      const pairing = pair({ controller, key, stateDir }).then(() => {
        pairedMs = sharedNow() - since;
      });
      const reached = reach(request, since);
      await pairing;
      return { ...(await reached), pairedMs };
    }
    case "unpair":
      await unpair({ stateDir: request.stateDir });
      return { pairedMs: null, firstMs: null, allMs: null, late: [] };
    case "move": {
      // The other order would take both away: the kernel deletes the second of a network with the first.
      await run(ip, ["address", "del", request.from, "dev", "eth0"]);
      const since = sharedNow();
      await run(ip, ["address", "add", request.to, "dev", "eth0"]);
      return reach(request, since);
    }
    case "reach":
      return reach(request, request.since);
    case "lose":
      return lose(request, request.since);
  }
}

function say(reply: ProbeAnswer): void {
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { id, ...request } = JSON.parse(line) as ProbeRequest & { readonly id: number };
  answer(request as ProbeRequest).then(
    (result) => say({ id, ok: true, result }),
    (error: unknown) => say({ id, ok: false, error: error instanceof Error ? error.message : String(error) }),
  );
});
lines.on("close", () => process.exit(0));
