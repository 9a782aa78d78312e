import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { Peer } from "../host/connection-arena.js";
import { type Arena, type Backend, backends, clientAddress, createArena, serverAddress } from "./arena.js";

// `antenna run` in full on a host where connections run already, all of them older than its tracking: what the policy
// allows goes on, busy or silent; what it denies ends when settling ends.

/** With ANTENNA_SOAK=1 the default, and silent connections that are older than it. */
const soak = process.env.ANTENNA_SOAK === "1";
const settleMs = soak ? 30_000 : 3_000;
const silentBeforeMs = soak ? 35_000 : 200;
const megabyte = 1024 * 1024;
const timeout = soak ? 300_000 : 120_000;

const server6 = "fd00:78::2";
const client6 = "fd00:78::1";
const ports = {
  ssh: 22,
  download: 8080,
  upload: 8081,
  silent: 8082,
  outSilent: 8083,
  outDownload: 8084,
} as const;
const denied = { in: 9090, out: 9091, silent: 9092 } as const;

const policy = [
  "mode: full",
  "sets:",
  `  client: ["${clientAddress}", "${client6}"]`,
  "rules:",
  `  - { id: in, direction: in, action: allow, peers: [client], services: [{ protocol: tcp, ports: [22, "8080-8082"] }] }`,
  `  - { id: out, direction: out, action: allow, peers: [client], services: [{ protocol: tcp, ports: [8083, 8084] }] }`,
  "",
].join("\n");

for (const backend of backends) {
  describe(`live start, ${backend}`, () => {
    test("running connections survive, silent ones wake, denied ones end", { timeout }, async (context) => {
      await using arena = await createArena(backend, {
        clientAddresses: [`${client6}/64`],
        serverAddresses: [`${server6}/64`],
      });
      await using hosts = await Hosts.open(arena);
      const silent = await hosts.silent();
      const lateDenied = await hosts.connect("in", denied.silent);
      const busy = await hosts.busy();
      const doomed = await hosts.doomed();
      await delay(silentBeforeMs);
      await arena.server.writePolicy(policy);

      const flags = soak ? [] : ["--settle", `${settleMs}ms`];
      const started = arena.server.startDaemon(flags, settleMs + 20_000);
      await Promise.all([started, countInvalid(arena, backend)]);
      const inForce = performance.now();

      // What ended, ended with settling and not before.
      for (const stream of doomed) {
        await stream.ends();
        const livedMs = stream.lastMoveMs - inForce;
        assert.ok(
          livedMs > -1500,
          `${stream.name} fell silent ${-livedMs} ms before the policy was in force`,
        );
      }
      await delay(1500);
      for (const stream of busy) {
        const gap = stream.longestSilenceMs;
        context.diagnostic(
          `${stream.name}: ${stream.moved} bytes, never silent for more than ${gap.toFixed(0)} ms`,
        );
        await stream.goesOn();
        assert.ok(gap < 1500, `${stream.name} was silent for ${gap} ms`);
      }
      for (const stream of [...busy, ...doomed]) stream.stop();

      assert.ok(
        (await enteredSilent(arena)) >= silent.length,
        "silent connections were entered into tracking",
      );
      for (const connection of silent) await connection.wake(50 * megabyte);
      assert.equal(await invalidPackets(arena, backend), 0, "INVALID packets of silent connections");
      await lateDenied.client.push(lateDenied.clientKey, 1000);
      await delay(500);
      assert.equal(
        await received(lateDenied.server, lateDenied.serverKey),
        0,
        "a denied silent connection woke",
      );
    });
  });
}

/** Both ends of one connection, in the words of the peers. */
interface Ends {
  readonly name: string;
  readonly server: Peer;
  readonly serverKey: string;
  readonly client: Peer;
  readonly clientKey: string;
}

/** A process with sockets on either side. */
class Hosts implements AsyncDisposable {
  readonly #server: Peer;
  readonly #client: Peer;
  readonly #streams: Stream[] = [];

  private constructor(arena: Arena) {
    this.#server = new Peer(arena.server.namespace);
    this.#client = new Peer(arena.client.namespace);
  }

  static async open(arena: Arena): Promise<Hosts> {
    const hosts = new Hosts(arena);
    await Promise.all([
      ...[ports.ssh, ports.download, ports.upload, ports.silent, denied.in, denied.silent].map((port) =>
        hosts.#server.listen("::", port),
      ),
      ...[ports.outSilent, ports.outDownload, denied.out].map((port) => hosts.#client.listen("::", port)),
    ]);
    return hosts;
  }

  /** `in`: to the server; `out`: from it. */
  async connect(direction: "in" | "out", port: number, family: 4 | 6 = 4): Promise<Ends> {
    const [server, client] = [this.#server, this.#client];
    const [opener, host] =
      direction === "in"
        ? [client, family === 4 ? serverAddress : server6]
        : [server, family === 4 ? clientAddress : client6];
    const local = await opener.connect(host, port);
    const [openerKey, otherKey] = [`${local}-${port}`, `${port}-${local}`];
    return {
      name: `${direction} ${port} IPv${family}`,
      server,
      client,
      serverKey: direction === "in" ? otherKey : openerKey,
      clientKey: direction === "in" ? openerKey : otherKey,
    };
  }

  /** Connections on which nothing moves until they wake; each side is the first to speak on some. */
  async silent(): Promise<readonly Silent[]> {
    const kinds = [
      ["in", ports.silent, 4],
      ["in", ports.silent, 6],
      ["out", ports.outSilent, 4],
      ["out", ports.outSilent, 6],
    ] as const;
    const made: Silent[] = [];
    for (const [direction, port, family] of kinds) {
      for (const first of ["client", "server"] as const) {
        made.push(new Silent(await this.connect(direction, port, family), first));
      }
    }
    return made;
  }

  /** A download each way, a stream pushed by the client, and a session of few bytes both ways. */
  async busy(): Promise<readonly Stream[]> {
    const chunk = 128 * 1024;
    return [
      this.#run(await this.connect("in", ports.ssh), { client: 20, server: 60 }),
      this.#run(await this.connect("in", ports.ssh, 6), { client: 20, server: 60 }),
      this.#run(await this.connect("in", ports.download), { server: chunk }),
      this.#run(await this.connect("in", ports.upload), { client: chunk }),
      this.#run(await this.connect("in", ports.upload, 6), { client: chunk }),
      this.#run(await this.connect("out", ports.outDownload), { client: chunk }),
    ];
  }

  /** Connections that the policy denies. */
  async doomed(): Promise<readonly Stream[]> {
    return [
      this.#run(await this.connect("in", denied.in), { client: 100 }),
      this.#run(await this.connect("in", denied.in, 6), { server: 100 }),
      this.#run(await this.connect("out", denied.out), { client: 100 }),
    ];
  }

  #run(ends: Ends, bytes: { readonly client?: number; readonly server?: number }): Stream {
    const stream = new Stream(ends, bytes);
    this.#streams.push(stream);
    return stream;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stream of this.#streams) stream.stop();
    await Promise.all([this.#server[Symbol.asyncDispose](), this.#client[Symbol.asyncDispose]()]);
  }
}

const tickMs = 25;

/** A connection on which bytes move all the time. */
class Stream {
  readonly name: string;
  readonly #ends: Ends;
  readonly #timer: NodeJS.Timeout;
  #asking = false;
  moved = 0;
  lastMoveMs = performance.now();
  longestSilenceMs = 0;

  constructor(ends: Ends, bytes: { readonly client?: number; readonly server?: number }) {
    this.name = ends.name;
    this.#ends = ends;
    this.#timer = setInterval(() => void this.#tick(bytes), tickMs);
  }

  /** Resolves when more bytes have arrived. */
  async goesOn(): Promise<void> {
    const before = this.moved;
    await until(`${this.name} goes on`, 3_000, () => this.moved > before);
  }

  /** Resolves when no byte has arrived for a second. */
  async ends(): Promise<void> {
    await until(`${this.name} ends`, 5_000, () => performance.now() - this.lastMoveMs > 1000);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  async #tick(bytes: { readonly client?: number; readonly server?: number }): Promise<void> {
    // One question at a time: a slow machine is not to pile them up.
    if (this.#asking) return;
    this.#asking = true;
    try {
      const { client, server, clientKey, serverKey } = this.#ends;
      if (bytes.client !== undefined) void client.push(clientKey, bytes.client).catch(() => undefined);
      if (bytes.server !== undefined) void server.push(serverKey, bytes.server).catch(() => undefined);
      const moved = (await received(server, serverKey)) + (await received(client, clientKey));
      const now = performance.now();
      this.longestSilenceMs = Math.max(this.longestSilenceMs, now - this.lastMoveMs);
      if (moved > this.moved) this.lastMoveMs = now;
      this.moved = moved;
    } finally {
      this.#asking = false;
    }
  }
}

/** A connection that waits to be woken. */
class Silent {
  readonly #ends: Ends;
  readonly #first: "client" | "server";

  constructor(ends: Ends, first: "client" | "server") {
    this.#ends = ends;
    this.#first = first;
  }

  /** So many bytes from the one side, then from the other, must all arrive. */
  async wake(bytes: number): Promise<void> {
    const { name, client, clientKey, server, serverKey } = this.#ends;
    const order =
      this.#first === "client" ? (["client", "server"] as const) : (["server", "client"] as const);
    for (const side of order) {
      const [from, fromKey, to, toKey] =
        side === "client" ? [client, clientKey, server, serverKey] : [server, serverKey, client, clientKey];
      void from.push(fromKey, bytes, true);
      await until(`${name}: ${bytes} bytes from the ${side}, the ${this.#first} first`, 20_000, async () => {
        return (await received(to, toKey)) === bytes;
      });
    }
  }
}

async function received(peer: Peer, key: string): Promise<number> {
  return (await peer.report(key)).received;
}

async function until(what: string, limitMs: number, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + limitMs;
  while (!(await holds())) {
    if (performance.now() > end) assert.fail(`not within ${limitMs} ms: ${what}`);
    await delay(10);
  }
}

const families = ["", "6"] as const;

/** The owner counts INVALID packets of the silent ones, from settling on: not before, for this rule makes the kernel track. */
async function countInvalid({ server }: Arena, backend: Backend): Promise<void> {
  await server.until("settling", ({ state }) => state === "settling");
  for (const family of families) {
    for (const chain of ["INPUT", "OUTPUT"]) {
      const match = `-p tcp -m multiport --ports ${ports.silent},${ports.outSilent} -m conntrack --ctstate INVALID`;
      await server.namespace.exec(`/usr/sbin/ip${family}tables-${backend}`, [
        ...["-w", "-t", "mangle", "-A", chain],
        ...match.split(" "),
      ]);
    }
  }
}

async function invalidPackets({ server }: Arena, backend: Backend): Promise<number> {
  let count = 0;
  for (const family of families) {
    const text = await server.namespace.exec(`/usr/sbin/ip${family}tables-${backend}-save`, [
      "-c",
      "-t",
      "mangle",
    ]);
    const rules = [...text.matchAll(/^\[(\d+):\d+\] -A .*INVALID/gm)];
    assert.equal(rules.length, 2, `the owner's rules are there:\n${text}`);
    for (const [, packets] of rules) count += Number(packets);
  }
  return count;
}

/** How many the daemon entered, by its log. */
async function enteredSilent({ server }: Arena): Promise<number> {
  const log = await readFile(join(dirname(server.policyFile), "antennad.log"), "utf8");
  const told = log.split("\n").find((line) => line.includes("silent connections entered into tracking"));
  return (JSON.parse(told ?? "{}") as { readonly entered?: number }).entered ?? 0;
}
