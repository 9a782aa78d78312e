import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { describe, test } from "node:test";
import { AntennaError, formatVersion } from "@antenna/sdk";
import { PairingKey } from "@antenna/sdk/protocol";
import { MemoryStore, MemoryTrustFiles } from "../unit/controller-memory-store.js";
import { noStatus, openArena, Refused, TestAgent, type TestSession } from "./controller-arena.js";

const shop = `
services: { http: [{ protocol: tcp, ports: [8080] }] }
rulesets:
  - name: shop
    scope: {}
    rules:
      - { from: { role: web }, to: { role: app }, services: [http] }
enforcement:
  - { match: {}, mode: full }
`;

async function refusal(call: Promise<unknown>): Promise<Refused> {
  const error = await call.then(
    () => null,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof Refused, `not refused: ${String(error)}`);
  return error;
}

async function until(holds: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`waited for ${what} in vain`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

const closed = (...sessions: readonly TestSession[]) => {
  for (const session of sessions) session.close();
};

describe("a fleet at its controller", () => {
  test("policies follow joins, moves, labels and revocations, as deltas, to those whom they affect", async () => {
    await using arena = await openArena();
    const { controller } = arena;
    await controller.applyPolicy(shop);
    const [web, app, db] = [
      await arena.agent({ role: "web" }, "web1"),
      await arena.agent({ role: "app" }, "app1"),
      await arena.agent({ role: "db" }, "db1"),
    ];
    const [webSession, appSession, dbSession] = [await web.enter(), await app.enter(), await db.enter()];
    appSession.tellAddresses("10.0.0.2");
    dbSession.tellAddresses("10.0.0.3");
    await webSession.until(() => webSession.peers.includes("10.0.0.2"), "the app's address");
    await dbSession.until(() => dbSession.version !== null, "a policy");
    const quiet = dbSession.versions.length;

    webSession.tellAddresses("10.0.0.1");
    await appSession.until(() => appSession.peers.join() === "10.0.0.1", "the web's address");
    const version = appSession.version;
    webSession.tellAddresses("10.0.0.7");
    await appSession.until(() => appSession.peers.join() === "10.0.0.7", "the web's new address");
    assert.ok(version !== null && appSession.version !== null);
    assert.ok(appSession.version.sequence > version.sequence);
    assert.equal(appSession.wholes, 1, "after the first policy only what changed is sent");

    await controller.labelWorkload("db1", { set: { role: "web" }, removed: [] });
    await appSession.until(() => appSession.peers.join() === "10.0.0.3,10.0.0.7", "the new web");
    assert.ok(dbSession.versions.length >= quiet);
    await controller.revokeWorkload(web.workload);
    await appSession.until(() => appSession.peers.join() === "10.0.0.3", "the revoked one to leave");
    assert.equal(appSession.wholes, 1);

    const document = controller.workloads().workloads.find(({ id }) => id === app.workload);
    await until(() => {
      const found = controller.workloads().workloads.find(({ id }) => id === app.workload);
      return found?.appliedVersion === formatVersion(appSession.version ?? { epoch: 0, sequence: 0 });
    }, "the report to be seen");
    assert.equal(document?.online, true);
    assert.deepEqual(arena.failures, []);
    closed(webSession, appSession, dbSession);
  });

  test("a workload that a change does not touch keeps its version, over a restart of the controller too", async () => {
    const store = new MemoryStore();
    const files = new MemoryTrustFiles();
    const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    let identity: TestAgent["identity"] = null;
    let before: { readonly version: string; readonly token: Uint8Array } = {
      version: "",
      token: new Uint8Array(0),
    };
    {
      await using arena = await openArena({ store, files });
      await arena.controller.applyPolicy(shop);
      const db = new TestAgent(arena.controller.port, "db1", key);
      await db.pair(await arena.key({ role: "db" }));
      const session = await db.enter();
      session.tellAddresses("10.0.0.3");
      await session.until(() => session.version !== null, "a policy");
      const web = await (await arena.agent({ role: "web" }, "web1")).enter();
      web.tellAddresses("10.0.0.1");
      await web.until(() => web.version !== null, "a policy");
      await until(() => arena.controller.history().revisions[0]?.state === "in-force", "the waves to end");
      before = { version: formatVersion(session.version ?? { epoch: 0, sequence: 0 }), token: db.token };
      identity = db.identity;
      session.close();
      web.close();
    }
    await using arena = await openArena({ store: new MemoryStore(store.database), files });
    const db = new TestAgent(arena.controller.port, "db1", key);
    db.identity = identity;
    db.token = before.token;
    const listed = arena.controller.workloads().workloads.find(({ name }) => name === "db1");
    assert.equal(listed?.policyVersion, before.version);
    assert.deepEqual(
      listed?.addresses.map(({ address, state }) => `${address} ${state}`),
      ["10.0.0.3 admitted"],
    );
    assert.equal(listed?.online, false);
    assert.equal(listed?.state, "in-sync");
    assert.equal((await arena.controller.showPolicy()).text, shop);
  });

  test("nobody hears of a policy that is not stored; a store that refuses stops the controller", async () => {
    let isBroken = false;
    const store = new MemoryStore(undefined, {
      onCommit: (changes) => {
        if (isBroken && changes.some(({ kind }) => kind === "issued")) throw new Error("no space left");
      },
    });
    await using arena = await openArena({ store });
    const web = await (await arena.agent({ role: "web" }, "web1")).enter();
    await web.until(() => web.version !== null, "a policy");
    const seen = web.versions.length;
    isBroken = true;
    await assert.rejects(arena.controller.applyPolicy(shop), /no space left/);
    assert.equal(arena.failures.length, 1);
    await new Promise((resolve) => setTimeout(resolve, 100));
    assert.equal(web.versions.length, seen);
    web.close();
  });

  test("a controller restored from an older backup issues nothing to who had more, until the epoch is raised", async () => {
    const store = new MemoryStore();
    const files = new MemoryTrustFiles();
    const privateKey = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    let identity: TestAgent["identity"] = null;
    let backup = store.database.clone();
    let held: TestSession["version"] = null;
    {
      await using arena = await openArena({ store, files });
      await arena.controller.applyPolicy(shop);
      const web = new TestAgent(arena.controller.port, "web1", privateKey);
      await web.pair(await arena.key({ role: "web" }));
      const session = await web.enter();
      await session.until(() => session.version !== null, "a policy");
      await until(() => arena.controller.history().revisions[0]?.state === "in-force", "the waves to end");
      backup = store.database.clone();
      const app = await (await arena.agent({ role: "app" }, "app1")).enter();
      app.tellAddresses("10.0.0.2");
      await session.until(() => session.peers.includes("10.0.0.2"), "the app");
      held = session.version;
      identity = web.identity;
      closed(session, app);
    }
    assert.ok(held !== null);
    await using arena = await openArena({ store: new MemoryStore(backup), files });
    const web = new TestAgent(arena.controller.port, "web1", privateKey);
    web.identity = identity;
    web.workload = backup.workloads.keys().next().value ?? "";
    const applied = { version: held, digest: `sha256:${"0".repeat(64)}` };
    const session = await web.enter({
      hello: { floor: held, status: { ...noStatus, state: "in-sync", mode: "full", applied } },
    });
    await until(
      async () => (await arena.events()).some(({ type }) => type === "policy-refused"),
      "the event",
    );
    assert.equal(session.version, null);
    assert.equal(arena.controller.workloads().workloads[0]?.problems[0]?.code, "policy-refused");
    assert.deepEqual(await arena.controller.raiseEpoch(), { epoch: held.epoch + 1 });
    await session.until(() => session.version?.epoch === (held?.epoch ?? 0) + 1, "the new epoch");
    assert.deepEqual(arena.controller.workloads().workloads[0]?.problems, []);
    session.close();
  });

  test("an identity that was revoked stays so in a database that does not know it", async () => {
    const store = new MemoryStore();
    const files = new MemoryTrustFiles();
    const privateKey = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
    let identity: TestAgent["identity"] = null;
    let backup = store.database.clone();
    {
      await using arena = await openArena({ store, files });
      const web = new TestAgent(arena.controller.port, "web1", privateKey);
      await web.pair(await arena.key({ role: "web" }));
      const session = await web.enter();
      session.tellAddresses("10.0.0.1");
      await until(() => arena.controller.workloads().workloads[0]?.addresses.length === 1, "the address");
      backup = store.database.clone();
      await arena.controller.revokeWorkload("web1");
      session.close();
      identity = web.identity;
    }
    await using arena = await openArena({ store: new MemoryStore(backup), files });
    assert.equal(arena.controller.workloads().workloads[0]?.state, "revoked");
    assert.deepEqual(arena.controller.workloads().workloads[0]?.addresses, []);
    assert.equal(backup.workloads.values().next().value?.state, "revoked", "it is stored");
    const web = new TestAgent(arena.controller.port, "web1", privateKey);
    web.identity = identity;
    const session = web.connect();
    const over = await session.ended();
    session.close();
    assert.ok(over instanceof Refused && over.kind === "PERMISSION_DENIED", String(over));
  });

  test("an address that another holds is withheld, the event names both, and it is admitted when that one lets go", async () => {
    await using arena = await openArena();
    await arena.controller.applyPolicy(shop);
    const db = await (await arena.agent({ role: "web" }, "db1")).enter();
    const liar = await (await arena.agent({ role: "web" }, "liar")).enter();
    const app = await (await arena.agent({ role: "app" }, "app1")).enter();
    db.tellAddresses("10.0.0.3");
    await app.until(() => app.peers.join() === "10.0.0.3", "the database");
    liar.tellAddresses("10.0.0.3", "10.0.0.4");
    await app.until(() => app.peers.join() === "10.0.0.3,10.0.0.4", "the liar's own");
    const event = (await arena.events()).find(({ type }) => type === "address-withheld");
    for (const name of [db.agent.workload, liar.agent.workload, "db1", "liar"]) {
      assert.ok(event?.message.includes(name), `${name} is not in: ${event?.message}`);
    }
    db.tellAddresses("10.0.0.5");
    await app.until(() => app.peers.join() === "10.0.0.3,10.0.0.4,10.0.0.5", "the address to move");
    await arena.controller.revokeWorkload("liar");
    await app.until(() => app.peers.join() === "10.0.0.5", "the liar to go");
    closed(db, liar, app);
  });

  test("a bad policy changes nothing; history, show and rollback know the revisions", async () => {
    await using arena = await openArena();
    const { controller } = arena;
    await assert.rejects(controller.applyPolicy("rulesets: 7"), (error: unknown) => {
      assert.ok(error instanceof AntennaError && error.code === "input-refused" && error.problems.length > 0);
      return true;
    });
    assert.deepEqual(controller.history(), { revisions: [] });
    await assert.rejects(controller.showPolicy(), /no label policy/);
    await controller.applyPolicy(shop);
    await controller.applyPolicy(shop.replace("8080", "8081"));
    await controller.rollback(1);
    assert.equal((await controller.waitForRevision(3)).state, "in-force");
    assert.deepEqual(
      controller.history().revisions.map(({ revision, state, of }) => [revision, state, of]),
      [
        [3, "in-force", 1],
        [2, "replaced", null],
        [1, "replaced", null],
      ],
    );
    assert.equal((await controller.showPolicy(2)).text, shop.replace("8080", "8081"));
    await assert.rejects(controller.rollback(9), /no such revision/);
  });

  test("a preview asks those that are connected, and says what it can of the others", async () => {
    await using arena = await openArena();
    const web = await (await arena.agent({ role: "web" }, "web1")).enter();
    await arena.agent({ role: "app" }, "app1");
    await web.until(() => web.version !== null, "a policy");
    const answer = arena.controller.previewPolicy(shop);
    const questions = () => web.messages.filter((message) => message.kind === "preview");
    const cuts = { flows: 14, complete: true, examples: [] };
    await web.until(() => questions().length === 1, "the question");
    web.say({ kind: "preview", id: questions()[0]?.id ?? 0, document: null, problem: "another base" });
    await web.until(() => questions().length === 2, "the question with the whole policy");
    assert.equal(questions()[1]?.part.header?.base, null);
    web.say({
      kind: "preview",
      id: questions()[1]?.id ?? 0,
      document: JSON.stringify({ cuts }),
      problem: null,
    });
    const { workloads } = await answer;
    assert.deepEqual(workloads.map(({ name, cuts }) => [name, cuts]).sort(), [
      ["app1", null],
      ["web1", cuts],
    ]);
    web.close();
  });

  test("a failure withdraws the revision, and everyone gets the last good content under a higher version", async () => {
    await using arena = await openArena();
    const { controller } = arena;
    const web = await (await arena.agent({ role: "web" }, "web1")).enter({ reports: false });
    await web.until(() => web.version !== null, "a policy");
    const good = web.version;
    assert.ok(good !== null && web.policy !== null);
    const goodPolicy = web.policy;
    web.tellStatus({ state: "in-sync" });
    await controller.applyPolicy(shop);
    await web.until(() => web.versions.length === 2, "the revision");
    const tried = web.version;
    assert.ok(tried !== null);
    web.policy = goodPolicy;
    web.version = good;
    web.tellStatus({ refused: { version: tried, result: "rolled-back", reason: "a canary is denied" } });
    assert.equal((await controller.waitForRevision(1)).state, "withdrawn");
    await until(async () => (await arena.events()).some(({ type }) => type === "rolled-back"), "the event");
    web.close();
  });
});

describe("pairing", () => {
  test("unknown, wrong, used-up, revoked and expired keys are told apart where that gives nothing away", async () => {
    await using arena = await openArena();
    const { controller } = arena;
    const agent = new TestAgent(controller.port, "web1");
    const good = await arena.key();
    const wrong = new PairingKey({ id: good.id, secret: new Uint8Array(32), fingerprint: good.fingerprint });
    const unknown = new PairingKey({
      id: "0123456789abcdef",
      secret: good.secret,
      fingerprint: good.fingerprint,
    });
    const answers = [await refusal(agent.pair(wrong)), await refusal(agent.pair(unknown))];
    assert.equal(answers[0]?.message, answers[1]?.message, "who guesses learns nothing of ids");
    assert.equal(answers[0]?.kind, "NOT_FOUND");

    const once = await controller.createKey({
      labels: {},
      uses: 1,
      ttlMs: 60_000,
      addresses: [],
      delegate: [],
    });
    const key = PairingKey.parse(once.pairingKey);
    await agent.pair(key);
    await agent.pair(key);
    assert.equal(
      controller.keys().keys.find(({ id }) => id === key.id)?.used,
      1,
      "the same key pair takes no further use",
    );
    const second = new TestAgent(controller.port, "web2");
    assert.match((await refusal(second.pair(key))).message, /FAILED_PRECONDITION.*no uses left/);
    await controller.revokeKey(good.id);
    assert.match((await refusal(second.pair(good))).message, /FAILED_PRECONDITION.*revoked/);
    const brief = await arena.key();
    arena.clock.shift(2 * 3_600_000);
    assert.match((await refusal(second.pair(brief))).message, /FAILED_PRECONDITION.*expired/);
    await assert.rejects(controller.revokeKey("nope"), /no such key/);
    assert.equal(controller.workloads().workloads.length, 1);
  });

  test("guessing is slowed down, and no secret is in the log, the events or the store", async () => {
    const store = new MemoryStore();
    await using arena = await openArena({ store });
    const good = await arena.key({ role: "web" });
    const agent = new TestAgent(arena.controller.port, "web1");
    await agent.pair(good);
    (await agent.enter()).close();
    const wrong = new PairingKey({ id: good.id, secret: new Uint8Array(32), fingerprint: good.fingerprint });
    const kinds: string[] = [];
    for (let i = 0; i < 25; i++) kinds.push((await refusal(agent.pair(wrong))).kind);
    assert.equal(kinds[0], "NOT_FOUND");
    assert.equal(kinds.at(-1), "RESOURCE_EXHAUSTED");
    const { database } = store;
    const everything = JSON.stringify([
      [...database.keys.values()],
      [...database.workloads.values()],
      database.events,
      arena.logger.entries,
      arena.controller.keys(),
    ]);
    assert.equal(good.isIn(everything), false);
    assert.equal(everything.includes(Buffer.from(agent.token).toString("hex")), false);
  });

  test("keys with what can't be meant are refused with every problem", async () => {
    await using arena = await openArena();
    const bad = {
      labels: { role: "w eb" },
      uses: 0,
      ttlMs: -1,
      addresses: ["10.0.0.1/8"],
      delegate: ["ipList"],
    };
    await assert.rejects(arena.controller.createKey(bad), (error: unknown) => {
      assert.ok(error instanceof AntennaError);
      assert.deepEqual(error.problems.map(({ path }) => path).sort(), [
        "addresses[0]",
        "delegate[0]",
        "ttlMs",
        "uses",
      ]);
      return true;
    });
  });
});
