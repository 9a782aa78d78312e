import { createSocket } from "node:dgram";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import type {
  LoadResult,
  PeerAnswer,
  PeerRequest,
  PeerResult,
  PumpResult,
  SinkState,
  StreamState,
} from "./peer-protocol.js";

// The applications of one workload of the lab: listens, connects, streams. Runs inside the workload's namespace and is
// told what to do on stdin.

interface Stream {
  readonly socket: Socket;
  echoes: number;
  lastEcho: number;
  open: boolean;
}

interface Load {
  readonly stop: () => Promise<LoadResult>;
}

interface Pump {
  readonly stop: () => Promise<PumpResult>;
}

const tickMs = 5;
const connectTimeoutMs = 1000;
const loadPerSecond = 2000;
/** A full accept queue drops SYNs: on a busy machine that would look like a rule. */
const acceptBacklog = 4096;
const streams = new Map<string, Stream>();
const loads = new Map<string, Load>();
const pumps = new Map<string, Pump>();
const sinks = new Map<number, { received: number }>();

function listen(port: number): Promise<null> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host: "::", backlog: acceptBacklog }, () => resolve(null));
  });
}

function echo(port: number): Promise<null> {
  const socket = createSocket("udp4");
  socket.on("message", (bytes, { address, port: source }) =>
    socket.send(bytes, source, address, () => undefined),
  );
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, () => {
      socket.on("error", () => undefined);
      resolve(null);
    });
  });
}

/** The connection, or null when it did not open in time. */
function open(host: string, port: number, timeoutMs: number): Promise<Socket | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const give = (result: Socket | null) => {
      clearTimeout(late);
      socket.removeAllListeners();
      socket.on("error", () => socket.destroy());
      if (result === null) socket.destroy();
      resolve(result);
    };
    const late = setTimeout(() => give(null), timeoutMs);
    socket.once("connect", () => give(socket));
    socket.once("error", () => give(null));
  });
}

async function openStream(name: string, host: string, port: number): Promise<boolean> {
  const socket = await open(host, port, connectTimeoutMs);
  if (socket === null) return false;
  const stream: Stream = { socket, echoes: 0, lastEcho: performance.now(), open: true };
  streams.set(name, stream);
  socket.on("data", (bytes) => {
    stream.echoes += bytes.length;
    stream.lastEcho = performance.now();
  });
  const tick = setInterval(() => socket.write("."), tickMs);
  socket.once("close", () => {
    clearInterval(tick);
    stream.open = false;
  });
  return true;
}

function stateOf(name: string): StreamState {
  const stream = streams.get(name);
  if (stream === undefined) throw new Error(`no stream is called ${name}`);
  return { open: stream.open, echoes: stream.echoes, silentMs: performance.now() - stream.lastEcho };
}

function startLoad(name: string, host: string, port: number): null {
  let running = true;
  const started = performance.now();
  const totals = { connections: 0, failures: 0 };
  const done = (async () => {
    while (running) {
      const due = ((performance.now() - started) / 1000) * loadPerSecond;
      if (totals.connections + totals.failures >= due) {
        await delay(1);
        continue;
      }
      const socket = await open(host, port, connectTimeoutMs);
      if (socket === null) totals.failures += 1;
      else {
        totals.connections += 1;
        socket.resetAndDestroy();
      }
    }
  })();
  loads.set(name, {
    stop: async () => {
      running = false;
      await done;
      return { ...totals, seconds: (performance.now() - started) / 1000 };
    },
  });
  return null;
}

async function stopLoad(name: string): Promise<LoadResult> {
  const load = loads.get(name);
  if (load === undefined) throw new Error(`no load is called ${name}`);
  loads.delete(name);
  return load.stop();
}

function sink(port: number): Promise<null> {
  const socket = createSocket("udp4");
  const count = { received: 0 };
  sinks.set(port, count);
  socket.on("message", () => {
    count.received += 1;
  });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, () => {
      socket.setRecvBufferSize(4 << 20);
      resolve(null);
    });
  });
}

function sinkState(port: number): SinkState {
  const count = sinks.get(port);
  if (count === undefined) throw new Error(`nothing sinks on port ${port}`);
  return { received: count.received };
}

type PumpRequest = Extract<PeerRequest, { readonly op: "pump-start" }>;

async function startPump({ pump, host, port, perSecond, flows }: PumpRequest): Promise<null> {
  const sockets = await Promise.all(
    Array.from({ length: flows }, async () => {
      const socket = createSocket("udp4");
      socket.on("error", () => undefined);
      await new Promise<void>((resolve) => socket.bind(0, resolve));
      return socket;
    }),
  );
  const totals = { sent: 0, refused: 0 };
  const underWay = new Set<Promise<void>>();
  const started = performance.now();
  const tick = setInterval(() => {
    // What is due by now, so that a late timer does not lower the rate.
    const due = Math.floor(((performance.now() - started) * perSecond) / 1000) - totals.sent - totals.refused;
    for (let i = 0; i < Math.min(due, perSecond); i++) send();
  }, 2);
  function send(): void {
    const socket = sockets[(totals.sent + totals.refused) % sockets.length];
    if (socket === undefined) return;
    totals.sent += 1;
    const done = new Promise<void>((resolve) => {
      socket.send(Buffer.from(String(totals.sent)), port, host, (error) => {
        if (error !== null) {
          totals.sent -= 1;
          totals.refused += 1;
        }
        resolve();
      });
    });
    underWay.add(done);
    void done.then(() => underWay.delete(done));
  }
  pumps.set(pump, {
    stop: async () => {
      clearInterval(tick);
      await Promise.all(underWay);
      for (const socket of sockets) socket.close();
      return totals;
    },
  });
  return null;
}

async function stopPump(name: string): Promise<PumpResult> {
  const pump = pumps.get(name);
  if (pump === undefined) throw new Error(`no pump is called ${name}`);
  pumps.delete(name);
  return pump.stop();
}

async function answer(request: PeerRequest): Promise<PeerResult> {
  switch (request.op) {
    case "listen":
      return listen(request.port);
    case "echo":
      return echo(request.port);
    case "connect": {
      const socket = await open(request.host, request.port, request.timeoutMs);
      socket?.resetAndDestroy();
      return socket !== null;
    }
    case "stream-open":
      return openStream(request.stream, request.host, request.port);
    case "stream-state":
      return stateOf(request.stream);
    case "load-start":
      return startLoad(request.load, request.host, request.port);
    case "load-stop":
      return stopLoad(request.load);
    case "sink":
      return sink(request.port);
    case "sink-state":
      return sinkState(request.port);
    case "pump-start":
      return startPump(request);
    case "pump-stop":
      return stopPump(request.pump);
  }
}

function say(reply: PeerAnswer): void {
  process.stdout.write(`${JSON.stringify(reply)}\n`);
}

const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { id, ...request } = JSON.parse(line) as PeerRequest & { readonly id: number };
  answer(request as PeerRequest).then(
    (result) => say({ id, ok: true, result }),
    (error: unknown) => say({ id, ok: false, error: error instanceof Error ? error.message : String(error) }),
  );
});
lines.on("close", () => process.exit(0));
