import assert from "node:assert/strict";
import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { describe, test } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import { agentCertificateSerial } from "@antenna/controller/internal/identity/agent-certificate.js";
import { Authority } from "@antenna/controller/internal/identity/authority.js";
import { issueCertificate } from "@antenna/controller/internal/identity/certificate.js";
import { type Arena, openArena, Refused, type TestAgent } from "./controller-arena.js";

const day = 86_400_000;

/** A certificate of the agent's key in the right names, signed by somebody else. */
async function forge(agent: TestAgent, notBefore: Date, signer?: KeyObject): Promise<Uint8Array> {
  const real = new X509Certificate(agent.certificate);
  return issueCertificate({
    use: { kind: "agent" },
    subject: agent.workload,
    issuer: real.issuer.replace(/^CN=/, ""),
    serial: Buffer.from(real.serialNumber, "hex"),
    notBefore: new Date(Math.floor(notBefore.getTime() / 1000) * 1000),
    notAfter: new Date(Math.floor(notBefore.getTime() / 1000) * 1000 + day),
    publicKey: real.publicKey.export({ type: "spki", format: "der" }),
    signer: signer ?? generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
  });
}

async function refusal(call: Promise<unknown>): Promise<Refused> {
  try {
    await call;
  } catch (reason) {
    if (reason instanceof Refused) return reason;
    throw reason;
  }
  throw new Error("the call was not refused");
}

async function sessionRefusal(agent: TestAgent): Promise<Refused> {
  const session = agent.connect();
  const over = await session.ended();
  session.close();
  assert.ok(over instanceof Refused, "the session ended without a reason");
  return over;
}

/** What the running controller signs with: a test must hold its key to make what only it can make. */
function authorityOf(arena: Arena): Authority {
  return Authority.load(arena.files.authority?.authorities ?? []);
}

describe("certificates at the controller's port", () => {
  test("an agent pairs, is welcomed, renews, and is welcomed again", async () => {
    await using arena = await openArena();
    const agent = await arena.agent({ role: "web" });
    const first = await agent.enter();
    first.close();
    const before = agent.certificate;
    agent.identity = await agent.renew();
    assert.notDeepEqual(agent.certificate, before);
    const again = await agent.enter();
    assert.equal(again.messages.find(({ kind }) => kind === "welcome")?.kind, "welcome");
    again.close();
    const types = (await arena.events()).map(({ type }) => type);
    assert.deepEqual(
      types.filter((type) => type !== "disconnected"),
      ["key-created", "paired", "connected", "renewed", "connected"],
    );
  });

  test("a session without a certificate, with a forged one and with one that is forged and expired is refused", async () => {
    await using arena = await openArena();
    const agent = await arena.agent();
    const real = agent.identity;
    assert.ok(real !== null);
    const bare = agent.client(false);
    const path = "/antenna.v1.AgentService/Session";
    const raw = (bytes: Buffer) => bytes;
    const stream = bare.makeBidiStreamRequest(path, raw, raw);
    const error = await new Promise<Refused>((resolve) =>
      stream.on("error", (e) => resolve(new Refused(e as never))),
    );
    assert.equal(error.kind, "UNAUTHENTICATED");
    bare.close();
    const forgeries = [await forge(agent, new Date()), await forge(agent, new Date(Date.now() - 2 * day))];
    for (const certificate of forgeries) {
      agent.identity = { ...real, certificateChain: [certificate] };
      assert.equal((await sessionRefusal(agent)).kind, "UNAUTHENTICATED");
    }
  });

  test("the renewal of a certificate that is forged, of another key, or over 90 days old is refused; of one that is younger it is not", async () => {
    await using arena = await openArena();
    const agent = await arena.agent();
    const other = await arena.agent();
    const forged = await forge(agent, new Date());
    assert.match(
      (await refusal(agent.renew({ certificate: forged }))).message,
      /UNAUTHENTICATED.*not signed/,
    );
    // Expired too: what TLS would have said first.
    const stale = await forge(agent, new Date(Date.now() - 30 * day));
    assert.match((await refusal(agent.renew({ certificate: stale }))).message, /UNAUTHENTICATED.*not signed/);
    assert.match(
      (await refusal(agent.renew({ certificateRequest: await other.request() }))).message,
      /UNAUTHENTICATED.*another key/,
    );
    assert.match(
      (await refusal(agent.renew({ certificate: other.certificate }))).message,
      /UNAUTHENTICATED.*another key/,
    );
    assert.match(
      (await refusal(agent.renew({ signature: () => new Uint8Array(70) }))).message,
      /UNAUTHENTICATED.*signature/,
    );
    assert.match(
      (await refusal(agent.renew({ certificateRequest: new Uint8Array(100) }))).message,
      /INVALID_ARGUMENT/,
    );
    arena.clock.shift(day + 89 * day);
    const renewed = await agent.renew();
    assert.equal((await sessionRefusal(other)).kind, "UNAUTHENTICATED", "an expired one opens nothing else");
    agent.identity = renewed;
    arena.clock.shift(day + 90 * day);
    assert.match((await refusal(agent.renew())).message, /UNAUTHENTICATED.*over 90 days/);
  });

  test("a certificate of the controller itself, or with a serial that is no agent's, is not an agent's", async () => {
    await using arena = await openArena();
    const agent = await arena.agent();
    const authority = authorityOf(arena);
    const real = agent.identity;
    assert.ok(real !== null);
    const spki = new X509Certificate(agent.certificate).publicKey.export({ type: "spki", format: "der" });
    const odd = authority.issueAgent(
      agent.workload,
      spki,
      Buffer.from("0301020304050607", "hex"),
      new Date(),
    );
    const unknown = authority.issueAgent(
      agent.workload,
      spki,
      agentCertificateSerial("0123456789abcdef"),
      new Date(),
    );
    const foreign = authority.issueAgent(
      `w-${"0".repeat(32)}`,
      spki,
      agentCertificateSerial("0123456789abcdef"),
      new Date(),
    );
    for (const certificate of [odd, unknown, foreign]) {
      agent.identity = { ...real, certificateChain: [certificate] };
      assert.equal((await sessionRefusal(agent)).kind, "UNAUTHENTICATED");
      assert.equal((await refusal(agent.renew())).kind, "UNAUTHENTICATED");
    }
  });

  test("a revoked identity loses its stream, every call and its renewal, and may pair again", async () => {
    await using arena = await openArena();
    const key = await arena.key();
    const agent = await arena.agent();
    const session = await agent.enter();
    await arena.controller.revokeWorkload(agent.workload);
    const over = await session.ended();
    assert.ok(
      over instanceof Refused && over.kind === "PERMISSION_DENIED" && /^revoked: /.test(over.details),
    );
    session.close();
    const refused = await sessionRefusal(agent);
    assert.match(refused.message, /^PERMISSION_DENIED: revoked: /);
    assert.match((await refusal(agent.renew())).message, /^PERMISSION_DENIED: revoked: /);
    const stale = agent.identity;
    const before = agent.workload;
    await agent.pair(key);
    assert.equal(agent.workload, before, "the same key pair is the same workload");
    (await agent.enter()).close();
    agent.identity = stale;
    assert.match((await sessionRefusal(agent)).message, /revoked: /, "the old certificate stays revoked");
  });

  test("a certificate that expires while its stream lives ends the stream at that moment", async () => {
    await using arena = await openArena();
    const agent = await arena.agent();
    arena.clock.shift(day - 1500);
    const session = await agent.enter();
    const over = await session.ended();
    assert.ok(over instanceof Refused && over.kind === "UNAUTHENTICATED", String(over));
    assert.match(over.details, /expired while the stream lasted/);
    session.close();
  });

  test("a clock that is set on ends the stream at the next message", async () => {
    await using arena = await openArena();
    const agent = await arena.agent();
    const session = await agent.enter();
    arena.clock.shift(2 * day);
    session.tellStatus({});
    const over = await session.ended();
    assert.ok(over instanceof Refused && over.kind === "UNAUTHENTICATED", String(over));
    session.close();
  });

  test("a resumed TLS session is looked at like a new one: revoked and expired since, both are refused", async () => {
    await using arena = await openArena();
    const agent = await arena.agent();
    const options = {
      host: "127.0.0.1",
      port: arena.controller.port,
      ca: (agent.identity?.roots ?? []).map((root) => new X509Certificate(root).toString()),
      cert: new X509Certificate(agent.certificate).toString(),
      key: agent.privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
      servername: "antenna-controller",
      ALPNProtocols: ["h2"],
    };
    const open = (session?: Buffer) =>
      new Promise<TLSSocket>((resolve, reject) => {
        const socket = connectTls({ ...options, ...(session === undefined ? {} : { session }) }, () =>
          resolve(socket),
        );
        socket.on("error", reject);
      });
    const first = await open();
    const ticket = await new Promise<Buffer>((resolve) => {
      first.on("session", resolve);
      first.resume();
    });
    const status = async (socket: TLSSocket) => {
      const http = await new Promise<ClientHttp2Session>((resolve) => {
        const session = connectHttp2("https://antenna-controller", { createConnection: () => socket }, () =>
          resolve(session),
        );
      });
      const stream = http.request({
        ":method": "POST",
        ":path": "/antenna.v1.AgentService/Session",
        "content-type": "application/grpc",
        te: "trailers",
      });
      const code = await new Promise<string>((resolve) => {
        const seen = (headers: { readonly [name: string]: unknown }) => {
          if (headers["grpc-status"] !== undefined) resolve(String(headers["grpc-status"]));
        };
        stream.on("response", seen);
        stream.on("trailers", seen);
        stream.on("error", () => resolve("error"));
        setTimeout(() => resolve("open"), 300).unref();
      });
      http.destroy();
      return code;
    };
    const second = await open(ticket);
    assert.equal(second.isSessionReused(), true, "the TLS session was not resumed: the test shows nothing");
    assert.equal(await status(second), "open");
    await arena.controller.revokeWorkload(agent.workload);
    const third = await open(ticket);
    assert.equal(third.isSessionReused(), true);
    assert.equal(await status(third), "7", "PERMISSION_DENIED");
    await agent.pair(await arena.key());
    arena.clock.shift(2 * day);
    const fourth = await open(ticket);
    assert.equal(fourth.isSessionReused(), true);
    assert.equal(await status(fourth), "16", "UNAUTHENTICATED");
    first.destroy();
  });

  test("after two rotations an agent that knows the first root alone gets in, and learns the newest keys", async () => {
    await using arena = await openArena();
    const agent = await arena.agent({ role: "web" });
    const roots = agent.identity?.roots ?? [];
    const live = await agent.enter();
    await arena.controller.rotateAuthority();
    await live.until(() => live.messages.some(({ kind }) => kind === "trust"), "the new trust");
    live.close();
    await arena.controller.rotateAuthority();
    assert.equal(arena.controller.authority().roots.length, 3);
    assert.ok(agent.identity !== null);
    agent.identity = { ...agent.identity, roots };
    const session = await agent.enter();
    await session.until(() => session.version !== null, "a policy, signed by a key that it can follow to");
    session.close();
    agent.identity = await agent.renew();
    assert.equal(agent.identity.roots.length, 3);
    (await agent.enter()).close();
    // The first one has gone by then.
    arena.clock.shift(92 * day);
    await arena.controller.rotateAuthority();
    assert.equal(arena.controller.authority().roots.length, 2);
  });
});
