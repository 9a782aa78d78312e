import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";
import type { LoadResult, PeerAnswer, PeerRequest, StreamState } from "./peer-protocol.js";

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

const tickMs = 5;
const connectTimeoutMs = 1000;
const streams = new Map<string, Stream>();
const loads = new Map<string, Load>();

function listen(port: number): Promise<null> {
  const server = createServer((socket) => {
    socket.on("error", () => socket.destroy());
    socket.pipe(socket);
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen({ port, host: "::" }, () => resolve(null));
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

async function answer(request: PeerRequest): Promise<boolean | StreamState | LoadResult | null> {
  switch (request.op) {
    case "listen":
      return listen(request.port);
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
