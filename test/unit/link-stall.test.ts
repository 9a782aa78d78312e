import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { createSecureServer } from "node:http2";
import { type AddressInfo, createServer as createTcpServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createServer as createTlsServer } from "node:tls";
import { grpcLink } from "@antenna/sdk";
import { MemoryLogger } from "@antenna/sdk/testing";
import { FakeAgent } from "./link-agent.js";
import { pairHost, TestAuthority } from "./link-authority.js";
import { fastClock } from "./link-controller.js";

// Servers with the controller's own certificate that do not do what a controller does, below gRPC.

const authority = new TestAuthority();
const { chain: cert, key } = authority.server();
const tls = { cert, key, ALPNProtocols: ["h2"] };

interface Case {
  readonly name: string;
  readonly make: () => Server;
  readonly words: RegExp;
}

const cases: readonly Case[] = [
  {
    name: "takes TCP and never shakes hands",
    make: () => createTcpServer(),
    words: /no answer.*waited 10 s/,
  },
  {
    name: "takes TCP and closes",
    make: () => createTcpServer((socket) => socket.destroy()),
    words: /TLS handshake/,
  },
  {
    name: "does not speak TLS",
    make: () => createTcpServer((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n")),
    words: /TLS handshake/,
  },
  {
    name: "shakes hands and says nothing",
    make: () => createTlsServer(tls),
    words: /no answer.*waited 10 s/,
  },
  {
    name: "shakes hands and closes",
    make: () => createTlsServer(tls, (socket) => socket.destroy()),
    words: /broke off|nobody answers/,
  },
  {
    name: "shakes hands and sends garbage",
    make: () => createTlsServer(tls, (socket) => socket.write(randomBytes(65_536))),
    words: /broke off|nobody answers|no answer/,
  },
  {
    name: "speaks HTTP/2 and never answers the call",
    make: () => createSecureServer(tls, () => {}) as unknown as Server,
    words: /nothing was heard for 10 s after hello/,
  },
  {
    name: "is a web server",
    make: () => createSecureServer(tls, (_request, response) => response.end("<html>")) as unknown as Server,
    words: /broke off|refuses/,
  },
  {
    name: "ends every session at once",
    make: () => {
      const server = createSecureServer(tls);
      server.on("session", (session) => session.goaway());
      return server as unknown as Server;
    },
    words: /broke off|nobody answers|nothing was heard/,
  },
];

describe("a server that has the controller's certificate", () => {
  for (const { name, make, words } of cases) {
    test(`and ${name}: told, tried again, closed without waiting`, async () => {
      const stateDir = await mkdtemp(join(tmpdir(), "antenna-stall-"));
      await pairHost(stateDir, authority);
      const server = make();
      const sockets = new Set<Socket>();
      let connections = 0;
      const seen = new Set<() => void>();
      server.on("connection", (socket: Socket) => {
        connections += 1;
        sockets.add(socket);
        socket.on("error", () => {});
        for (const look of seen) look();
      });
      server.on("tlsClientError", () => {});
      server.on("secureConnection", (socket: Socket) => socket.on("error", () => {}));
      server.on("sessionError", () => {});
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const link = grpcLink({ controller: `127.0.0.1:${(server.address() as AddressInfo).port}`, stateDir });
      const told = new Promise<string>((resolve) => {
        link.onStatus(({ problems }) => {
          const down = problems.find(({ code }) => code === "link-down");
          if (down !== undefined) resolve(down.message);
        });
      });
      link.open(new FakeAgent(), { clock: fastClock(20), logger: new MemoryLogger() });
      assert.match(await told, words);
      await new Promise<void>((resolve) => {
        const look = (): void => {
          if (connections >= 2) resolve();
        };
        seen.add(look);
        look();
      });
      const started = performance.now();
      await link[Symbol.asyncDispose]();
      assert.ok(performance.now() - started < 2_000);
      for (const socket of sockets) socket.destroy();
      server.close();
      await rm(stateDir, { recursive: true });
    });
  }
});
