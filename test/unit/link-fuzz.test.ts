import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, test } from "node:test";
import { type Policy, parsePolicy, policyDelta, policyDigest } from "@antenna/sdk";
import type { ByteStream } from "@antenna/sdk/internal/protocol/link/channel.js";
import { EventQueue } from "@antenna/sdk/internal/protocol/link/event-queue.js";
import { Session, type SessionEnd } from "@antenna/sdk/internal/protocol/link/session.js";
import {
  decodeSessionRequest,
  encodeSessionResponse,
  PolicyKeyChain,
  policyParts,
  type SessionResponseMessage,
  signPolicy,
} from "@antenna/sdk/protocol";
import { FakeClock } from "@antenna/sdk/testing";
import { FakeAgent, someContext } from "./link-agent.js";
import { TestAuthority, testWorkload } from "./link-authority.js";
import { Random, runSeed } from "./random.js";

const seed = runSeed("link-fuzz");
const authority = new TestAuthority();

/** A stream without a network: what is written is read back as messages. */
class FakeStream extends EventEmitter {
  readonly written: string[] = [];
  isCancelled = false;

  write(bytes: Uint8Array): boolean {
    this.written.push(decodeSessionRequest(bytes).kind);
    return true;
  }

  cancel(): void {
    this.isCancelled = true;
  }
}

function policyOf(version: number, members: readonly string[]): Policy {
  const rules = [{ id: "in", direction: "in", action: "allow", peers: ["web"] }];
  return parsePolicy(Buffer.from(JSON.stringify({ version, mode: "full", sets: { web: members }, rules })));
}

function partsOf(policy: Policy, base: Policy | null): readonly SessionResponseMessage[] {
  const version = policy.version ?? assert.fail("no version");
  const digest = policyDigest(policy);
  const proof = signPolicy({ workload: testWorkload, version, digest }, authority.policyKey);
  const content = base === null ? policy : policyDelta(base, policy);
  const seal = { version, digest, proof, probation: false };
  return Array.from(policyParts(content, seal, 400), (part) => ({ kind: "policy" as const, part }));
}

const [first, second] = [
  policyOf(
    1,
    Array.from({ length: 100 }, (_, index) => `10.0.0.${index}`),
  ),
  policyOf(
    2,
    Array.from({ length: 101 }, (_, index) => `10.0.0.${index}`),
  ),
];
/** A whole session of a good controller. */
const good: readonly Uint8Array[] = [
  {
    kind: "welcome" as const,
    ...{
      revision: 1,
      workload: testWorkload,
      token: Buffer.alloc(32),
      time: new Date(),
      trust: authority.trust,
    },
    heartbeatMs: 10_000,
  },
  { kind: "ping" as const, nonce: Buffer.alloc(8) },
  ...partsOf(first, null),
  { kind: "trust" as const, trust: authority.trust },
  ...partsOf(second, first),
  { kind: "ping" as const, nonce: Buffer.alloc(8) },
].map((message) => encodeSessionResponse(message));

function run(messages: readonly Uint8Array[]): {
  readonly agent: FakeAgent;
  readonly stream: FakeStream;
  readonly end: Promise<SessionEnd>;
} {
  const stream = new FakeStream();
  const agent = new FakeAgent();
  agent.facts = someContext;
  const keys = PolicyKeyChain.pinned({ current: [authority.policyKey.key.publicKey], retired: [] });
  const nothing = (): void => {};
  const session = new Session({
    stream: stream as unknown as ByteStream,
    ...{ agent, agentVersion: "fuzz", capabilities: [], clock: new FakeClock(), queue: new EventQueue() },
    ...{ workload: testWorkload, token: Buffer.alloc(0), keys: () => keys, refused: () => null },
    events: {
      ...{ onWelcome: nothing, onHeard: nothing, onTrust: nothing, onRefused: nothing, onOffered: nothing },
      onUnsendable: (reason) => assert.fail(String(reason)),
    },
  });
  const end = session.run();
  for (const message of messages) stream.emit("data", Buffer.from(message));
  session.end();
  return { agent, stream, end };
}

/** Offers are exactly those that the controller signed, unchanged. */
function checkOffers(agent: FakeAgent): void {
  for (const { policy, digest, version } of agent.offers) {
    const meant = version.sequence === 1 ? first : second;
    assert.equal(digest, policyDigest(meant));
    if ("base" in policy) assert.equal(policy.base, policyDigest(first));
    else assert.equal(policyDigest(policy), digest);
  }
}

describe("what a session makes of a controller's messages", () => {
  test("as they were meant: two offers, answers to both pings", async () => {
    const { agent, stream, end } = run(good);
    assert.equal(agent.offers.length, 2);
    checkOffers(agent);
    assert.equal(stream.written.filter((kind) => kind === "pong").length, 2);
    assert.equal(stream.written[0], "hello");
    assert.deepEqual(await end, { kind: "ended" });
  });

  test(`mutated, cut, doubled, dropped, swapped: never an exception, never another policy (seed ${seed})`, async () => {
    const random = new Random(seed);
    let offers = 0;
    for (let round = 0; round < 400; round++) {
      const messages = good.map((message) => Uint8Array.from(message));
      for (let change = random.below(3); change >= 0; change--) mutate(messages, random);
      const { agent, end, stream } = run(messages);
      checkOffers(agent);
      offers += agent.offers.length;
      const { kind } = await end;
      assert.ok(kind === "ended" || kind === "violation", kind);
      assert.ok(stream.isCancelled);
    }
    assert.ok(offers > 0);
  });

  test(`random bytes (seed ${seed})`, async () => {
    const random = new Random(seed);
    for (let round = 0; round < 400; round++) {
      const bytes = Uint8Array.from({ length: random.below(200) }, () => random.below(256));
      const { agent } = run([...good.slice(0, 1), bytes]);
      assert.equal(agent.offers.length, 0);
    }
  });
});

function mutate(messages: Uint8Array[], random: Random): void {
  const at = random.below(messages.length);
  const message = messages[at] ?? new Uint8Array(0);
  switch (random.below(6)) {
    case 0:
      message[random.below(message.length)] = random.below(256);
      break;
    case 1:
      messages[at] = message.subarray(0, random.below(message.length));
      break;
    case 2:
      messages.splice(at, 1);
      break;
    case 3:
      messages.splice(at, 0, message);
      break;
    case 4: {
      const other = random.below(messages.length);
      [messages[at], messages[other]] = [messages[other] ?? message, message];
      break;
    }
    default:
      messages[at] = Uint8Array.from([...message, ...message]);
  }
}
