import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parseAddress, policyDigest, type Version } from "@antenna/sdk";
import { ask } from "@antenna/sdk/control-socket";
import { agentService, encodeSessionRequest, PairingKey, protocolLimits } from "@antenna/sdk/protocol";
import { AgentConnection, type CallEnd, type GrpcCall } from "../fleet/agent-connection.js";
import { FleetController } from "../fleet/fleet-controller.js";
import { noStatus, Refused, TestAgent, type TestSession } from "../host/controller-arena.js";
import { Random, runSeed } from "../unit/random.js";

const random = new Random(runSeed("hostile-agent"));

const [dbAddress, webAddress] = ["203.0.113.77", "203.0.113.88"];
const labelPolicy = (port = 5432): string => `
rulesets:
  - name: shop
    scope: {}
    rules: [{ from: { role: web }, to: { role: db }, services: [{ protocol: tcp, ports: [${port}] }] }]
enforcement:
  - { match: { role: db }, mode: full }
  - { match: { role: web }, mode: full }
  - { match: { role: guest }, mode: full }
`;

interface ToldEvent {
  readonly type: string;
  readonly workload: string | null;
  readonly address: string | null;
  readonly message: string;
}

/** The real controller's process, a database and a web server that are honest, and room for somebody who is not. */
class Site implements AsyncDisposable {
  readonly controller: FleetController;
  readonly db: TestSession;
  readonly web: TestSession;
  readonly #folder: string;
  #lastAddress = 0;
  #lastPort = 5432;

  private constructor(controller: FleetController, db: TestSession, web: TestSession, folder: string) {
    this.controller = controller;
    this.db = db;
    this.web = web;
    this.#folder = folder;
  }

  static async open(): Promise<Site> {
    const folder = await mkdtemp(join(tmpdir(), "antenna-hostile-"));
    try {
      const controller = await FleetController.start(folder);
      const revision = await controller.apply(labelPolicy());
      assert.equal(await controller.settled(revision), "in-force");
      const db = await (await agentOf(controller, "db")).enter();
      db.tellAddresses(dbAddress);
      const web = await (await agentOf(controller, "web")).enter();
      web.tellAddresses(webAddress);
      await web.until(() => web.peers.includes(dbAddress), "the database's address");
      await db.until(() => db.peers.includes(webAddress), "the web server's address");
      return new Site(controller, db, web, folder);
    } catch (reason) {
      await rm(folder, { recursive: true, force: true });
      throw reason;
    }
  }

  guest(): Promise<TestAgent> {
    return agentOf(this.controller, "guest");
  }

  async events(type: string): Promise<readonly ToldEvent[]> {
    const { events } = (await this.ask("events", { limit: 1_000 })) as {
      readonly events: readonly ToldEvent[];
    };
    return events.filter((event) => event.type === type);
  }

  ask(method: string, params: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const server = { name: "controller", start: "the test starts it" };
    return ask({ path: join(this.controller.dataDir, "controller.sock"), server, method, params });
  }

  /** The honest do not feel it: an address still gets from one to the other, and so does a rule. Gives the milliseconds. */
  async undisturbed(): Promise<number> {
    const began = performance.now();
    const address = `198.51.100.${++this.#lastAddress}`;
    this.web.tellAddresses(webAddress, address);
    await this.db.until(() => this.db.peers.includes(address), `${address} at the database`);
    const took = performance.now() - began;
    const port = ++this.#lastPort;
    const revision = await this.controller.apply(labelPolicy(port));
    assert.equal(await this.controller.settled(revision), "in-force");
    await this.db.until(() => JSON.stringify(this.db.policy?.rules).includes(`${port}`), `port ${port}`);
    return took;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.db.close();
    this.web.close();
    await this.controller[Symbol.asyncDispose]();
    await rm(this.#folder, { recursive: true, force: true });
  }
}

async function agentOf(controller: FleetController, role: string): Promise<TestAgent> {
  const agent = new TestAgent(controller.port, role);
  await agent.pair(PairingKey.parse(await controller.key({ role })));
  return agent;
}

/** A connection with a real identity on which anything can be said; keeps every byte that comes. */
class RawAgent implements Disposable {
  readonly connection: AgentConnection;
  readonly call: GrpcCall;
  readonly heard: Uint8Array[] = [];
  readonly end: Promise<CallEnd>;

  private constructor(connection: AgentConnection) {
    this.connection = connection;
    let resolve: (end: CallEnd) => void = () => {};
    this.end = new Promise((settle) => {
      resolve = settle;
    });
    this.call = connection.call(agentService.session.path, {
      onMessage: (bytes) => this.heard.push(Uint8Array.from(bytes)),
      onEnd: (end) => resolve(end),
    });
  }

  static async open(agent: TestAgent, port: number): Promise<RawAgent> {
    return new RawAgent(await AgentConnection.open({ port, roots: rootsOf(agent), identity: shown(agent) }));
  }

  hello(
    options: { readonly applied?: { version: Version; digest: string }; readonly floor?: Version } = {},
  ): void {
    const { applied = null, floor = null } = options;
    this.call.send(
      encodeSessionRequest({
        ...{ kind: "hello", revision: 1, agentVersion: "liar", capabilities: [], floor, credit: 65_536 },
        token: new Uint8Array(0),
        status: { ...noStatus, applied },
      }),
    );
  }

  /** Resolves when so many messages have come. */
  async listen(count: number): Promise<void> {
    const deadline = performance.now() + 10_000;
    while (this.heard.length < count) {
      const end = await Promise.race([this.end, sleep(20, null)]);
      if (end !== null || performance.now() > deadline)
        throw new Error(`${this.heard.length} messages came, not ${count}: ${JSON.stringify(end)}`);
    }
  }

  [Symbol.dispose](): void {
    this.connection.close();
  }
}

function rootsOf({ identity }: TestAgent): readonly string[] {
  return (identity?.roots ?? []).map((der) => new X509Certificate(der).toString());
}

function shown({ certificate, privateKey }: TestAgent) {
  return {
    certificate: new X509Certificate(certificate).toString(),
    privateKey: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
  };
}

describe("an agent with a real identity that lies", () => {
  test("about its addresses: the database keeps its own, both are named, and no set changes", async () => {
    await using site = await Site.open();
    // Of the very label that the rules are about: only the claim is a lie.
    const liar = await (await agentOf(site.controller, "db")).enter();
    const versions = [site.db.versions.length, site.web.versions.length];
    const before = site.web.peers;
    liar.tellAddresses(dbAddress, "127.0.0.1", "224.0.0.5", "169.254.1.1", "fe80::1");
    const withheld = async (): Promise<readonly ToldEvent[]> => await site.events("address-withheld");
    const deadline = performance.now() + 10_000;
    while (!(await withheld()).some(({ address }) => address === dbAddress)) {
      assert.ok(performance.now() < deadline, "nobody was told");
      await sleep(50);
    }
    const event = (await withheld()).find(({ address }) => address === dbAddress);
    assert.equal(event?.workload, liar.agent.workload);
    for (const { workload } of [liar.agent, site.db.agent])
      assert.ok(event?.message.includes(workload), event?.message);
    const states = new Map(
      (await site.controller.workloads()).map(({ id, addresses }) => [
        id,
        addresses.map(({ address, state }) => `${address} ${state}`),
      ]),
    );
    assert.deepEqual(states.get(site.db.agent.workload), [`${dbAddress} admitted`]);
    assert.ok(states.get(liar.agent.workload)?.every((text) => text.endsWith(" withheld")));
    assert.deepEqual(site.web.peers, before);
    assert.deepEqual([site.db.versions.length, site.web.versions.length], versions);
    // Nor does it get it by coming back, or while the database is away for a moment.
    site.db.close();
    liar.close();
    const again = await liar.agent.enter();
    again.tellAddresses(dbAddress);
    await again.until(() => again.version !== null, "its own policy");
    assert.deepEqual(site.web.peers, before);
    const back = await site.db.agent.enter();
    back.tellAddresses(dbAddress);
    await back.until(() => back.peers.includes(webAddress), "the web server's address");
    assert.deepEqual(site.web.peers, before);
    assert.equal(site.web.versions.length, versions[1]);
    again.close();
    back.close();
  });

  test("about who it is: not a byte about another workload ever comes", async () => {
    await using site = await Site.open();
    const { db, web, controller } = site;
    const guest = await site.guest();
    const secrets = [
      ...[dbAddress, webAddress].map((address) => Buffer.from(parseAddress(address))),
      ...[db, web].flatMap(({ agent }) =>
        [agent.workload, agent.name, "shop"].map((text) => Buffer.from(text)),
      ),
    ];
    assert.ok(db.policy !== null && db.version !== null);
    const applied = { version: db.version, digest: policyDigest(db.policy) };
    using raw = await RawAgent.open(guest, controller.port);
    raw.hello({ applied, floor: db.version });
    await raw.listen(1);
    raw.call.send(encodeSessionRequest({ kind: "snapshot-request", reason: db.agent.workload }));
    raw.call.send(
      encodeSessionRequest({
        ...{ kind: "context", sequence: 1, full: true },
        facts: {
          ...{ hostname: "db", addresses: [], services: [], virtualization: null, cloud: null },
          os: { name: "debian", version: "12", kernel: "6.1", arch: "x64" },
        },
      }),
    );
    await site.undisturbed();
    await raw.listen(2);
    const heard = Buffer.concat(raw.heard);
    // What it was told is its own: that is the control, and it would show the others.
    assert.ok(heard.includes(guest.workload));
    for (const secret of secrets.filter((secret) => secret.toString() !== "db"))
      assert.ok(!heard.includes(secret), `${secret.toString("latin1")} came`);

    // Another's certificate without its key: TLS ends it; in a renewal: refused by name of the reason.
    const stolen = { ...shown(guest), certificate: shown(db.agent).certificate };
    await assert.rejects(
      AgentConnection.open({ port: controller.port, roots: rootsOf(guest), identity: stolen }),
    );
    await assert.rejects(guest.renew({ certificate: db.agent.certificate }), /UNAUTHENTICATED.*another key/);
    // Another's name on a request of its own key makes it nobody else.
    const before = guest.workload;
    await guest.pair(PairingKey.parse(await controller.key({ role: "guest" })));
    assert.equal(guest.workload, before);
    assert.equal(db.over, null);
  });

  test("about its version: it gets nothing, it is reported, and the epoch stays the operator's to raise", async () => {
    await using site = await Site.open();
    const most = { epoch: Number.MAX_SAFE_INTEGER, sequence: Number.MAX_SAFE_INTEGER };
    const guest = await site.guest();
    using raw = await RawAgent.open(guest, site.controller.port);
    raw.hello({ applied: { version: most, digest: `sha256:${"ab".repeat(32)}` }, floor: most });
    await raw.listen(1);
    await site.undisturbed();
    const report = (await site.events("policy-refused")).find(({ workload }) => workload === guest.workload);
    assert.match(report?.message ?? "", /it tells of 9007199254740991\.9007199254740991, and .* was issued/);
    await site.ask("policy-epoch-raise");
    await site.undisturbed();
    for (const { version } of [site.db, site.web]) assert.equal(version?.epoch, 2);
    await site.ask("policy-epoch-raise");
    await site.undisturbed();
    assert.equal(site.db.version?.epoch, 3);
    await site.controller.stop();
    await site.controller.serve();
    const db = await site.db.agent.enter();
    await db.until(() => db.version?.epoch === 3, "the same epoch after a restart");
    db.close();
  });

  test("as a copy of another: the second hello is refused and told, the first goes on", async () => {
    await using site = await Site.open();
    const { agent } = site.db;
    const copy = agent.copy();
    const second = copy.connect();
    const over = await second.ended();
    second.close();
    assert.ok(over instanceof Refused && over.kind === "ABORTED", String(over));
    const [event] = await site.events("clone-detected");
    assert.equal(event?.workload, agent.workload);
    assert.equal(event?.message.match(/127\.0\.0\.1:\d+/g)?.length, 2, event?.message);
    await site.undisturbed();
    assert.equal(site.db.over, null);
  });
});

describe("an agent with a real identity that misbehaves", () => {
  test("by floods of the largest messages: it is put out, others are served meanwhile, memory stays bounded", async () => {
    await using site = await Site.open();
    await site.undisturbed();
    const quiet = await site.controller.rssMiB();
    const name = "x".repeat(protocolLimits.name - 1);
    const addresses = Array.from({ length: protocolLimits.addresses }, (_, i) => ({
      ...{ address: `10.77.${i >> 8}.${i & 255}`, prefix: 16, interface: name, scope: "routable" as const },
    }));
    const flood = (sequence: number): Uint8Array =>
      encodeSessionRequest({
        ...{ kind: "context", sequence, full: sequence === 1 },
        facts: { addresses: sequence % 2 === 0 ? addresses : addresses.slice(1) },
      });
    assert.ok(flood(2).length > 1_000_000, "not large");
    let highest = quiet;
    let watching = true;
    const watch = (async () => {
      for (; watching; await sleep(20)) highest = Math.max(highest, await site.controller.rssMiB());
    })();
    const ends = await Promise.all(
      Array.from({ length: 4 }, async () => {
        using raw = await RawAgent.open(await site.guest(), site.controller.port);
        raw.hello();
        await raw.listen(1);
        for (let sequence = 1; sequence <= 250; sequence++) raw.call.send(flood(sequence));
        return await Promise.race([raw.end, sleep(60_000, null, { ref: false })]);
      }),
    );
    const took = await site.undisturbed();
    watching = false;
    await watch;
    process.stdout.write(
      `# RSS of the controller: ${quiet.toFixed(0)} MiB, at most ${highest.toFixed(0)} in the flood; an honest change took ${took.toFixed(0)} ms\n`,
    );
    for (const end of ends) assert.ok(end !== null && end.code !== 0, JSON.stringify(end));
    assert.ok(highest < quiet + 400, `${quiet} MiB became ${highest}`);
    // Thousands of addresses of one agent do not push out what is told of others.
    const told = [...(await site.events("address-admitted")), ...(await site.events("address-withheld"))];
    assert.ok(told.length < 200, `${told.length} events of addresses`);
  });

  test("by garbage, half-closed streams and readers that stall: refused with a reason, others are served", async () => {
    await using site = await Site.open();
    for (let round = 0; round < 20; round++) {
      using raw = await RawAgent.open(await site.guest(), site.controller.port);
      if (random.chance(0.5)) raw.hello();
      const bytes = Uint8Array.from({ length: 1 + random.below(2_000) }, () => random.below(256));
      raw.call.send(bytes);
      if (random.chance(0.5)) raw.call.finish();
      // What is read as a message of a later revision is passed over: such a stream ends when this side ends it.
      raw.call.finish();
      const end = await raw.end;
      assert.ok([-1, 0, 3, 8, 14].includes(end.code), JSON.stringify(end));
    }
    const stalled = await Promise.all(
      Array.from({ length: 8 }, async () => {
        const session = await (await site.guest()).enter({
          grants: false,
          answers: false,
          hello: { credit: 1 },
        });
        return session;
      }),
    );
    await site.undisturbed();
    for (const session of stalled) session.close();
    await site.undisturbed();
  });
});
