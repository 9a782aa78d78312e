import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from "node:http2";
import { connect as connectTcp, createServer, type Socket } from "node:net";
import { describe, test } from "node:test";
import { agentService, encodeSessionRequest, type SessionRequestMessage } from "@antenna/sdk/protocol";
import { Random, runSeed } from "../unit/random.js";
import {
  type Arena,
  noStatus,
  openArena,
  Refused,
  type TestAgent,
  type TestSession,
} from "./controller-arena.js";

const random = new Random(runSeed("controller-hostile"));

const open = `
rulesets:
  - { name: all, scope: {}, rules: [ { from: {}, to: {} } ] }
`;

async function endOf(session: TestSession): Promise<Refused> {
  const over = await session.ended();
  session.close();
  assert.ok(over instanceof Refused, `ended without a reason: ${String(over)}`);
  return over;
}

/** Events of a kind so far. */
async function count(arena: Arena, wanted: string): Promise<number> {
  return (await arena.events()).filter(({ type }) => type === wanted).length;
}

/** An honest pair of agents that must not feel what others do. */
async function honest(
  arena: Arena,
): Promise<{ readonly check: () => Promise<void>; readonly close: () => void }> {
  await arena.controller.applyPolicy(open);
  const a = await (await arena.agent({}, "honest-a")).enter();
  const b = await (await arena.agent({}, "honest-b")).enter();
  a.tellAddresses("10.9.0.1");
  b.tellAddresses("10.9.0.2");
  let last = 2;
  return {
    check: async () => {
      const address = `10.9.0.${++last}`;
      b.tellAddresses(address);
      await a.until(() => a.peers.includes(address), `${address} in the sets of its peer`);
    },
    close: () => {
      a.close();
      b.close();
    },
  };
}

/** A raw HTTP/2 client with or without a certificate. */
function rawClient(arena: Arena, agent: TestAgent | null, port = arena.controller.port): ClientHttp2Session {
  const session = connect(`https://127.0.0.1:${port}`, {
    rejectUnauthorized: false,
    servername: "antenna-controller",
    ...(agent === null
      ? {}
      : {
          cert: new X509Certificate(agent.certificate).toString(),
          key: agent.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
        }),
  });
  session.on("error", () => {});
  return session;
}

function rawCall(client: ClientHttp2Session, method: keyof typeof agentService): ClientHttp2Stream {
  const stream = client.request({
    ":method": "POST",
    ":path": agentService[method].path,
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => {});
  return stream;
}

/** The status of the answer; `closed` when there is none. */
function statusOf(stream: ClientHttp2Stream): Promise<string> {
  return new Promise((resolve) => {
    const seen = (headers: { readonly [name: string]: unknown }) => {
      if (headers["grpc-status"] !== undefined) resolve(String(headers["grpc-status"]));
    };
    stream.on("response", seen);
    stream.on("trailers", seen);
    stream.on("close", () => resolve("closed"));
    stream.resume();
  });
}

function frame(message: Uint8Array, length = message.length): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt32BE(length, 1);
  return Buffer.concat([header, message]);
}

function garbage(bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, () => random.below(256)));
}

describe("clones", () => {
  test("of two live holders the first stays, nothing changes in the sets, and the event names both", async () => {
    await using arena = await openArena();
    await arena.controller.applyPolicy(open);
    const agent = await arena.agent({}, "web1");
    const first = await agent.enter();
    first.tellAddresses("10.0.0.1");
    const peer = await (await arena.agent({}, "peer")).enter();
    await peer.until(() => peer.peers.includes("10.0.0.1"), "the address");
    const versions = peer.versions.length;
    for (const token of [agent.token, new Uint8Array(32)]) {
      const copy = agent.copy();
      copy.token = token;
      assert.equal((await endOf(copy.connect())).kind, "ABORTED");
    }
    const event = (await arena.events()).find(({ type }) => type === "clone-detected");
    assert.equal(event?.workload, agent.workload);
    assert.equal(event?.message.match(/127\.0\.0\.1:\d+/g)?.length, 2, event?.message);
    assert.equal(await count(arena, "clone-detected"), 1, "one event for a clone that tries again");
    assert.equal(first.over, null);
    assert.equal(peer.versions.length, versions);
    first.close();
    peer.close();
  });

  test("a reconnect while the old stream is still open, but nobody answers on it, is no clone", async () => {
    await using arena = await openArena();
    const agent = await arena.agent({}, "web1");
    const old = await agent.enter();
    old.answers = false;
    const startedAt = performance.now();
    const next = await agent.enter();
    assert.ok(performance.now() - startedAt < 2_000);
    const over = await endOf(old);
    assert.equal(over.kind, "UNAVAILABLE");
    for (let round = 0; round < 3; round++) {
      next.close();
      (await agent.enter()).close();
    }
    agent.identity = await agent.renew();
    (await agent.enter()).close();
    assert.equal(await count(arena, "clone-detected"), 0);
  });

  test("a copied state directory is told by its old token while the holder is away for a moment", async () => {
    await using arena = await openArena();
    const agent = await arena.agent({}, "web1");
    (await agent.enter()).close();
    const copy = agent.copy();
    (await agent.enter()).close();
    // The token that was shown last stays good: the one after it may never have reached the disk.
    const early = agent.copy();
    early.token = copy.token;
    (await early.enter()).close();
    assert.equal(await count(arena, "clone-detected"), 0);
    (await early.enter()).close();
    (await early.enter()).close();
    assert.equal((await endOf(copy.connect())).kind, "ABORTED");
    assert.equal(await count(arena, "clone-detected"), 1);
    const holder = await early.enter();
    await assert.rejects(copy.renew(), /ABORTED/);
    early.identity = await early.renew();
    assert.equal(holder.over, null);
    holder.close();
  });
});

describe("hostile peers", () => {
  test("garbage, floods, half-closed and stalled streams end with a reason, and others do not feel it", async () => {
    await using arena = await openArena();
    const others = await honest(arena);
    const agent = await arena.agent({}, "bad");

    const noHello = agent.connect({ hello: null });
    noHello.say({ kind: "status", status: noStatus });
    assert.equal((await endOf(noHello)).kind, "INVALID_ARGUMENT");

    const twice = await agent.enter();
    twice.say({
      kind: "hello",
      revision: 1,
      agentVersion: "",
      capabilities: [],
      token: agent.token,
      status: noStatus,
      floor: null,
      credit: 1,
    });
    assert.equal((await endOf(twice)).kind, "INVALID_ARGUMENT");

    const skipping = await agent.enter();
    skipping.say({ kind: "context", sequence: 2, full: false, facts: {} });
    assert.equal((await endOf(skipping)).kind, "INVALID_ARGUMENT");

    const lying = await agent.enter();
    lying.say({ kind: "event", type: "ca-rotated", time: new Date(), message: "trust me" });
    assert.equal((await endOf(lying)).kind, "INVALID_ARGUMENT");
    assert.equal(await count(arena, "ca-rotated"), 0);

    const flooding = await agent.enter();
    for (let i = 0; i < 5_000; i++) flooding.say({ kind: "credit", chunks: 1 });
    assert.equal((await endOf(flooding)).kind, "RESOURCE_EXHAUSTED");

    const asking = await agent.enter();
    for (let i = 0; i < 50; i++) asking.say({ kind: "snapshot-request", reason: "again" });
    assert.equal((await endOf(asking)).kind, "RESOURCE_EXHAUSTED");

    const flapping = await agent.enter();
    for (let i = 0; i < 100; i++) flapping.tellAddresses(`10.8.0.${i}`);
    const flaps = await endOf(flapping);
    assert.equal(flaps.kind, "RESOURCE_EXHAUSTED");
    assert.match(flaps.details, /addresses change too often/);

    const half = await agent.enter();
    half.finish();
    assert.equal(await half.ended(), "ended");
    half.close();

    await others.check();
    others.close();
    assert.deepEqual(arena.failures, []);
  });

  test("bytes that are no messages are refused, whatever they are and however they come", async () => {
    await using arena = await openArena();
    const others = await honest(arena);
    const agent = await arena.agent({}, "bad");
    const client = rawClient(arena, agent);
    const stranger = rawClient(arena, null);
    const hello: SessionRequestMessage = {
      kind: "hello",
      revision: 1,
      agentVersion: "x",
      capabilities: [],
      token: new Uint8Array(0),
      status: noStatus,
      floor: null,
      credit: 1,
    };
    for (let round = 0; round < 40; round++) {
      const from = random.chance(0.5) ? client : stranger;
      const method = (["pair", "renew", "session"] as const)[random.below(3)] ?? "pair";
      const stream = rawCall(from, method);
      const status = statusOf(stream);
      const real = Buffer.from(encodeSessionRequest(hello));
      if (random.chance(0.5) && real.length > 0) real[random.below(real.length)] = random.below(256);
      const body = random.chance(0.3) ? frame(real) : frame(garbage(random.below(300)));
      stream.write(random.chance(0.2) ? garbage(random.below(64)) : body);
      if (random.chance(0.8)) stream.end();
      else setTimeout(() => stream.close(), 20);
      // A stream that asks for nothing and ends, ends well.
      const allowed = method === "pair" || from === stranger ? [] : ["0"];
      const known = [
        "3",
        "5",
        "8",
        // Some are a real hello, while the stream of another one lasts.
        "10",
        "12",
        "13",
        "14",
        "16",
        "closed",
        ...(method === "renew" ? ["0"] : allowed),
      ];
      assert.ok(known.includes(await status), `${method}: ${await status}`);
    }
    // A message that claims more than is taken, for a stranger and for one with a certificate.
    for (const [from, length] of [
      [stranger, 100_000],
      [client, 100_000_000],
    ] as const) {
      const stream = rawCall(from, "session");
      const status = statusOf(stream);
      stream.write(frame(garbage(10), length));
      assert.ok(["8", "16", "closed"].includes(await status), await status);
    }
    client.destroy();
    stranger.destroy();
    await others.check();
    others.close();
  });

  test("connections that say nothing, and many of them, keep nobody out", async () => {
    await using arena = await openArena();
    const others = await honest(arena);
    const sockets = Array.from({ length: 300 }, () => connectTcp(arena.controller.port, "127.0.0.1"));
    for (const socket of sockets) socket.on("error", () => {});
    const strangers = Array.from({ length: 100 }, () => rawClient(arena, null));
    await others.check();
    const late = await (await arena.agent({}, "late")).enter();
    await late.until(() => late.version !== null, "a policy");
    late.close();
    for (const socket of sockets) socket.destroy();
    for (const client of strangers) client.destroy();
    others.close();
  });

  test("a peer that stops reading its socket is let go, and its connection broken", async () => {
    await using arena = await openArena({ timing: { heartbeatMs: 200 } });
    const others = await honest(arena);
    const agent = await arena.agent({}, "stalled");
    // What it does not read stays in the buffers of TCP.
    const uplinks: Socket[] = [];
    const relay = createServer((near) => {
      const far = connectTcp(arena.controller.port, "127.0.0.1");
      uplinks.push(far);
      for (const socket of [near, far]) socket.on("error", () => {});
      near.pipe(far);
      far.pipe(near);
      far.on("close", () => near.destroy());
    });
    await new Promise<void>((resolve) => relay.listen(0, "127.0.0.1", resolve));
    const address = relay.address();
    assert.ok(address !== null && typeof address !== "string");
    const client = rawClient(arena, agent, address.port);
    const stream = rawCall(client, "session");
    const hello: SessionRequestMessage = {
      kind: "hello",
      revision: 1,
      agentVersion: "x",
      capabilities: [],
      token: new Uint8Array(0),
      status: noStatus,
      floor: null,
      credit: 65_536,
    };
    stream.write(frame(encodeSessionRequest(hello)));
    const online = () =>
      arena.controller.workloads().workloads.find(({ name }) => name === "stalled")?.online;
    while (online() !== true) await new Promise((resolve) => setTimeout(resolve, 10));
    for (const far of uplinks) far.unpipe().pause();
    const gone = new Promise<void>((resolve) => client.on("close", () => resolve()));
    while (online() === true) await new Promise((resolve) => setTimeout(resolve, 10));
    await others.check();
    for (const far of uplinks) far.resume();
    await gone;
    relay.close();
    others.close();
  });

  test("one certificate has few connections", async () => {
    await using arena = await openArena();
    const agent = await arena.agent({}, "many");
    const clients = Array.from({ length: 40 }, () => rawClient(arena, agent));
    let closed = 0;
    for (const client of clients) client.on("close", () => closed++);
    await Promise.all(
      clients.map(
        (client) =>
          new Promise<void>((resolve) => {
            client.on("close", () => resolve());
            client.on("remoteSettings", () => setTimeout(resolve, 200));
          }),
      ),
    );
    assert.equal(closed, 24);
    for (const client of clients) client.destroy();
  });

  test("an agent that does not read, or gives no credit, delays nobody and gets the newest policy when it does", async () => {
    await using arena = await openArena();
    const others = await honest(arena);
    const members = Array.from(
      { length: 60_000 },
      (_, i) => `10.${64 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`,
    );
    const big = (port: number) =>
      JSON.stringify({
        ipLists: { big: members.filter((_, i) => i % 2 === port % 2) },
        rulesets: [
          {
            name: "big",
            scope: {},
            rules: [
              { from: { ipList: "big" }, to: {} },
              { from: {}, to: {} },
            ],
          },
        ],
      });
    const slow = await (await arena.agent({}, "slow")).enter({ grants: false, hello: { credit: 1 } });
    await slow.until(() => slow.version !== null, "the first policy, which is one part");
    for (let revision = 0; revision < 4; revision++) await arena.controller.applyPolicy(big(revision));
    await others.check();
    assert.equal(slow.versions.length, 1);
    slow.say({ kind: "credit", chunks: 16 });
    await slow.until(() => slow.versions.length >= 2, "what it missed");
    assert.ok(slow.versions.length < 5, "not each revision that it missed");
    slow.close();
    others.close();
  });
});
