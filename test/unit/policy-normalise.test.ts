import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  countPolicy,
  formatPorts,
  normalisePeers,
  normalisePorts,
  normaliseServices,
  type PortRange,
  parsePolicy,
  protocolName,
  protocolNumber,
  type Service,
} from "@antenna/sdk";
import fc from "fast-check";
import { runSeed } from "./random.js";

const seed = runSeed("policy-normalise");

const range = fc
  .tuple(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 0, max: 8 }))
  .map(([from, more]): PortRange => ({ from, to: from + more }));

const service: fc.Arbitrary<Service> = fc.oneof(
  fc.record({
    protocol: fc.constantFrom(6, 17),
    ports: fc.option(fc.array(range, { minLength: 1, maxLength: 3 })),
    icmpType: fc.constant(null),
    icmpCode: fc.constant(null),
  }),
  fc
    .tuple(
      fc.constantFrom(1, 58),
      fc.option(fc.integer({ min: 0, max: 2 })),
      fc.option(fc.integer({ min: 0, max: 2 })),
    )
    .map(([protocol, icmpType, code]) => ({
      protocol,
      ports: null,
      icmpType,
      icmpCode: icmpType === null ? null : code,
    })),
  fc.constant({ protocol: 47, ports: null, icmpType: null, icmpCode: null }),
);

/** Every packet there is in the little world of these services: protocol, port or none, type, code. */
const packets = [
  ...[6, 17].flatMap((protocol) =>
    Array.from({ length: 41 }, (_, port) => ({
      protocol,
      port: port === 0 ? null : port,
      type: null,
      code: null,
    })),
  ),
  ...[1, 58].flatMap((protocol) =>
    [0, 1, 2, 3].flatMap((type) => [0, 1, 2, 3].map((code) => ({ protocol, port: null, type, code }))),
  ),
  { protocol: 47, port: null, type: null, code: null },
];

function matches(services: readonly Service[]): readonly boolean[] {
  return packets.map(({ protocol, port, type, code }) =>
    services.some(
      (one) =>
        one.protocol === protocol &&
        (one.ports === null ||
          (port !== null && one.ports.some(({ from, to }) => from <= port && port <= to))) &&
        (one.icmpType === null || one.icmpType === type) &&
        (one.icmpCode === null || one.icmpCode === code),
    ),
  );
}

describe("normal form", () => {
  test("services mean the same, in one way of writing, whatever their order and repetition", () => {
    fc.assert(
      fc.property(fc.array(service, { minLength: 1, maxLength: 8 }), (services) => {
        const normal = normaliseServices(services);
        assert.deepEqual(matches(normal), matches(services));
        assert.deepEqual(normaliseServices(normal), normal);
        assert.deepEqual(normaliseServices([...services, ...services].reverse()), normal);
        for (const one of normal) {
          const rest = normal.filter((other) => other !== one);
          assert.notDeepEqual(matches(rest), matches(normal), "nothing in it is superfluous");
        }
      }),
      { seed, numRuns: 2_000 },
    );
  });

  test("ports: sorted, disjoint, joined where they touch", () => {
    assert.deepEqual(
      normalisePorts([
        { from: 90, to: 95 },
        { from: 80, to: 80 },
        { from: 81, to: 89 },
        { from: 93, to: 100 },
        { from: 200, to: 200 },
      ]).map(formatPorts),
      ["80-100", "200"],
    );
    assert.deepEqual(
      normalisePorts([
        { from: 1, to: 65535 },
        { from: 5, to: 6 },
      ]).map(formatPorts),
      ["1-65535"],
    );
  });

  test("peers: sorted by code unit, unique, any alone", () => {
    assert.deepEqual(normalisePeers(["b", "a", "b", "B", "é"]), ["B", "a", "b", "é"]);
    assert.deepEqual(normalisePeers(["b", "any", "a"]), ["any"]);
  });

  test("rules keep the order of the document; sets and identities have their own", () => {
    const policy = parsePolicy(
      '{"mode":"full","sets":{"b":["10.0.0.2","fd00::1"],"a":[]},"identities":{"fd00::1":"x","10.0.0.10":"y","10.0.0.9":"z"},"rules":[' +
        ["z", "a"].map((id) => `{"id":"${id}","direction":"in","action":"allow","peers":["b","a"]}`).join() +
        "]}",
    );
    assert.deepEqual(
      policy.rules.map(({ id, peers }) => [id, peers]),
      [
        ["z", ["a", "b"]],
        ["a", ["a", "b"]],
      ],
    );
    assert.deepEqual([...policy.sets.keys()], ["a", "b"]);
    assert.deepEqual([...policy.identities.keys()], ["10.0.0.9", "10.0.0.10", "fd00::1"]);
    assert.deepEqual(countPolicy(policy), { rules: 2, sets: 2, members: 2, members4: 1, members6: 1 });
  });

  test("a protocol has one name at most, and the name leads back", () => {
    for (let protocol = 1; protocol <= 255; protocol++) {
      const name = protocolName(protocol);
      if (name !== String(protocol)) assert.equal(protocolNumber(name), protocol);
    }
    assert.equal(protocolNumber("tcp"), 6);
    assert.equal(protocolNumber("TCP"), null);
    assert.equal(protocolName(253), "253");
  });
});
