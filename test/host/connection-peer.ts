/**
 * A host at one end of a link, for tests of connection tracking: TCP and UDP sockets that do what they are told over the
 * process's own channel. Runs inside a network namespace.
 */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { connect, createServer, type Server, type Socket } from "node:net";
import type { PeerAnswer, PeerCall, PeerRequest, TcpReport } from "./connection-peer-protocol.js";

interface Connection {
  readonly socket: Socket;
  received: number;
  error: string | null;
  ended: boolean;
}

const servers: Server[] = [];
const connections = new Map<string, Connection>();
const udpSockets = new Map<number, { readonly socket: UdpSocket; received: number }>();

function keep(key: string, socket: Socket): Connection {
  const connection: Connection = { socket, received: 0, error: null, ended: false };
  connections.set(key, connection);
  socket.on("data", (data) => {
    connection.received += data.length;
  });
  socket.on("error", (error: NodeJS.ErrnoException) => {
    connection.error = error.code ?? error.message;
  });
  socket.on("end", () => {
    connection.ended = true;
  });
  return connection;
}

function find(key: string): Connection {
  const connection = connections.get(key);
  if (connection === undefined) throw new Error(`no connection ${key}`);
  return connection;
}

function report(key: string): TcpReport {
  const { received, error, ended, socket } = find(key);
  return { received, error, ended, closed: socket.destroyed };
}

async function answer(call: PeerCall): Promise<unknown> {
  switch (call.do) {
    case "listen": {
      const server = createServer({ allowHalfOpen: true }, (socket) => {
        keep(`${socket.localPort}-${socket.remotePort}`, socket);
      });
      servers.push(server);
      await new Promise<void>((resolve, reject) => {
        server.once("error", reject);
        server.listen({ port: call.port, host: call.host }, resolve);
      });
      return null;
    }
    case "connect": {
      const socket = connect({
        host: call.host,
        port: call.port,
        allowHalfOpen: true,
        ...(call.localPort !== null && { localPort: call.localPort }),
      });
      const connected = new Promise<void>((resolve, reject) => {
        socket.once("connect", resolve);
        socket.once("error", reject);
      });
      await connected;
      keep(`${socket.localPort}-${call.port}`, socket);
      return socket.localPort;
    }
    case "push": {
      const { socket } = find(call.key);
      const chunk = Buffer.alloc(Math.min(call.bytes, 64 * 1024), 120);
      for (let left = call.bytes; left > 0; left -= chunk.length) {
        const piece = left < chunk.length ? chunk.subarray(0, left) : chunk;
        if (socket.write(piece)) continue;
        if (!call.flush) break;
        await new Promise<void>((resolve) => {
          const go = (): void => {
            socket.off("drain", go);
            socket.off("close", go);
            resolve();
          };
          socket.once("drain", go);
          socket.once("close", go);
        });
      }
      return null;
    }
    case "finish":
      find(call.key).socket.end();
      return null;
    case "report":
      return report(call.key);
    case "bind": {
      const socket = createSocket(call.host.includes(":") ? "udp6" : "udp4");
      await new Promise<void>((resolve) => socket.bind(call.port, call.host, resolve));
      const { port } = socket.address();
      const entry = { socket, received: 0 };
      udpSockets.set(port, entry);
      socket.on("message", () => {
        entry.received += 1;
      });
      return port;
    }
    case "send": {
      const entry = udpSockets.get(call.from);
      if (entry === undefined) throw new Error(`UDP port ${call.from} is not bound`);
      // A rule that drops in OUTPUT answers EPERM: what counts is what the other side gets.
      await new Promise<void>((resolve) => entry.socket.send("x", call.port, call.host, () => resolve()));
      return null;
    }
    case "datagrams":
      return udpSockets.get(call.port)?.received ?? 0;
  }
}

process.on("message", (request: PeerRequest) => {
  answer(request.call).then(
    (value) => process.send?.({ id: request.id, value, error: null } satisfies PeerAnswer),
    (error: unknown) =>
      process.send?.({ id: request.id, value: null, error: String(error) } satisfies PeerAnswer),
  );
});
process.on("disconnect", () => process.exit(0));
