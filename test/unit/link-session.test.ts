import assert from "node:assert/strict";
import { createPublicKey } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  AntennaError,
  type Clock,
  type ControllerLink,
  grpcLink,
  type LinkStatus,
  type Policy,
  parsePolicy,
  policyDelta,
  policyDigest,
  systemClock,
} from "@antenna/sdk";
import { IdentityStore } from "@antenna/sdk/internal/protocol/identity/identity-store.js";
import {
  encodeSessionResponse,
  generatePolicyKey,
  type PolicySigningKey,
  policyPart,
  policyParts,
  signPolicy,
} from "@antenna/sdk/protocol";
import { MemoryLogger } from "@antenna/sdk/testing";
import { status } from "@grpc/grpc-js";
import { FakeAgent, someContext } from "./link-agent.js";
import { hour, pairHost, TestAuthority, testWorkload } from "./link-authority.js";
import { FakeController, type FakeControllerOptions, fastClock } from "./link-controller.js";

interface Lab extends AsyncDisposable {
  readonly authority: TestAuthority;
  readonly controller: FakeController;
  readonly agent: FakeAgent;
  readonly link: ControllerLink;
  readonly logger: MemoryLogger;
  readonly stateDir: string;
  /** Resolves once the link's status fulfils this. */
  until(holds: (status: LinkStatus) => boolean): Promise<LinkStatus>;
}

interface LabOptions extends Partial<FakeControllerOptions> {
  readonly clock?: Clock;
  readonly host?: Parameters<typeof pairHost>[2] | null;
  readonly authority?: TestAuthority;
}

async function lab(options: LabOptions = {}): Promise<Lab> {
  const authority = options.authority ?? new TestAuthority();
  const stateDir = await mkdtemp(join(tmpdir(), "antenna-link-"));
  if (options.host !== null) await pairHost(stateDir, authority, options.host ?? {});
  const controller = await FakeController.start({ ...options, authority });
  const agent = new FakeAgent();
  const logger = new MemoryLogger();
  const link = grpcLink({ controller: controller.address, stateDir, agentVersion: "test", random: () => 0 });
  link.open(agent, { clock: options.clock ?? systemClock, logger });
  return {
    ...{ authority, controller, agent, link, logger, stateDir },
    until: (holds) => until(link, holds),
    [Symbol.asyncDispose]: async () => {
      await link[Symbol.asyncDispose]();
      await controller[Symbol.asyncDispose]();
      await rm(stateDir, { recursive: true });
    },
  };
}

function until(link: ControllerLink, holds: (status: LinkStatus) => boolean): Promise<LinkStatus> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`stays at ${JSON.stringify(link.status())}`)), 10_000);
    const look = (now: LinkStatus): void => {
      if (!holds(now)) return;
      clearTimeout(timer);
      listener[Symbol.dispose]();
      resolve(now);
    };
    const listener = link.onStatus(look);
    look(link.status());
  });
}

const connected = ({ state }: LinkStatus): boolean => state === "connected";
const problem =
  (code: string, words = /./) =>
  ({ problems }: LinkStatus): boolean =>
    problems.some((each) => each.code === code && words.test(each.message));

function policyOf(version: number, members: readonly string[]): Policy {
  const document = {
    version,
    mode: "full",
    sets: { web: members },
    rules: [{ id: "web-in", direction: "in", action: "allow", peers: ["web"] }],
  };
  return parsePolicy(Buffer.from(JSON.stringify(document)));
}

function sealOf(policy: Policy, key: PolicySigningKey, workload = testWorkload) {
  const version = policy.version ?? { epoch: 1, sequence: 1 };
  const digest = policyDigest(policy);
  return { version, digest, proof: signPolicy({ workload, version, digest }, key), probation: false };
}

describe("a session", () => {
  test("says hello, is welcomed, tells context once and then what changes", async () => {
    await using it = await lab();
    it.agent.facts = someContext;
    const { session, hello } = await it.controller.session();
    assert.equal(hello.revision, 1);
    assert.equal(hello.agentVersion, "test");
    assert.equal(hello.token.length, 0);
    assert.deepEqual(it.agent.reached, [{ addresses: ["127.0.0.1"], port: it.controller.port }]);
    session.welcome(it.authority);
    await it.until(connected);
    const first = await session.next("context");
    assert.deepEqual([first.sequence, first.full, first.facts], [1, true, someContext]);
    it.agent.facts = { ...someContext, addresses: [] };
    it.link.changed("context");
    const second = await session.next("context");
    assert.deepEqual([second.sequence, second.full, second.facts], [2, false, { addresses: [] }]);
    assert.notEqual(it.link.status().lastSync, null);
    assert.equal(it.link.workload, testWorkload);
  });

  test("answers a ping at once, while an offer is being applied", async () => {
    await using it = await lab();
    it.agent.onOffer = () => new Promise(() => {});
    const { session } = await it.controller.session();
    session.welcome(it.authority);
    const policy = policyOf(1, ["10.0.0.1"]);
    session.send({ kind: "policy", part: policyPart(policy, sealOf(policy, it.authority.policyKey)) });
    await it.agent.offered(1);
    const started = performance.now();
    session.send({ kind: "ping", nonce: Buffer.from("are you there") });
    const pong = await session.next("pong");
    assert.equal(Buffer.from(pong.nonce).toString(), "are you there");
    assert.ok(performance.now() - started < 250);
  });

  test("takes a policy of many parts in, gives credit, and a delta to it", async () => {
    await using it = await lab();
    const { session, hello } = await it.controller.session();
    session.welcome(it.authority);
    const members = Array.from({ length: 5_000 }, (_, index) => `10.${index >> 8}.${index & 255}.1`);
    const first = policyOf(1, members);
    let sent = 0;
    let credit = hello.credit;
    for (const part of policyParts(first, sealOf(first, it.authority.policyKey), 1_000)) {
      if (credit === 0) credit += (await session.next("credit")).chunks;
      session.send({ kind: "policy", part });
      credit -= 1;
      sent += 1;
    }
    assert.ok(sent > hello.credit);
    await it.agent.offered(1);
    assert.equal(it.agent.offers[0]?.digest, policyDigest(first));
    assert.equal(
      it.link.vouches({ epoch: 1, sequence: 1 }, policyDigest(first), it.agent.offers[0]?.proof ?? null),
      true,
    );
    assert.equal(
      it.link.vouches({ epoch: 1, sequence: 2 }, policyDigest(first), it.agent.offers[0]?.proof ?? null),
      false,
    );
    assert.equal(it.link.vouches({ epoch: 1, sequence: 1 }, policyDigest(first), null), false);
    const second = policyOf(2, [...members, "192.0.2.1"]);
    const delta = policyDelta(first, second);
    session.send({ kind: "policy", part: policyPart(delta, sealOf(second, it.authority.policyKey)) });
    await it.agent.offered(2);
    assert.ok("base" in (it.agent.offers[1]?.policy ?? {}));
  });

  test("asks for the whole policy when a delta is to another one", async () => {
    await using it = await lab();
    const { session } = await it.controller.session();
    session.welcome(it.authority);
    const [first, second] = [policyOf(1, ["10.0.0.1"]), policyOf(2, ["10.0.0.2"])];
    const delta = policyDelta(first, second);
    session.send({ kind: "policy", part: policyPart(delta, sealOf(second, it.authority.policyKey)) });
    await session.next("snapshot-request");
    // The agent, too, may find that it is another one.
    it.agent.onOffer = () => {
      const problems = [{ path: "base", problem: "another" }];
      return Promise.reject(
        new AntennaError({ code: "input-refused", operation: "x", message: "y", problems }),
      );
    };
    session.send({ kind: "policy", part: policyPart(first, sealOf(first, it.authority.policyKey)) });
    await session.next("snapshot-request");
    assert.equal(it.agent.offers.length, 1);
  });

  test("answers previews, and says why one cannot be made", async () => {
    await using it = await lab();
    const { session } = await it.controller.session();
    session.welcome(it.authority);
    const policy = policyOf(1, ["10.0.0.1"]);
    const seal = { ...sealOf(policy, it.authority.policyKey), proof: new Uint8Array(0) };
    session.send({ kind: "preview", id: 7, part: policyPart(policy, seal), examples: 20 });
    const answer = await session.next("preview");
    assert.deepEqual([answer.id, answer.problem], [7, null]);
    session.send({
      kind: "preview",
      id: 8,
      part: policyPart(policyDelta(policy, policyOf(2, [])), seal),
      examples: 20,
    });
    const refusal = await session.next("preview");
    assert.deepEqual([refusal.id, refusal.document], [8, null]);
    assert.equal(it.agent.offers.length, 0);
  });

  test("tells the newest status only, and not twice the same", async () => {
    await using it = await lab();
    const { session } = await it.controller.session();
    session.welcome(it.authority);
    await it.until(connected);
    for (const state of ["applying", "settling", "degraded"] as const) {
      it.agent.state = { ...it.agent.state, state };
      it.link.changed("report");
    }
    assert.equal((await session.next("status")).status.state, "degraded");
    it.link.changed("report");
    it.link.tell({ type: "budget", time: new Date(), message: "over" });
    const event = await session.next("event");
    assert.equal(event.type, "budget");
  });

  test("keeps events while the controller is away, the newest hundred", async () => {
    await using it = await lab();
    for (let index = 0; index < 130; index++) {
      it.link.tell({ type: "budget", time: new Date(), message: `event ${index}` });
    }
    const { session } = await it.controller.session();
    session.welcome(it.authority);
    const messages: string[] = [];
    while (messages.length < 100) messages.push((await session.next("event")).message);
    assert.equal(messages[0], "event 30");
    assert.equal(messages.at(-1), "event 129");
    assert.ok(it.logger.entries.some(({ facts }) => "dropped" in facts && facts.dropped === 30));
  });

  test("shows the token of the last one, and remembers the address", async () => {
    await using it = await lab({ clock: fastClock(50) });
    const { session } = await it.controller.session();
    session.welcome(it.authority, { token: Buffer.from("the token") });
    await it.until(connected);
    session.halfClose();
    const next = await it.controller.session();
    assert.equal(Buffer.from(next.hello.token).toString(), "the token");
    const { traces } = IdentityStore.open(it.stateDir);
    assert.deepEqual(traces.addresses, ["127.0.0.1"]);
  });

  test("goes to the addresses of the last time when the name does not resolve", async () => {
    const authority = new TestAuthority();
    const stateDir = await mkdtemp(join(tmpdir(), "antenna-link-"));
    await using controller = await FakeController.start({ authority });
    const name = `controller.invalid:${controller.port}`;
    const store = await pairHost(stateDir, authority);
    await store.saveTraces({ token: Buffer.alloc(3), controller: name, addresses: ["127.0.0.1"] });
    const link = grpcLink({ controller: name, stateDir });
    const agent = new FakeAgent();
    link.open(agent, { clock: systemClock, logger: new MemoryLogger() });
    const { hello } = await controller.session();
    assert.equal(hello.token.length, 3);
    assert.deepEqual(agent.reached[0]?.addresses, ["127.0.0.1"]);
    await link[Symbol.asyncDispose]();
    await rm(stateDir, { recursive: true });
  });

  test("tries one address after the other, and lets all of them through first", async () => {
    const authority = new TestAuthority();
    const stateDir = await mkdtemp(join(tmpdir(), "antenna-link-"));
    await using controller = await FakeController.start({ authority });
    await pairHost(stateDir, authority);
    const link = grpcLink({ controller: `localhost:${controller.port}`, stateDir });
    const agent = new FakeAgent();
    link.open(agent, { clock: systemClock, logger: new MemoryLogger() });
    const { session } = await controller.session();
    session.welcome(authority);
    await until(link, connected);
    assert.ok(agent.reached[0]?.addresses.includes("127.0.0.1"));
    await link[Symbol.asyncDispose]();
    await rm(stateDir, { recursive: true });
  });

  test("connects anew when nothing is heard for three heartbeats", async () => {
    await using it = await lab({ clock: fastClock(50) });
    const { session } = await it.controller.session();
    session.welcome(it.authority, { heartbeatMs: 1_000 });
    await it.until(connected);
    await it.until(problem("link-down", /nothing was heard for 3 s/));
    await it.controller.session();
  });

  test("is over when the link closes, and closing joins", async () => {
    const it = await lab();
    const { session } = await it.controller.session();
    session.welcome(it.authority);
    await it.until(connected);
    await Promise.all([it.link[Symbol.asyncDispose](), it.link[Symbol.asyncDispose]()]);
    await session.ended();
    await it[Symbol.asyncDispose]();
  });

  test("probe: a second connection gets an answer; none without a controller", async () => {
    await using it = await lab();
    const { session } = await it.controller.session();
    session.welcome(it.authority);
    await it.until(connected);
    await it.link.probe();
    await it.link.probe({ signal: AbortSignal.timeout(5_000) });
    await it.controller[Symbol.asyncDispose]();
    await assert.rejects(it.link.probe(), { code: "unreachable", detail: /ECONNREFUSED/ });
  });
});

describe("a controller that says no", () => {
  test("revoked: told, stored, and the host may pair again; welcome ends it", async () => {
    await using it = await lab({ clock: fastClock(200) });
    const { session } = await it.controller.session();
    session.refuse(status.PERMISSION_DENIED, "revoked: by the operator");
    const now = await it.until(({ state }) => state === "revoked");
    assert.ok(problem("link-down", /ended this host's identity: revoked: by the operator/)(now));
    const next = await it.controller.session();
    assert.equal(it.link.status().state, "revoked");
    assert.equal(IdentityStore.open(it.stateDir).identity?.revoked, true);
    next.session.welcome(it.authority);
    await it.until(connected);
  });

  test("a clone is refused", async () => {
    await using it = await lab();
    const { session } = await it.controller.session();
    session.refuse(status.ABORTED, "clone");
    await it.until(({ state, problems }) => state === "refused" && /copied/.test(problems[0]?.message ?? ""));
  });

  test("a certificate that is not accepted is renewed once; refused then", async () => {
    let renewals = 0;
    await using it = await lab({
      clock: fastClock(200),
      onRenew: () => {
        renewals += 1;
        throw Object.assign(new Error("no"), { code: status.UNAUTHENTICATED });
      },
    });
    const { session } = await it.controller.session();
    session.refuse(status.UNAUTHENTICATED, "expired");
    await it.until(({ state }) => state === "connecting" || state === "refused");
    await it.until(problem("link-down"));
    assert.equal(renewals, 1);
  });

  test("unpaired: waits, and connects the moment the host is paired", async () => {
    await using it = await lab({ host: null });
    await it.until(problem("not-paired"));
    assert.deepEqual([it.link.status().state, it.link.workload], ["none", null]);
    await pairHost(it.stateDir, it.authority);
    const { session } = await it.controller.session();
    session.welcome(it.authority);
    await it.until(connected);
    await IdentityStore.open(it.stateDir).remove({ keepKey: true });
    await it.until(problem("not-paired"));
    await session.ended();
  });
});

describe("a hostile or broken controller", () => {
  const policy = policyOf(5, ["10.0.0.1"]);
  const cases: readonly [
    string,
    RegExp,
    (it: Lab) => Policy | { policy: Policy; key: PolicySigningKey; workload?: string },
  ][] = [
    [
      "signed by somebody else",
      /key that signed the policy is not trusted/,
      () => ({ policy, key: generatePolicyKey(null) }),
    ],
    [
      "of another workload",
      /not of this workload/,
      (it) => ({ policy, key: it.authority.policyKey, workload: `w-${"b2".repeat(16)}` }),
    ],
  ];
  for (const [name, words, make] of cases) {
    test(`a policy ${name} is refused, told, and never offered`, async () => {
      await using it = await lab();
      const { session } = await it.controller.session();
      session.welcome(it.authority);
      const made = make(it) as { policy: Policy; key: PolicySigningKey; workload?: string };
      session.send({
        kind: "policy",
        part: policyPart(made.policy, sealOf(made.policy, made.key, made.workload)),
      });
      const { status: told } = await session.next("status");
      assert.equal(told.refused?.result, "refused");
      assert.match(told.refused?.reason ?? "", words);
      assert.ok(problem("policy-refused", words)(it.link.status()));
      assert.equal(it.agent.offers.length, 0);
      // A good one is taken afterwards, and ends the problem.
      session.send({ kind: "policy", part: policyPart(policy, sealOf(policy, it.authority.policyKey)) });
      await it.agent.offered(1);
      assert.ok(!problem("policy-refused")(it.link.status()));
    });
  }

  test("a version below the floor is refused", async () => {
    await using it = await lab();
    it.agent.state = { ...it.agent.state, floor: { epoch: 1, sequence: 6 } };
    const { session, hello } = await it.controller.session();
    assert.deepEqual(hello.floor, { epoch: 1, sequence: 6 });
    session.welcome(it.authority);
    session.send({ kind: "policy", part: policyPart(policy, sealOf(policy, it.authority.policyKey)) });
    assert.match((await session.next("status")).status.refused?.reason ?? "", /1\.5 is lower than 1\.6/);
    assert.equal(it.agent.offers.length, 0);
  });

  const violations: readonly [
    string,
    RegExp,
    (session: import("./link-controller.js").FakeSession, it: Lab) => void,
  ][] = [
    ["garbage", /cannot be read/, (session) => session.sendBytes(Buffer.from("ffffffff", "hex"))],
    [
      "a ping before welcome",
      /ping before welcome/,
      (session) => session.send({ kind: "ping", nonce: Buffer.alloc(4) }),
    ],
    [
      "two welcomes",
      /welcome twice/,
      (session, it) => {
        session.welcome(it.authority);
        session.welcome(it.authority);
      },
    ],
    [
      "another workload's welcome",
      /takes this host for w-/,
      (session, it) => session.welcome(it.authority, { workload: `w-${"0".repeat(32)}` }),
    ],
    ["another revision", /revision 2/, (session, it) => session.welcome(it.authority, { revision: 2 })],
    [
      "a flood of pings",
      /floods/,
      (session, it) => {
        session.welcome(it.authority);
        for (let index = 0; index < 4_000; index++) session.send({ kind: "ping", nonce: Buffer.alloc(4) });
      },
    ],
    [
      "more parts than it had credit for",
      /credit/,
      (session, it) => {
        it.agent.onOffer = () => new Promise(() => {});
        session.welcome(it.authority);
        const parts = (sequence: number) => {
          const next = policyOf(sequence, ["10.0.0.1"]);
          return policyPart(next, sealOf(next, it.authority.policyKey));
        };
        for (let sequence = 1; sequence < 40; sequence++)
          session.send({ kind: "policy", part: parts(sequence) });
      },
    ],
    [
      "a part of a policy that never began",
      /never began/,
      (session, it) => {
        session.welcome(it.authority);
        session.send({ kind: "policy", part: { header: null, changes: [], last: true } });
      },
    ],
  ];
  for (const [name, words, act] of violations) {
    test(`${name}: the session ends, it is told, and the link comes back`, async () => {
      await using it = await lab({ clock: fastClock(20) });
      const { session } = await it.controller.session();
      act(session, it);
      await it.until(problem("link-down", words));
      const next = await it.controller.session();
      next.session.welcome(it.authority);
      await it.until(connected);
    });
  }

  test("messages larger than the limit end the session, not the process", async () => {
    await using it = await lab({ clock: fastClock(20) });
    const { session } = await it.controller.session();
    session.sendBytes(Buffer.alloc(5 * 1024 * 1024));
    await it.until(problem("link-down"));
    await it.controller.session();
  });

  test("no welcome: given up after ten seconds", async () => {
    await using it = await lab({ clock: fastClock(50) });
    await it.controller.session();
    await it.until(problem("link-down", /nothing was heard for 10 s after hello/));
  });

  test("roots and keys that nobody vouches for are not taken", async () => {
    await using it = await lab();
    const stranger = new TestAuthority("Stranger");
    const { session } = await it.controller.session();
    session.welcome(it.authority, { trust: stranger.trust });
    const now = await it.until(problem("trust-refused"));
    assert.match(
      now.problems.map(({ message }) => message).join(),
      /leads to none of the roots.*no key vouches/,
    );
    const stored = IdentityStore.open(it.stateDir).identity;
    assert.deepEqual(
      stored?.roots.map((root) => Buffer.from(root)),
      [it.authority.root.raw],
    );
  });

  test("rotation: a new root beside the old one and a key that the old one vouches for are followed", async () => {
    await using it = await lab();
    const { session } = await it.controller.session();
    session.welcome(it.authority);
    const next = generatePolicyKey(it.authority.policyKey);
    const newer = new TestAuthority("Newer");
    const roots = [it.authority.root.raw, newer.root.raw];
    session.send({ kind: "trust", trust: { roots, policyKeys: [it.authority.policyKey.key, next.key] } });
    const signed = policyOf(9, ["10.0.0.9"]);
    session.send({ kind: "policy", part: policyPart(signed, sealOf(signed, next)) });
    await it.agent.offered(1);
    assert.deepEqual(it.link.status().problems, []);
    session.send({ kind: "ping", nonce: Buffer.alloc(1) });
    await session.next("pong");
    await it.link[Symbol.asyncDispose]();
    assert.equal(IdentityStore.open(it.stateDir).identity?.roots.length, 2);
  });

  test("an encoded message that was cut short is not taken for a shorter one", async () => {
    await using it = await lab({ clock: fastClock(20) });
    const { session } = await it.controller.session();
    session.welcome(it.authority);
    const whole = encodeSessionResponse({
      kind: "policy",
      part: policyPart(policy, sealOf(policy, it.authority.policyKey)),
    });
    session.sendBytes(whole.subarray(0, whole.length - 3));
    await it.until(problem("link-down"));
    assert.equal(it.agent.offers.length, 0);
  });
});

describe("clocks", () => {
  test("a host that boots in 1970 connects, says that its clock is wrong, and renews nothing", async () => {
    const shift = -Date.now() + 60_000;
    await using it = await lab({ clock: fastClock(1, shift) });
    const { session } = await it.controller.session();
    session.welcome(it.authority);
    await it.until(connected);
    await it.until(problem("clock-skew", /behind the controller's/));
  });

  test("a clock that is years ahead: the certificate looks expired, is renewed once, and the session stands", async () => {
    let renewals = 0;
    const authority = new TestAuthority();
    const holder: { dir: string } = { dir: "" };
    await using it = await lab({
      authority,
      clock: fastClock(1, 1_000 * 24 * hour),
      onRenew: (request) => {
        if (request.kind === "start") return { kind: "challenge", nonce: Buffer.alloc(32, 7) };
        renewals += 1;
        const key = createPublicKey(IdentityStore.open(holder.dir).privateKey());
        return { kind: "renewed", certificateChain: [authority.agent(key).raw], ...authority.trust };
      },
    });
    holder.dir = it.stateDir;
    const { session } = await it.controller.session();
    session.welcome(it.authority);
    await it.until(connected);
    assert.equal(renewals, 1);
    await it.until(problem("clock-skew", /ahead of/));
  });
});
