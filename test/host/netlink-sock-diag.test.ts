import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { describe, test } from "node:test";
import {
  IPPROTO_TCP,
  IPPROTO_UDP,
  NETLINK_SOCK_DIAG,
  NetlinkSocket,
  SockDiag,
  type SocketInfo,
  type SocketTuple,
} from "@antenna/netlink";
import { createNamespace, inside, type Namespace } from "../lab/namespace.js";

/**
 * A process inside the namespace: a TCP server on 7000 (dual-stack when it listens on ::), a number of clients to it,
 * an unconnected UDP socket on 7001 and a connected one. It tells what it sees, a line each.
 */
const program = `
const net = require("node:net"), dgram = require("node:dgram");
const [host, target, clients] = process.argv.slice(1);
const say = (line) => console.log(line);
const server = net.createServer((socket) => { socket.on("error", (e) => say("server " + e.code)); socket.on("data", (d) => socket.write(d)); });
server.listen({ port: 7000, host }, async () => {
  for (let i = 0; i < Number(clients); i++) {
    const client = net.connect({ port: 7000, host: target, localPort: 40000 + i });
    client.on("error", (e) => say("client " + i + " " + e.code));
    await new Promise((resolve) => client.once("connect", resolve));
    process.on("message", () => {});
    globalThis["client" + i] = client;
  }
  const type = target.includes(":") ? "udp6" : "udp4";
  const open = dgram.createSocket(type); await new Promise((r) => open.bind(7001, host === "::" && type === "udp4" ? "0.0.0.0" : host, r));
  const connected = dgram.createSocket(type); await new Promise((r) => connected.bind(7002, r)); await new Promise((r) => connected.connect(7001, target, r));
  for (const s of [open, connected]) s.on("error", (e) => say("udp " + e.code));
  say("ready");
});
process.stdin.on("data", async () => {
  const probe = net.connect({ port: 7000, host: target }); probe.on("error", (e) => say("probe " + e.code));
  probe.on("data", () => { say("probe ok"); probe.destroy(); }); probe.write("x");
  for (let i = 0; i < Number(clients); i++) { const c = globalThis["client" + i]; if (!c.destroyed) { c.once("data", () => say("client " + i + " ok")); c.write("y"); } }
});`;

interface Peer extends Disposable {
  readonly lines: readonly string[];
  ask(): void;
  until(condition: (lines: readonly string[]) => boolean): Promise<void>;
}

async function peer(namespace: Namespace, host: string, target: string, clients: number): Promise<Peer> {
  const [file, args] = inside(namespace.path, process.execPath, [
    "--eval",
    program,
    host,
    target,
    String(clients),
  ]);
  const child: ChildProcess = spawn(file, [...args], { stdio: ["pipe", "pipe", "inherit"] });
  const lines: string[] = [];
  child.stdout?.on("data", (chunk: Buffer) => lines.push(...chunk.toString().trim().split("\n")));
  const until: Peer["until"] = async (condition) => {
    for (let waited = 0; !condition(lines); waited += 10) {
      assert.ok(waited < 20_000, `it never came, only: ${lines.join("; ")}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  await until(() => lines.includes("ready"));
  return {
    lines,
    ask: () => void child.stdin?.write("go\n"),
    until,
    [Symbol.dispose]: () => void child.kill("SIGKILL"),
  };
}

const v4 = Uint8Array.of(127, 0, 0, 1);
const v6 = new Uint8Array(16);
v6[15] = 1;

function connection(family: 4 | 6, localPort: number, remotePort: number): SocketTuple {
  const address = family === 4 ? v4 : v6;
  return {
    family,
    protocol: IPPROTO_TCP,
    localAddress: address,
    localPort,
    remoteAddress: address,
    remotePort,
  };
}

for (const [family, host, target] of [
  [4, "127.0.0.1", "127.0.0.1"],
  [4, "::", "127.0.0.1"],
  [6, "::1", "::1"],
] as const) {
  describe(`sockets that listen on ${host}, connections to ${target}`, () => {
    test("are listed with their ends, states, owners and window scales", async () => {
      await using namespace = await createNamespace();
      using running = await peer(namespace, host, target, 3);
      using socket = NetlinkSocket.open({ protocol: NETLINK_SOCK_DIAG, namespace: namespace.path });
      const diag = new SockDiag(socket);
      const all: SocketInfo[] = [];
      for (const asked of [4, 6] as const) {
        await diag.dump({ family: asked, protocol: IPPROTO_TCP, windowScales: true }, (found) =>
          all.push(found),
        );
      }
      assert.ok(running.lines.includes("ready"));
      const listening = all.filter(({ state }) => state === "listen");
      assert.equal(listening.length, 1);
      assert.deepEqual([listening[0]?.localPort, listening[0]?.remotePort], [7000, 0]);
      const established = all.filter(({ state }) => state === "established");
      assert.equal(established.length, 6);
      for (const found of established) {
        assert.equal(found.family, family);
        assert.deepEqual(found.localAddress, family === 4 ? v4 : v6);
        assert.equal(found.uid, 0);
        assert.ok(found.inode > 0);
        assert.ok((found.windowScale?.send ?? 0) > 0 && (found.windowScale?.receive ?? 0) > 0);
      }
      assert.equal(
        established.filter(({ ipv6Socket }) => ipv6Socket).length,
        family === 6 ? 6 : host === "::" ? 3 : 0,
      );
      assert.equal(new Set(all.map(({ cookie }) => cookie)).size, all.length);
      const some: SocketInfo[] = [];
      await diag.dump({ family, protocol: IPPROTO_TCP, states: ["listen"] }, (found) => some.push(found));
      assert.ok(some.every(({ state, windowScale }) => state === "listen" && windowScale === null));
    });

    test("are found by both ends only: never the listener, never the unconnected one", async () => {
      await using namespace = await createNamespace();
      using running = await peer(namespace, host, target, 1);
      using socket = NetlinkSocket.open({ protocol: NETLINK_SOCK_DIAG, namespace: namespace.path });
      const diag = new SockDiag(socket);
      assert.ok(running.lines.includes("ready"));
      const client = await diag.find(connection(family, 40000, 7000), { windowScales: true });
      assert.equal(client?.state, "established");
      assert.ok(client?.windowScale !== null);
      const server = await diag.find(connection(family, 7000, 40000));
      assert.equal(server?.state, "established");
      assert.notEqual(server?.cookie, client?.cookie);
      assert.equal(await diag.find(connection(family, 7000, 40001)), null);
      assert.equal(await diag.find(connection(family, 40001, 7000)), null);
      const udp = { ...connection(family, 7002, 7001), protocol: IPPROTO_UDP } as const;
      const found = await diag.find(udp);
      assert.deepEqual([found?.localPort, found?.remotePort, found?.state], [7002, 7001, "established"]);
      assert.equal(await diag.find({ ...udp, localPort: 7001, remotePort: 7002 }), null);
    });

    test("are destroyed one by one: the listener, its other clients and the unconnected socket live on", async () => {
      await using namespace = await createNamespace();
      using running = await peer(namespace, host, target, 5);
      using socket = NetlinkSocket.open({ protocol: NETLINK_SOCK_DIAG, namespace: namespace.path });
      const diag = new SockDiag(socket);
      const victim = await diag.find(connection(family, 7000, 40002));
      const udp = await diag.find({ ...connection(family, 7002, 7001), protocol: IPPROTO_UDP });
      assert.ok(victim !== null && udp !== null);
      assert.deepEqual(await diag.destroy([victim, udp]), [true, true]);
      // Again, and with a cookie that is another's: by tuple alone both would lead to the listener.
      assert.deepEqual(await diag.destroy([victim, { ...victim, cookie: victim.cookie + 1n }]), [
        false,
        false,
      ]);
      running.ask();
      await running.until((lines) =>
        ["probe ok", "client 0 ok", "client 1 ok", "client 3 ok", "client 4 ok"].every((line) =>
          lines.includes(line),
        ),
      );
      assert.ok(
        running.lines.some((line) => line.startsWith("client 2 ECONN")),
        running.lines.join("; "),
      );
      const left: SocketInfo[] = [];
      await diag.dump(
        { family: host === "::" ? 6 : family, protocol: IPPROTO_TCP, states: ["listen"] },
        (found) => left.push(found),
      );
      assert.equal(left.length, 1);
      await assert.rejects(diag.destroy(left), TypeError);
    });
  });
}
