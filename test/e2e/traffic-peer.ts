import { createSocket, type Socket } from "node:dgram";
import { createInterface } from "node:readline";
import type { Probe, TrafficAnswer, TrafficCounts, TrafficRequest } from "./traffic-protocol.js";

// Sends and receives probes in the namespace it is started in; told what to do on stdin.

/** Datagrams from one port, so that many flows are new ones. */
const perSocket = 16;
const tickMs = 2;

class Sender {
  readonly #probe: Probe;
  readonly #bytes: Buffer;
  #socket: Socket | null = null;
  #left = 0;

  constructor(probe: Probe) {
    this.#probe = probe;
    this.#bytes = Buffer.from(probe.tag);
  }

  /** Resolves true when the kernel took it. */
  async send(): Promise<boolean> {
    if (this.#left === 0) await this.#open();
    this.#left -= 1;
    const socket = this.#socket;
    return await new Promise((resolve) => socket?.send(this.#bytes, (error) => resolve(error === null)));
  }

  /** The next one goes from a new port. */
  renew(): void {
    this.#left = 0;
  }

  close(): void {
    this.#socket?.close();
    this.#socket = null;
    this.#left = 0;
  }

  async #open(): Promise<void> {
    this.close();
    this.#left = perSocket;
    const { source, host, port } = this.#probe;
    const socket = createSocket(source.includes(":") ? "udp6" : "udp4");
    this.#socket = socket;
    // Refusals that come back as ICMP.
    socket.on("error", () => undefined);
    await new Promise<void>((resolve) => socket.bind(0, source, resolve));
    await new Promise<void>((resolve) => socket.connect(port, host, () => resolve()));
  }
}

const sent: Record<string, number> = {};
const refused: Record<string, number> = {};
const received: Record<string, number> = {};
let senders: readonly { readonly tag: string; readonly sender: Sender }[] = [];
let perSecond = 0;
let round: Promise<void> = Promise.resolve();
let sending = false;

function receive(port: number): Promise<void> {
  const socket = createSocket("udp6");
  socket.on("message", (bytes) => {
    const tag = bytes.toString();
    received[tag] = (received[tag] ?? 0) + 1;
  });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, "::", () => {
      socket.setRecvBufferSize(4 << 20);
      resolve();
    });
  });
}

async function sendOne(index: number): Promise<void> {
  const next = senders[index % senders.length];
  if (next === undefined) return;
  const into = (await next.sender.send()) ? sent : refused;
  into[next.tag] = (into[next.tag] ?? 0) + 1;
}

async function pump(): Promise<void> {
  const started = performance.now();
  let done = 0;
  while (sending) {
    const due = Math.floor(((performance.now() - started) * perSecond) / 1000);
    while (sending && done < due) await sendOne(done++);
    await new Promise((resolve) => setTimeout(resolve, tickMs));
  }
}

async function act(request: TrafficRequest): Promise<TrafficCounts | null> {
  switch (request.op) {
    case "receive":
      await Promise.all(request.ports.map(receive));
      return null;
    case "probes":
      for (const { sender } of senders) sender.close();
      senders = request.probes.map((probe) => ({ tag: probe.tag, sender: new Sender(probe) }));
      perSecond = request.perSecond;
      return null;
    case "resume":
      if (sending) return null;
      if (request.renew) for (const { sender } of senders) sender.renew();
      sending = true;
      round = pump();
      return null;
    case "pause":
      sending = false;
      await round;
      return null;
    case "counts":
      return { sent, refused, received };
  }
}

function say(answer: TrafficAnswer): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { id, ...request } = JSON.parse(line) as TrafficRequest & { readonly id: number };
  act(request as TrafficRequest).then(
    (result) => say({ id, ok: true, result }),
    (error: unknown) => say({ id, ok: false, error: error instanceof Error ? error.message : String(error) }),
  );
});
lines.on("close", () => process.exit(0));
