import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { AgentIdentity } from "@antenna/controller/internal/identity/agent-certificate.js";
import {
  AgentSession,
  type SessionHost,
  sessionTiming,
} from "@antenna/controller/internal/session/agent-session.js";
import type { CallRefusal } from "@antenna/controller/internal/session/call-refusal.js";
import { Outbox, type OutgoingPolicy } from "@antenna/controller/internal/session/outbox.js";
import { RateLimit } from "@antenna/controller/internal/session/rate-limit.js";
import { type Clone, SessionRegistry } from "@antenna/controller/internal/session/session-registry.js";
import type { SessionStream } from "@antenna/controller/internal/session/session-stream.js";
import { AddressSet, type Policy, parsePolicy, policyDigest } from "@antenna/sdk";
import {
  decodeSessionResponse,
  encodeSessionRequest,
  PolicyAssembler,
  type SessionRequestMessage,
  type SessionResponseMessage,
} from "@antenna/sdk/protocol";
import { FakeClock } from "@antenna/sdk/testing";

/** The other end of a stream; takes messages when the test says so. */
class FakeStream implements SessionStream {
  readonly address = "10.0.0.1";
  readonly peer: string;
  readonly sent: SessionResponseMessage[] = [];
  isStalled = false;
  ended: CallRefusal | null | "open" = "open";
  #release: (() => void) | null = null;

  constructor(port = 1) {
    this.peer = `10.0.0.1:${port}`;
  }

  send(bytes: Uint8Array): Promise<boolean> {
    assert.equal(this.#release, null, "two messages at a time");
    this.sent.push(decodeSessionResponse(Uint8Array.from(bytes)));
    return new Promise((resolve) => {
      this.#release = () => {
        this.#release = null;
        resolve(true);
      };
      if (!this.isStalled) queueMicrotask(() => this.release());
    });
  }

  release(): void {
    this.#release?.();
  }

  end(refusal: CallRefusal | null): void {
    this.ended = refusal;
  }
}

function policyOf(members: number, from = 0): Policy {
  const builder = AddressSet.builder();
  for (let i = 0; i < members; i++) builder.add4(0x0a000000 + from + i);
  const base = parsePolicy(
    JSON.stringify({
      mode: "full",
      sets: { s: [] },
      rules: [{ id: "r", direction: "in", action: "allow", peers: ["s"] }],
    }),
  );
  return { ...base, sets: new Map([["s", builder.build()]]) };
}

function outgoing(policy: Policy, sequence: number): OutgoingPolicy {
  return { policy, version: { epoch: 1, sequence }, digest: policyDigest(policy), probation: false };
}

const noProof = () => new Uint8Array(80);

describe("outbox", () => {
  test("parts go out as there is credit for them, pings in between, and only the newest policy waits", async () => {
    const clock = new FakeClock();
    const stream = new FakeStream();
    const outbox = new Outbox({ stream, credit: 2, sign: noProof, failed: assert.ifError });
    const [big, bigger, biggest] = [policyOf(200_000), policyOf(200_001), policyOf(200_002)];
    outbox.offer(outgoing(big, 1));
    await clock.settle();
    assert.equal(stream.sent.length, 2, "as many parts as there is credit");
    outbox.offer(outgoing(bigger, 2));
    outbox.offer(outgoing(biggest, 3));
    outbox.offer(outgoing(bigger, 2));
    outbox.say({ kind: "ping", nonce: Buffer.from([1]) });
    await clock.settle();
    assert.equal(stream.sent.at(-1)?.kind, "ping");
    outbox.grant(1_000_000);
    await clock.settle();
    const assembler = new PolicyAssembler();
    const versions: number[] = [];
    let parts = 0;
    for (const message of stream.sent) {
      if (message.kind !== "policy") continue;
      parts++;
      const done = assembler.push(message.part);
      if (done === null) continue;
      versions.push(done.header.version.sequence);
      assert.equal("base" in done.content, versions.length === 2, "the second one is a delta");
    }
    assert.deepEqual(versions, [1, 3]);
    assert.equal(parts, 5, "200,000 members take four parts, two members more one");
  });

  test("a peer that does not read has a bounded number of messages waiting", async () => {
    const stream = new FakeStream();
    stream.isStalled = true;
    const outbox = new Outbox({ stream, credit: 1, sign: noProof, failed: assert.ifError });
    let taken = 0;
    while (outbox.say({ kind: "ping", nonce: Buffer.from([1]) })) taken++;
    assert.equal(taken, 65);
    assert.equal(stream.sent.length, 1);
  });

  test("what can't be said is told, and nothing more goes out", async () => {
    const clock = new FakeClock();
    const stream = new FakeStream();
    const failures: unknown[] = [];
    const failed = (reason: unknown) => failures.push(reason);
    const outbox = new Outbox({ stream, credit: 2, sign: noProof, failed });
    outbox.say({ kind: "trust", trust: { roots: [new Uint8Array(5_000_000)], policyKeys: [] } });
    outbox.say({ kind: "ping", nonce: Buffer.from([1]) });
    await clock.settle();
    assert.equal(failures.length, 1);
    assert.equal(stream.sent.length, 0);
  });

  test("what was begun is finished before the whole policy starts anew", async () => {
    const clock = new FakeClock();
    const stream = new FakeStream();
    const outbox = new Outbox({ stream, credit: 2, sign: noProof, failed: assert.ifError });
    outbox.offer(outgoing(policyOf(200_000), 1));
    await clock.settle();
    outbox.startAnew(outgoing(policyOf(200_000), 1));
    outbox.grant(16);
    await clock.settle();
    const assembler = new PolicyAssembler();
    const whole = stream.sent.filter(
      (message) => message.kind === "policy" && assembler.push(message.part) !== null,
    );
    assert.equal(whole.length, 2);
  });
});

interface Desk {
  readonly clock: FakeClock;
  readonly registry: SessionRegistry;
  readonly clones: Clone[];
  readonly heard: string[];
  tokens: readonly string[];
  open(stream: FakeStream, identity?: AgentIdentity): AgentSession;
}

function openDesk(): Desk {
  const clock = new FakeClock();
  const clones: Clone[] = [];
  const heard: string[] = [];
  const registry = new SessionRegistry({ clock, answerMs: 250, onClone: (clone) => clones.push(clone) });
  const desk: Desk = {
    clock,
    registry,
    clones,
    heard,
    tokens: [],
    open: (stream, identity = identityUntil(clock.date().getTime() + 86_400_000)) =>
      new AgentSession({ stream, identity, host, clock, timing: sessionTiming }),
  };
  const host: SessionHost = {
    enter: async (session, hello) => {
      await registry.admit(session, hello.token, desk.tokens, async () => {});
      return { token: new Uint8Array(32), trust: { roots: [], policyKeys: [] } };
    },
    entered: async () => {},
    context: async (_, facts) => void heard.push(`context ${Object.keys(facts).sort().join()}`),
    status: async (_, { state }) => void heard.push(`status ${state}`),
    event: async (_, { type }) => void heard.push(`event ${type}`),
    wanted: () => null,
    recheck: () => {},
    left: (session) => void registry.leave(session),
    sign: noProof,
  };
  return desk;
}

function identityUntil(time: number): AgentIdentity {
  const workload = `w-${"1".repeat(32)}`;
  return { workload, pairing: "0".repeat(16), publicKey: Buffer.alloc(0), notAfter: new Date(time) };
}

const status = { state: "in-sync", mode: null, applied: null, problems: [], refused: null } as const;
const hello: SessionRequestMessage = {
  kind: "hello",
  revision: 1,
  agentVersion: "test",
  capabilities: [],
  token: new Uint8Array(0),
  status,
  floor: null,
  credit: 4,
};
const say = (session: AgentSession, message: SessionRequestMessage) =>
  session.message(Uint8Array.from(encodeSessionRequest(message)));

/** Answers every ping that was sent so far. */
function answer(session: AgentSession, stream: FakeStream): void {
  for (const message of stream.sent.splice(0)) {
    if (message.kind === "ping") say(session, { kind: "pong", nonce: message.nonce });
  }
}

/** Why the stream was ended; `open`: it was not. */
function reasonOf({ ended }: FakeStream): string {
  if (ended === "open") return ended;
  return ended === null ? "no reason" : ended.kind;
}

describe("session", () => {
  test("a silent one ends after 30 s; one that answers lasts", async () => {
    const { clock, open } = openDesk();
    const [quiet, lively] = [new FakeStream(), new FakeStream()];
    const session = open(quiet);
    say(session, hello);
    await clock.settle();
    assert.deepEqual(
      quiet.sent.map(({ kind }) => kind),
      ["welcome", "ping"],
    );
    await clock.advance(30_000);
    assert.equal(reasonOf(quiet), "unavailable");
    const other = open(lively);
    say(other, hello);
    for (let second = 0; second < 200; second++) {
      answer(other, lively);
      await clock.advance(1_000);
    }
    assert.equal(reasonOf(lively), "open");
    other.end(null);
    assert.equal(clock.pending, 0, "timers are gone with their sessions");
  });

  test("who does not say hello is not waited for", async () => {
    const { clock, open } = openDesk();
    const stream = new FakeStream();
    open(stream);
    await clock.advance(10_000);
    assert.equal(reasonOf(stream), "bad-request");
    assert.equal(clock.pending, 0);
  });

  test("what is said after the end, or while it is judged, changes nothing", async () => {
    const { clock, open, heard } = openDesk();
    const stream = new FakeStream();
    const session = open(stream);
    say(session, hello);
    say(session, { kind: "status", status });
    say(session, { kind: "context", sequence: 1, full: true, facts: { addresses: [] } });
    say(session, { kind: "context", sequence: 2, full: false, facts: { services: [] } });
    await clock.settle();
    assert.deepEqual(heard, ["status in-sync", "context addresses", "context addresses,services"]);
    session.end(null);
    say(session, { kind: "status", status });
    await clock.settle();
    assert.equal(heard.length, 3);
  });

  test("a certificate that expires ends its session at that moment, another one's not", async () => {
    const { clock, open } = openDesk();
    const [one, two] = [new FakeStream(1), new FakeStream(2)];
    const until = (ms: number, workload: string) => ({
      ...identityUntil(clock.date().getTime() + ms),
      workload: `w-${workload.repeat(32)}`,
    });
    const short = open(one, until(5_000, "1"));
    const long = open(two, until(200_000, "2"));
    say(short, hello);
    say(long, hello);
    await clock.advance(4_999);
    answer(long, two);
    assert.equal(reasonOf(one), "open");
    await clock.advance(1);
    assert.equal(reasonOf(one), "unauthenticated");
    for (let second = 5; second < 199; second++) {
      answer(long, two);
      await clock.advance(1_000);
    }
    assert.equal(reasonOf(two), "open");
    await clock.advance(1_000);
    assert.equal(reasonOf(two), "unauthenticated");
  });
});

describe("holders of one identity", () => {
  test("the first stays when it answers within 250 ms", async () => {
    const { clock, open, clones } = openDesk();
    const [one, two] = [new FakeStream(1), new FakeStream(2)];
    const first = open(one);
    say(first, hello);
    await clock.settle();
    answer(first, one);
    const second = open(two);
    say(second, hello);
    await clock.advance(249);
    answer(first, one);
    await clock.settle();
    assert.equal(reasonOf(one), "open");
    assert.equal(reasonOf(two), "clone");
    assert.deepEqual(
      clones.map(({ first, second }) => [first, second]),
      [[one.peer, two.peer]],
    );
  });

  test("the second takes over when the first is silent or leaves meanwhile", async () => {
    for (const leaves of [false, true]) {
      const { clock, open, clones, registry } = openDesk();
      const [one, two] = [new FakeStream(1), new FakeStream(2)];
      const first = open(one);
      say(first, hello);
      await clock.settle();
      const second = open(two);
      say(second, hello);
      await clock.settle();
      if (leaves) first.closed();
      await clock.advance(250);
      assert.equal(registry.get(second.identity.workload), second);
      assert.equal(two.sent[0]?.kind, "welcome");
      assert.equal(clones.length, 0);
      if (!leaves) assert.equal(reasonOf(one), "unavailable");
    }
  });

  test("a second that leaves while the first is asked changes nothing", async () => {
    const { clock, open, registry, clones } = openDesk();
    const [one, two] = [new FakeStream(1), new FakeStream(2)];
    const first = open(one);
    say(first, hello);
    await clock.settle();
    const second = open(two);
    say(second, hello);
    await clock.settle();
    second.closed();
    await clock.advance(250);
    assert.notEqual(registry.get(first.identity.workload), second);
    assert.equal(clones.length, 0);
  });

  test("an older token waits for the holder to be gone for 90 s", async () => {
    const desk = openDesk();
    const { clock, open, clones } = desk;
    const first = open(new FakeStream(1));
    say(first, hello);
    await clock.settle();
    first.closed();
    desk.tokens = ["of the newest"];
    const early = new FakeStream(2);
    say(open(early), hello);
    await clock.settle();
    assert.equal(reasonOf(early), "clone");
    assert.equal(clones.length, 1);
    await clock.advance(90_000);
    const late = new FakeStream(3);
    say(open(late), hello);
    await clock.settle();
    assert.equal(reasonOf(late), "open");
  });
});

describe("rate limit", () => {
  test("takes bursts, refills, and forgets who was quiet", async () => {
    const clock = new FakeClock();
    const limit = new RateLimit({ burst: 3, perSecond: 2 }, clock);
    const taken = () => [1, 2, 3, 4, 5].filter(() => limit.take("a")).length;
    assert.equal(taken(), 3);
    assert.equal(limit.has("a"), false);
    assert.equal(limit.has("b"), true);
    await clock.advance(1_000);
    assert.equal(taken(), 2);
    await clock.advance(60_000);
    assert.equal(taken(), 3);
    for (let i = 0; i < 5_000; i++) limit.take(`key ${i}`);
    assert.equal(limit.has("a"), true);
  });
});
