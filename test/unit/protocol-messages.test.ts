import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AntennaError, type WorkloadContext } from "@antenna/sdk";
import {
  agentService,
  contextParts,
  decodePairRequest,
  decodePairResponse,
  decodeSessionRequest,
  decodeSessionResponse,
  encodeSessionRequest,
  protocolLimits,
  type ServiceMethod,
  type SessionRequestMessage,
  type StatusMessage,
} from "@antenna/sdk/protocol";
import fc from "fast-check";
import {
  context,
  pairRequest,
  pairResponse,
  renewRequest,
  renewResponse,
  sessionRequest,
  sessionResponse,
} from "./protocol-arbitrary.js";
import { runSeed } from "./random.js";
import { field, text, varint } from "./wire-bytes.js";

const seed = runSeed("protocol-messages");

const status: StatusMessage = { state: "in-sync", mode: "full", applied: null, problems: [], refused: null };

/** Prototypes say nothing about a message. */
function plain(value: unknown): unknown {
  return structuredClone(value);
}

function problemsOf(act: () => unknown): readonly string[] {
  try {
    act();
    return [];
  } catch (reason) {
    if (!(reason instanceof AntennaError) || reason.code !== "input-refused") throw reason;
    return reason.problems.map(({ path, problem }) => `${path}: ${problem}`);
  }
}

describe("messages", () => {
  const methods: readonly (readonly [string, () => void])[] = [
    ["Pair", () => roundTrips(agentService.pair, pairRequest, pairResponse)],
    ["Renew", () => roundTrips(agentService.renew, renewRequest, renewResponse)],
    ["Session", () => roundTrips(agentService.session, sessionRequest, sessionResponse)],
  ];
  for (const [name, check] of methods) test(`of ${name} are read as they were written`, check);

  function roundTrips<Request, Response>(
    method: ServiceMethod<Request, Response>,
    requests: fc.Arbitrary<Request>,
    responses: fc.Arbitrary<Response>,
  ): void {
    fc.assert(
      fc.property(requests, (message) => {
        assert.deepEqual(plain(method.requestDeserialize(method.requestSerialize(message))), plain(message));
      }),
      { seed, numRuns: 300 },
    );
    fc.assert(
      fc.property(responses, (message) => {
        assert.deepEqual(
          plain(method.responseDeserialize(method.responseSerialize(message))),
          plain(message),
        );
      }),
      { seed, numRuns: 300 },
    );
  }

  test("what is handed out holds on to no message", () => {
    const bytes = encodeSessionRequest({ kind: "pong", nonce: Uint8Array.of(1, 2, 3) });
    const message = decodeSessionRequest(bytes);
    bytes.fill(0);
    assert.deepEqual(plain(message), { kind: "pong", nonce: Uint8Array.of(1, 2, 3) });
  });
});

describe("context", () => {
  test("updates bring the other side from any context to any other", () => {
    fc.assert(
      fc.property(context, context, (before, after) => {
        const first = contextParts(null, before) ?? {};
        const second = contextParts(before, after);
        let known = received({ kind: "context", sequence: 1, full: true, facts: first });
        if (second !== null)
          known = { ...known, ...received({ kind: "context", sequence: 2, full: false, facts: second }) };
        assert.deepEqual(plain(known), plain(after));
        assert.equal(contextParts(after, structuredClone(after)), null);
      }),
      { seed, numRuns: 300 },
    );
  });

  function received(message: SessionRequestMessage): Partial<WorkloadContext> {
    const read = decodeSessionRequest(encodeSessionRequest(message));
    assert.equal(read.kind, "context");
    return read.kind === "context" ? read.facts : {};
  }

  test("of a host with more than anybody takes is cut, not lost", () => {
    const service = { protocol: "tcp", address: "::", port: 1, process: "p".repeat(999), user: null };
    const services = Array.from({ length: protocolLimits.services + 1 }, () => service);
    const facts = received({ kind: "context", sequence: 1, full: false, facts: { services } });
    assert.equal(facts.services?.length, protocolLimits.services);
    assert.equal(Buffer.byteLength(facts.services?.[0]?.process ?? ""), protocolLimits.name);
  });

  test("names can do nothing to a terminal", () => {
    const services = [
      { protocol: "tcp", address: "::", port: 1, process: "a\u001b[2Jb\u202ec\nd", user: null },
    ];
    const facts = received({ kind: "context", sequence: 1, full: false, facts: { services } });
    assert.equal(facts.services?.[0]?.process, "a\ufffd[2Jb\ufffdc\nd");
  });
});

describe("a newer peer", () => {
  test("may say what nobody here knows: messages and fields are passed over", () => {
    const unknownMessage = field(15, Buffer.from("what is this"));
    assert.deepEqual(decodeSessionRequest(unknownMessage), { kind: "unknown" });
    assert.deepEqual(decodeSessionResponse(unknownMessage), { kind: "unknown" });
    assert.deepEqual(decodeSessionRequest(new Uint8Array(0)), { kind: "unknown" });
    const pong = field(5, Buffer.concat([field(1, Buffer.of(7)), field(200, Buffer.of(1)), varint(201, 5)]));
    assert.deepEqual(plain(decodeSessionRequest(Buffer.concat([pong, varint(300, 1)]))), {
      kind: "pong",
      nonce: Uint8Array.of(7),
    });
  });
});

test("a cloud that nobody here knows is none", () => {
  const update = field(2, Buffer.concat([varint(1, 1), field(6, text(1, "newer"))]));
  assert.deepEqual(plain(decodeSessionRequest(update)), {
    kind: "context",
    sequence: 1,
    full: false,
    facts: { cloud: null },
  });
});

describe("refused, with the path and the reason", () => {
  const cases: readonly (readonly [string, () => unknown, RegExp])[] = [
    [
      "bytes that are no message",
      () => decodeSessionRequest(Buffer.of(0xff, 0xff)),
      /^: is not such a message/,
    ],
    [
      "text that is not UTF-8",
      () => decodePairRequest(field(1, Buffer.of(0xff))),
      /^: is not such a message/,
    ],
    [
      "a message over the limit",
      () => decodeSessionResponse(Buffer.alloc(protocolLimits.message + 1)),
      /^: is 4194305 bytes long/,
    ],
    [
      "a count beyond 2^53-1",
      () => decodeSessionRequest(field(2, varint(1, 2n ** 53n))),
      /^context\.sequence: is 9007199254740992; 1 to 2\^53-1 are right$/,
    ],
    [
      "the largest count",
      () => decodeSessionRequest(field(2, varint(1, 2n ** 64n - 1n))),
      /^context\.sequence: /,
    ],
    [
      "no credit",
      () => decodeSessionRequest(field(8, new Uint8Array(0))),
      /^credit\.chunks: is 0; 1 to 65536/,
    ],
    [
      "a token that is too long",
      () =>
        decodeSessionRequest(
          encodeSessionRequest({
            kind: "hello",
            revision: 1,
            agentVersion: "",
            capabilities: [],
            token: Buffer.alloc(65),
            status,
            floor: null,
            credit: 1,
          }),
        ),
      /^hello\.token: is 65 bytes long; 0 to 64/,
    ],
    [
      "an unknown state",
      () => decodeSessionRequest(field(3, text(1, "fine"))),
      /^status\.state: is "fine"; one of starting, /,
    ],
    [
      "a hello without a status",
      () => decodeSessionRequest(field(1, Buffer.concat([varint(1, 1), varint(7, 1)]))),
      /^hello\.status: is missing/,
    ],
    [
      "an address of 5 bytes",
      () => decodeSessionRequest(addressed(Buffer.alloc(5))),
      /addresses\[0\]\.address: is 5 bytes long; 4 or 16/,
    ],
    [
      "a mapped address",
      () => decodeSessionRequest(addressed(Buffer.from("00000000000000000000ffff0a000001", "hex"))),
      /IPv4-mapped/,
    ],
    [
      "a prefix over 32",
      () => decodeSessionRequest(addressed(Buffer.of(10, 0, 0, 1), 33)),
      /addresses\[0\]\.prefix: is 33; 0 to 32/,
    ],
    [
      "an address without a scope",
      () =>
        decodeSessionRequest(
          field(2, Buffer.concat([varint(1, 1), field(4, field(1, field(1, Buffer.of(10, 0, 0, 1))))])),
        ),
      /addresses\[0\]\.scope: is 0, which is no scope/,
    ],
    [
      "an event whose type is no word",
      () => decodeSessionRequest(field(7, Buffer.concat([text(1, "A B"), field(2, new Uint8Array(0))]))),
      /^event\.type/,
    ],
    ["an event without a time", () => decodeSessionRequest(field(7, text(1, "budget"))), /^event\.time/],
    [
      "a preview that says nothing",
      () => decodeSessionRequest(field(6, varint(1, 1))),
      /^preview: has neither/,
    ],
    [
      "an identity without roots",
      () => decodePairResponse(text(1, `w-${"0".repeat(32)}`)),
      /^certificateChain: is empty$/m,
    ],
    [
      "a workload that is none",
      () => decodePairResponse(text(1, "w-1")),
      /^workload: is not "w-" and 32 hexadecimal digits$/m,
    ],
    [
      "a welcome with a heartbeat of 0",
      () => decodeSessionResponse(field(1, varint(1, 1))),
      /^welcome\.heartbeatMs: is 0/m,
    ],
  ];
  for (const [name, act, expected] of cases) {
    test(name, () => assert.match(problemsOf(act).join("\n"), expected));
  }

  function addressed(address: Uint8Array, prefix = 8): Uint8Array {
    const entry = Buffer.concat([field(1, address), varint(2, prefix), varint(4, 1)]);
    return field(2, Buffer.concat([varint(1, 1), field(4, field(1, entry))]));
  }

  test("a message of many empty ones is refused before any is made", () => {
    const empties = Buffer.alloc(3_000_000).fill(Buffer.of(0x0a, 0x00));
    const bytes = field(2, field(4, empties));
    const before = process.memoryUsage().heapUsed;
    assert.match(
      problemsOf(() => decodeSessionRequest(bytes)).join(),
      /holds more than 10000 messages and entries/,
    );
    assert.ok(process.memoryUsage().heapUsed - before < 8 * 1024 * 1024);
  });

  test("no word of a refusal holds the secret of a pairing key", () => {
    const secret = Buffer.from("s3cret-".repeat(20));
    try {
      decodePairRequest(field(2, secret));
      assert.fail("it was not refused");
    } catch (reason) {
      assert.ok(reason instanceof AntennaError);
      assert.ok(!JSON.stringify([reason.message, reason.problems, reason.detail]).includes("s3cret"));
    }
  });
});
