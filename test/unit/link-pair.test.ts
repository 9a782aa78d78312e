import assert from "node:assert/strict";
import { createPublicKey, randomBytes } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { type AddressInfo, createServer as createTcpServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { createServer } from "node:tls";
import { inspect } from "node:util";
import { AntennaError, grpcLink, PairingKey, pair, systemClock, unpair } from "@antenna/sdk";
import { IdentityStore } from "@antenna/sdk/internal/protocol/identity/identity-store.js";
import type { PairRequestMessage, PairResponseMessage } from "@antenna/sdk/protocol";
import { MemoryLogger } from "@antenna/sdk/testing";
import { status } from "@grpc/grpc-js";
import { FakeAgent } from "./link-agent.js";
import { hour, pairHost, TestAuthority, testWorkload } from "./link-authority.js";
import { FakeController, Refusal } from "./link-controller.js";

const secret = randomBytes(32);
const keyOf = (fingerprint: string): string => new PairingKey({ id: "key-1", secret, fingerprint }).format();

async function stateDirectory(): Promise<AsyncDisposable & { readonly path: string }> {
  const path = await mkdtemp(join(tmpdir(), "antenna-pair-"));
  return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true }) };
}

/** Issues for the key in the request, as a controller does. */
function issuing(authority: TestAuthority, seen: PairRequestMessage[] = []) {
  return (request: PairRequestMessage): PairResponseMessage => {
    seen.push(request);
    const certificate = authority.agent(publicKeyOf(request.certificateRequest));
    return { workload: testWorkload, certificateChain: [certificate.raw], ...authority.trust };
  };
}

/** The SPKI of a P-256 key in a PKCS #10 request of ours: 91 bytes that begin in a known way (RFC 5480). */
function publicKeyOf(request: Uint8Array) {
  const start = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");
  const at = Buffer.from(request).indexOf(start);
  return createPublicKey({ key: Buffer.from(request).subarray(at, at + 91), format: "der", type: "spki" });
}

/** Everything of an error that could reach a terminal or a log. */
function wordsOf(reason: unknown): string {
  const words: string[] = [];
  for (let each: unknown = reason; each instanceof Error; each = each.cause) {
    words.push(each.message, each.stack ?? "", inspect(each, { depth: 6 }), JSON.stringify(each));
  }
  return words.join("\n");
}

function holdsNoSecret(text: string): void {
  for (const form of ["base64url", "base64", "hex"] as const)
    assert.ok(!text.includes(secret.toString(form)), `the secret is in: ${text}`);
  assert.ok(!text.includes("PRIVATE KEY"));
}

async function failure(work: Promise<unknown>): Promise<AntennaError> {
  const reason: unknown = await work.then(
    () => null,
    (error: unknown) => error,
  );
  assert.ok(reason instanceof AntennaError, `not refused: ${inspect(reason)}`);
  holdsNoSecret(wordsOf(reason));
  return reason;
}

describe("pair", () => {
  test("gives an identity, stored for this user alone, and again the same with the same key pair", async () => {
    await using dir = await stateDirectory();
    const authority = new TestAuthority();
    const seen: PairRequestMessage[] = [];
    await using controller = await FakeController.start({ authority, onPair: issuing(authority, seen) });
    const options = {
      controller: controller.address,
      key: `  ${keyOf(authority.fingerprint)}\n`,
      stateDir: dir.path,
    };
    const result = await pair({ ...options, hostname: "web-1" });
    assert.equal(result.workload, testWorkload);
    assert.ok(Date.parse(result.certificateExpires) > Date.now());
    assert.deepEqual([seen[0]?.keyId, seen[0]?.hostname], ["key-1", "web-1"]);
    assert.deepEqual(Buffer.from(seen[0]?.secret ?? []), secret);
    const folder = join(dir.path, "identity");
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    const names = await readdir(folder);
    assert.deepEqual(names.sort(), ["identity", "key.pem", "request.der", "session"]);
    for (const name of names) {
      assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600);
      const content = await readFile(join(folder, name));
      for (const form of ["base64url", "base64", "hex"] as const)
        assert.ok(!content.toString("latin1").includes(secret.toString(form)));
    }
    const again = await failure(pair(options));
    assert.equal(again.code, "busy");
    assert.match(again.message, /paired already.*antenna unpair/);
    assert.equal(await unpair({ stateDir: dir.path }), testWorkload);
    await pair(options);
    assert.deepEqual(seen[1]?.certificateRequest, seen[0]?.certificateRequest);
    await unpair({ stateDir: dir.path, keepKey: false });
    assert.deepEqual(await readdir(folder), []);
  });

  test("after a revocation another key pair is made", async () => {
    await using dir = await stateDirectory();
    const authority = new TestAuthority();
    const seen: PairRequestMessage[] = [];
    await using controller = await FakeController.start({ authority, onPair: issuing(authority, seen) });
    const options = { controller: controller.address, key: keyOf(authority.fingerprint), stateDir: dir.path };
    await pair(options);
    const store = IdentityStore.open(dir.path);
    assert.ok(store.identity !== null);
    await store.saveIdentity({ ...store.identity, revoked: true });
    await pair(options);
    assert.notDeepEqual(seen[1]?.certificateRequest, seen[0]?.certificateRequest);
    assert.equal(IdentityStore.open(dir.path).identity?.revoked, false);
  });

  test("unreachable, wrong fingerprint and a refused key are told by three different texts", async () => {
    await using dir = await stateDirectory();
    const authority = new TestAuthority();
    const texts = new Set<string>();
    await using controller = await FakeController.start({
      authority,
      onPair: () => {
        throw new Refusal(status.UNAUTHENTICATED, "the key has expired");
      },
    });
    const base = { controller: controller.address, stateDir: dir.path };
    const refused = await failure(pair({ ...base, key: keyOf(authority.fingerprint) }));
    assert.equal(refused.code, "denied");
    assert.equal(refused.detail, "the key has expired");
    assert.match(refused.message, /key-1: unknown, expired, used up or revoked/);
    const wrong = await failure(pair({ ...base, key: keyOf("0".repeat(64)) }));
    assert.equal(wrong.code, "untrusted");
    assert.match(wrong.message, /fingerprint.*the key was not sent/);
    await controller[Symbol.asyncDispose]();
    const gone = await failure(pair({ ...base, key: keyOf(authority.fingerprint) }));
    assert.equal(gone.code, "unreachable");
    assert.match(`${gone.message} ${gone.detail}`, /nobody answers.*ECONNREFUSED/);
    for (const { message } of [refused, wrong, gone]) texts.add(message);
    assert.equal(texts.size, 3);
  });

  test("a controller that echoes the secret does not get it into an error", async () => {
    await using dir = await stateDirectory();
    const authority = new TestAuthority();
    for (const form of ["base64url", "base64", "hex"] as const) {
      await using controller = await FakeController.start({
        authority,
        onPair: () => {
          throw new Refusal(status.PERMISSION_DENIED, `who is ${secret.toString(form)}?`);
        },
      });
      const key = keyOf(authority.fingerprint);
      const refused = await failure(pair({ controller: controller.address, key, stateDir: dir.path }));
      assert.match(refused.detail ?? "", /left out/);
    }
  });

  test("an answer that is of no use is refused: another key's certificate, another root", async () => {
    await using dir = await stateDirectory();
    const authority = new TestAuthority();
    const stranger = new TestAuthority("Stranger");
    const good = issuing(authority);
    const answers: readonly ((request: PairRequestMessage) => PairResponseMessage)[] = [
      (request) => ({ ...good(request), certificateChain: [authority.agent(authority.publicKey).raw] }),
      (request) => ({ ...good(request), roots: [stranger.root.raw] }),
      (request) => ({ ...good(request), certificateChain: [Buffer.from("garbage")] }),
    ];
    for (const onPair of answers) {
      await using controller = await FakeController.start({ authority, onPair });
      const key = keyOf(authority.fingerprint);
      const error = await failure(pair({ controller: controller.address, key, stateDir: dir.path }));
      assert.equal(error.code, "untrusted");
      assert.equal(IdentityStore.open(dir.path).identity, null);
    }
  });

  test("malformed keys and addresses are refused before anything is made, and not repeated", async () => {
    await using dir = await stateDirectory();
    const good = keyOf("0".repeat(64));
    for (const key of [
      "",
      "a.b.c",
      good.slice(0, -1),
      `${good}0`,
      good.replace("key-1", "key 1"),
      "x".repeat(100_000),
    ]) {
      const error = await failure(pair({ controller: "127.0.0.1:1", key, stateDir: dir.path }));
      assert.equal(error.code, "input-refused");
    }
    for (const controller of [
      "",
      "host",
      "host:0",
      "host:65536",
      ":1",
      "[::1]",
      "[1.2.3.4]:1",
      "1.2.3:4",
      "a b:1",
      "::1:1",
    ]) {
      const error = await failure(pair({ controller, key: good, stateDir: dir.path }));
      assert.equal(error.code, "input-refused", controller);
    }
    assert.deepEqual(await readdir(dir.path), []);
  });

  test("a server that is not valid yet by this host's clock is paired with (1970), an expired one is not", async () => {
    await using dir = await stateDirectory();
    const authority = new TestAuthority();
    const key = keyOf(authority.fingerprint);
    const past = { notBefore: new Date(Date.now() - 9 * hour), notAfter: new Date(Date.now() - hour) };
    const future = { notBefore: new Date(Date.now() + hour), notAfter: new Date(Date.now() + 9 * hour) };
    const seen: PairRequestMessage[] = [];
    const options = { authority, onPair: issuing(authority, seen) };
    await using old = await FakeController.start({ ...options, server: authority.server(past) });
    const error = await failure(pair({ controller: old.address, key, stateDir: dir.path }));
    assert.equal(error.code, "untrusted");
    assert.match(error.message, /expired/);
    assert.equal(seen.length, 0);
    await using early = await FakeController.start({ ...options, server: authority.server(future) });
    await pair({ controller: early.address, key, stateDir: dir.path });
    assert.equal(seen.length, 1);
  });

  test("aborting ends it", async () => {
    await using dir = await stateDirectory();
    const authority = new TestAuthority();
    // A server that never shakes hands.
    const silent = createTcpServer(() => {});
    await new Promise<void>((resolve) => silent.listen(0, "127.0.0.1", resolve));
    const { port } = silent.address() as AddressInfo;
    const signal = AbortSignal.timeout(50);
    const key = keyOf(authority.fingerprint);
    const error = await failure(pair({ controller: `127.0.0.1:${port}`, key, stateDir: dir.path, signal }));
    assert.equal(error.code, "aborted");
    silent.close();
  });
});

interface BareServer extends AsyncDisposable {
  readonly address: string;
  /** Bytes of application data. */
  readonly heard: () => number;
  /** Resolves when so many TCP connections have come and gone. */
  readonly gone: (count: number) => Promise<void>;
}

/** A server of bare TLS that counts what it is told. */
async function listenTls(identity: { readonly chain: string; readonly key: string }): Promise<BareServer> {
  let heard = 0;
  let gone = 0;
  const sockets = new Set<Socket>();
  const waiting = new Set<() => void>();
  const options = { cert: identity.chain, key: identity.key, ALPNProtocols: ["h2"] };
  const server = createServer(options, (socket) => {
    socket.on("data", (bytes) => {
      heard += bytes.length;
      for (const look of waiting) look();
    });
    socket.on("error", () => {});
  });
  server.on("tlsClientError", () => {});
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.on("close", () => {
      gone += 1;
      for (const look of waiting) look();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    heard: () => heard,
    gone: (count) =>
      new Promise((resolve) => {
        const look = (): void => {
          if (gone >= count) resolve();
        };
        waiting.add(look);
        look();
      }),
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

describe("a man in the middle with a certificate of the right name", () => {
  const real = new TestAuthority();
  const forger = new TestAuthority(real.name);
  const past = { notBefore: new Date(Date.now() - 48 * hour), notAfter: new Date(Date.now() - 24 * hour) };
  const future = { notBefore: new Date(Date.now() + 24 * hour), notAfter: new Date(Date.now() + 48 * hour) };
  const servers: readonly (readonly [string, { readonly chain: string; readonly key: string }])[] = [
    ["under a root of its own", forger.server()],
    ["under a root of its own, expired", forger.server(past)],
    ["under a root of its own, not yet valid", forger.server(future)],
    ["with the real root beside", withRoot(forger.server(), real)],
    ["with the real root beside, expired", withRoot(forger.server(past), real)],
    ["with another name under the real root", real.server({ names: ["antenna-controller.example"] })],
  ];

  test("the measure measures: the real controller hears something", async () => {
    await using dir = await stateDirectory();
    await using server = await listenTls(real.server());
    const stop = new AbortController();
    const key = keyOf(real.fingerprint);
    const work = failure(pair({ controller: server.address, key, stateDir: dir.path, signal: stop.signal }));
    await server.gone(1);
    while (server.heard() === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    stop.abort();
    assert.equal((await work).code, "aborted");
  });

  for (const [name, identity] of servers) {
    test(`${name}: pair sends not a byte`, async () => {
      await using dir = await stateDirectory();
      await using server = await listenTls(identity);
      const key = keyOf(real.fingerprint);
      const error = await failure(pair({ controller: server.address, key, stateDir: dir.path }));
      assert.equal(error.code, "untrusted");
      await server.gone(1);
      assert.equal(server.heard(), 0);
    });

    test(`${name}: a paired host says not a byte`, async () => {
      await using dir = await stateDirectory();
      await pairHost(dir.path, real);
      await using server = await listenTls(identity);
      const logger = new MemoryLogger();
      const link = grpcLink({ controller: server.address, stateDir: dir.path, random: () => 0.9 });
      const told = new Promise<string>((resolve) => {
        link.onStatus(({ problems }) => {
          const down = problems.find(({ code }) => code === "link-down");
          if (down !== undefined) resolve(down.message);
        });
      });
      link.open(new FakeAgent(), { clock: systemClock, logger });
      assert.match(await told, /whoever answers there is not the controller/);
      await link[Symbol.asyncDispose]();
      await server.gone(1);
      assert.equal(server.heard(), 0);
      holdsNoSecret(JSON.stringify(logger.entries));
    });
  }

  function withRoot(
    identity: { readonly chain: string; readonly key: string },
    authority: TestAuthority,
  ): { readonly chain: string; readonly key: string } {
    return { chain: identity.chain + authority.root.toString(), key: identity.key };
  }
});

describe("a server whose dates are off by this host's clock", () => {
  const authority = new TestAuthority("Test CA", {
    from: new Date(Date.now() - 100 * hour),
    to: new Date(Date.now() + 1000 * hour),
  });
  const cases: readonly [string, { notBefore: Date; notAfter: Date }, boolean][] = [
    [
      "not yet valid",
      { notBefore: new Date(Date.now() + hour), notAfter: new Date(Date.now() + 2 * hour) },
      true,
    ],
    // The own certificate was made an hour ago: this one was good then.
    [
      "expired since the own certificate was made",
      { notBefore: new Date(Date.now() - 9 * hour), notAfter: new Date(Date.now() - hour / 2) },
      true,
    ],
    [
      "expired before the own certificate was made",
      { notBefore: new Date(Date.now() - 9 * hour), notAfter: new Date(Date.now() - 2 * hour) },
      false,
    ],
  ];
  for (const [name, validity, isTaken] of cases) {
    test(`${name}: ${isTaken ? "taken, and the clock doubted" : "refused"}`, async () => {
      await using dir = await stateDirectory();
      await pairHost(dir.path, authority);
      await using controller = await FakeController.start({ authority, server: authority.server(validity) });
      const link = grpcLink({ controller: controller.address, stateDir: dir.path });
      const told = new Promise<readonly { readonly code: string }[]>((resolve) => {
        link.onStatus(({ problems }) => problems.length > 0 && resolve(problems));
      });
      link.open(new FakeAgent(), { clock: systemClock, logger: new MemoryLogger() });
      assert.equal((await told)[0]?.code, isTaken ? "clock-skew" : "link-down");
      if (isTaken) await controller.session();
      await link[Symbol.asyncDispose]();
    });
  }
});
