import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { Essential, Packet, Policy, Rule } from "@antenna/sdk";
import { builtinEssentials } from "@antenna/sdk/internal/evaluate/essentials.js";
import { evaluate } from "@antenna/sdk/internal/evaluate/evaluate.js";
import { parseAddress } from "@antenna/sdk/internal/policy/address.js";
import { AddressSet } from "@antenna/sdk/internal/policy/address-set.js";
import { type PacketFields, packetOf } from "./packet-fixture.js";

const sets = new Map([
  ["db", AddressSet.from(["10.0.2.0/24", "fd00:2::/64"])],
  ["web", AddressSet.from(["10.0.1.10", "fd00:1::a"])],
]);

function policyOf(rules: readonly Partial<Rule>[], more: Partial<Policy> = {}): Policy {
  return {
    version: null,
    mode: "full",
    visibility: "off",
    reject: false,
    sets,
    rules: rules.map((rule, index) => ({
      id: `r${index}`,
      direction: "in",
      action: "allow",
      peers: ["any"],
      services: null,
      secure: false,
      ...rule,
    })),
    enforce: [],
    identities: new Map(),
    ...more,
  };
}

const tcp = (from: number, to = from) => ({
  protocol: 6,
  ports: [{ from, to }],
  icmpType: null,
  icmpCode: null,
});
const icmpOf = (protocol: number, icmpType: number | null, icmpCode: number | null = null) => ({
  protocol,
  ports: null,
  icmpType,
  icmpCode,
});

const ping = (fields: PacketFields): Packet =>
  packetOf({ protocol: 1, sourcePort: null, destinationPort: null, icmpCode: 0, ...fields });

function decided(policy: Policy, packet: Packet, essentials?: readonly Essential[]): string {
  const { verdict, stage, rule, refusal } = evaluate(
    policy,
    packet,
    essentials === undefined ? {} : { essentials },
  );
  return [verdict, stage, rule, refusal].filter((each) => each !== null).join(" ");
}

describe("the order of the stages", () => {
  const denyAll = policyOf([{ action: "override-deny" }]);

  test("loopback passes whatever the rules say, and before the cut", () => {
    assert.equal(decided(denyAll, packetOf({ loopback: true, cut: true })), "allowed loopback");
  });

  test("a cut flow is dropped in silence before it counts as established", () => {
    const policy = policyOf([{}], { reject: true });
    assert.equal(decided(policy, packetOf({ cut: true, state: "established" })), "blocked cut drop");
  });

  test("established passes before the rules", () => {
    assert.equal(decided(denyAll, packetOf({ state: "established" })), "allowed established");
  });

  test("override-deny beats allow, allow beats deny, deny beats the default", () => {
    const rules = [{ action: "deny" }, { action: "allow" }, { action: "override-deny" }] as const;
    assert.equal(decided(policyOf(rules), packetOf()), "blocked override-deny r2 drop");
    assert.equal(decided(policyOf(rules.slice(0, 2)), packetOf()), "allowed allow r1");
    assert.equal(decided(policyOf(rules.slice(0, 1)), packetOf()), "blocked deny r0 drop");
    assert.equal(decided(policyOf([]), packetOf()), "blocked default drop");
  });

  test("the first rule of a tier gives its name", () => {
    assert.equal(
      decided(policyOf([{ peers: ["db"] }, { peers: ["web"] }, {}]), packetOf()),
      "allowed allow r1",
    );
  });
});

describe("modes", () => {
  test("idle allows", () => {
    assert.equal(
      decided(policyOf([{ action: "override-deny" }], { mode: "idle" }), packetOf({ cut: true })),
      "allowed default",
    );
  });

  test("visibility tells and drops nothing; a cut flow is judged like any other", () => {
    const policy = policyOf([{ action: "deny" }], { mode: "visibility", reject: true });
    assert.equal(decided(policy, packetOf()), "potentially-blocked deny r0");
    assert.equal(decided(policy, packetOf({ cut: true })), "potentially-blocked deny r0");
    assert.equal(decided(policyOf([], { mode: "visibility" }), packetOf()), "potentially-blocked default");
  });

  test("settling tells and drops nothing", () => {
    const decision = evaluate(policyOf([]), packetOf({ cut: true }), { settling: true });
    assert.deepEqual(decision, {
      verdict: "potentially-blocked",
      stage: "default",
      rule: null,
      refusal: null,
    });
  });

  test("selective denies by default only what comes in to an enforced service", () => {
    const policy = policyOf([], { mode: "selective", enforce: [tcp(80)] });
    assert.equal(decided(policy, packetOf()), "blocked default drop");
    assert.equal(decided(policy, packetOf({ destinationPort: 81 })), "allowed default");
    assert.equal(decided(policy, packetOf({ direction: "out" })), "allowed default");
  });
});

describe("refusals", () => {
  const policy = policyOf([], { reject: true });
  test("reject answers denials by rule or default", () => {
    assert.equal(decided(policy, packetOf()), "blocked default reject");
    assert.equal(
      decided(policyOf([{ action: "override-deny" }], { reject: true }), packetOf()),
      "blocked override-deny r0 reject",
    );
  });
  test("invalid and untracked packets are dropped in silence", () => {
    assert.equal(decided(policy, packetOf({ state: "invalid" })), "blocked default drop");
    assert.equal(decided(policy, packetOf({ state: "untracked" })), "blocked default drop");
  });
});

describe("services", () => {
  const policy = policyOf([
    { services: [tcp(80, 90), icmpOf(1, 8), icmpOf(1, 3, 4), { ...tcp(1), protocol: 47, ports: null }] },
  ]);
  for (const [port, verdict] of [
    [79, "blocked"],
    [80, "allowed"],
    [90, "allowed"],
    [91, "blocked"],
  ] as const) {
    test(`ports 80-90, port ${port}: ${verdict}`, () => {
      assert.equal(evaluate(policy, packetOf({ destinationPort: port })).verdict, verdict);
    });
  }
  test("ICMP by type, and by type and code", () => {
    assert.equal(evaluate(policy, ping({ icmpType: 8, icmpCode: 7 })).verdict, "allowed");
    assert.equal(evaluate(policy, ping({ icmpType: 3, icmpCode: 4 })).verdict, "allowed");
    assert.equal(evaluate(policy, ping({ icmpType: 3, icmpCode: 3 })).verdict, "blocked");
  });
  test("a later fragment has no ports: only services without ports cover it", () => {
    const fragment = packetOf({ sourcePort: null, destinationPort: null });
    assert.equal(evaluate(policy, fragment).verdict, "blocked");
    assert.equal(
      evaluate(policyOf([{ services: [{ ...tcp(1), ports: null }] }]), fragment).verdict,
      "allowed",
    );
    assert.equal(evaluate(policy, ping({ icmpType: null, icmpCode: null })).verdict, "blocked");
  });
});

describe("related", () => {
  const policy = policyOf([]);
  test("ICMP errors pass, both ways; other related packets are judged as new", () => {
    for (const type of [3, 11, 12])
      assert.equal(decided(policy, ping({ state: "related", icmpType: type })), "allowed related");
    for (const type of [0, 5, 8])
      assert.equal(decided(policy, ping({ state: "related", icmpType: type })), "blocked default drop");
    const v6 = (icmpType: number) =>
      decided(
        policy,
        packetOf({
          peer: "fd00:2::1",
          direction: "out",
          protocol: 58,
          sourcePort: null,
          destinationPort: null,
          icmpType,
          state: "related",
        }),
      );
    assert.deepEqual([1, 2, 3, 4, 5].map(v6), [...Array(4).fill("allowed related"), "blocked default drop"]);
    assert.equal(decided(policy, packetOf({ state: "related" })), "blocked default drop");
  });
  test("our own reset passes outward only", () => {
    const reset = { state: "related", reset: true } as const;
    assert.equal(decided(policy, packetOf({ ...reset, direction: "out" })), "allowed related");
    assert.equal(decided(policy, packetOf(reset)), "blocked default drop");
  });
});

describe("secure rules", () => {
  const policy = policyOf([
    { peers: ["db"], direction: "out", services: [tcp(5432), icmpOf(1, 8)], secure: true },
    { direction: "out" },
    {},
  ]);
  const query = { peer: "10.0.2.7", direction: "out", destinationPort: 5432 } as const;
  const answer = {
    peer: "10.0.2.7",
    direction: "in",
    sourcePort: 5432,
    destinationPort: 40_000,
    state: "established",
    reply: true,
  } as const;

  test("what they cover passes protected or not at all, in both directions, established too", () => {
    assert.equal(decided(policy, packetOf(query)), "blocked secure r0 drop");
    assert.equal(decided(policy, packetOf({ ...query, protected: true })), "allowed allow r0");
    assert.equal(decided(policy, packetOf({ ...query, state: "established" })), "blocked secure r0 drop");
    assert.equal(decided(policy, packetOf(answer)), "blocked secure r0 drop");
    assert.equal(decided(policy, packetOf({ ...answer, protected: true })), "allowed established");
  });
  test("an answer is judged as the flow was opened, a packet that only looks like one is not", () => {
    assert.equal(decided(policy, packetOf({ ...answer, sourcePort: 5433 })), "allowed established");
    assert.equal(decided(policy, packetOf({ ...answer, state: "new", reply: false })), "allowed allow r2");
    assert.equal(
      decided(policy, packetOf({ ...answer, state: "untracked", reply: false })),
      "allowed allow r2",
    );
  });
  test("the answer to a ping is guarded as the ping is", () => {
    const echo = { peer: "10.0.2.7", state: "established" } as const;
    assert.equal(decided(policy, ping({ ...echo, direction: "out", icmpType: 8 })), "blocked secure r0 drop");
    assert.equal(
      decided(policy, ping({ ...echo, direction: "in", icmpType: 0, reply: true })),
      "blocked secure r0 drop",
    );
    assert.equal(
      decided(policy, ping({ ...echo, direction: "in", icmpType: 14, reply: true })),
      "allowed established",
    );
  });
  test("IKE, ESP and AH with their peers are exempt, their answers too", () => {
    const all = policyOf([{ peers: ["db"], direction: "out", secure: true }]);
    const ike = packetOf({
      peer: "10.0.2.7",
      direction: "out",
      protocol: 17,
      sourcePort: 500,
      destinationPort: 500,
    });
    assert.equal(decided(all, ike), "allowed essential");
    assert.equal(
      decided(
        all,
        packetOf({
          peer: "10.0.2.7",
          protocol: 17,
          sourcePort: 4500,
          destinationPort: 40_000,
          state: "established",
          reply: true,
        }),
      ),
      "allowed established",
    );
    assert.equal(
      decided(all, packetOf({ peer: "10.0.2.7", protocol: 50, sourcePort: null, destinationPort: null })),
      "allowed essential",
    );
    assert.equal(
      decided(all, packetOf({ peer: "10.0.1.10", protocol: 50, sourcePort: null, destinationPort: null })),
      "blocked default drop",
    );
  });
});

describe("essentials", () => {
  const policy = policyOf([{ action: "override-deny" }, { action: "override-deny", direction: "out" }]);
  const essentials = builtinEssentials(policy, {
    resolvers: AddressSet.from(["10.0.0.2"]),
    controller: { addresses: AddressSet.from(["192.0.2.1"]), port: 8443 },
    ntp: AddressSet.from(["10.0.0.3"]),
  });
  const out = (peer: string, protocol: number, port: number, more: Partial<Packet> = {}): string =>
    decided(
      policy,
      packetOf({ peer, direction: "out", protocol, destinationPort: port, ...more }),
      essentials,
    );

  test("DNS to the upstream resolvers only, by the destination before translation too", () => {
    assert.equal(out("10.0.0.2", 17, 53), "allowed essential");
    assert.equal(out("10.0.0.2", 6, 53), "allowed essential");
    assert.equal(out("10.0.0.4", 17, 53), "blocked override-deny r1 drop");
    assert.equal(
      out("10.0.0.4", 17, 5300, { originalDestination: parseAddress("10.0.0.2"), originalPort: 53 }),
      "allowed essential",
    );
    assert.equal(
      out("10.0.0.4", 17, 5300, { originalDestination: parseAddress("10.0.0.2"), originalPort: 54 }),
      "blocked override-deny r1 drop",
    );
  });
  test("NTP narrowed to a list, and the controller's port", () => {
    assert.equal(out("10.0.0.3", 17, 123), "allowed essential");
    assert.equal(out("10.0.0.2", 17, 123), "blocked override-deny r1 drop");
    assert.equal(out("192.0.2.1", 6, 8443), "allowed essential");
    assert.equal(out("192.0.2.1", 6, 443), "blocked override-deny r1 drop");
  });
  test("turned off, DNS and NTP are rules like any other", () => {
    const off = builtinEssentials(policy, {
      resolvers: AddressSet.from(["10.0.0.2"]),
      dns: false,
      ntp: false,
    });
    assert.deepEqual(
      off.filter(({ name }) => name === "dns" || name === "ntp"),
      [],
    );
  });
  test("DHCP of both families, as a client", () => {
    assert.equal(out("255.255.255.255", 17, 67, { sourcePort: 68 }), "allowed essential");
    assert.equal(out("255.255.255.255", 17, 67, { sourcePort: 69 }), "blocked override-deny r1 drop");
    assert.equal(
      decided(policy, packetOf({ protocol: 17, sourcePort: 67, destinationPort: 68 }), essentials),
      "allowed essential",
    );
    assert.equal(out("ff02::1:2", 17, 547, { sourcePort: 546 }), "allowed essential");
  });
  test("neighbour discovery only from this link, listener discovery with any hop limit", () => {
    const discovery = (icmpType: number, hopLimit: number) =>
      decided(
        policy,
        packetOf({
          peer: "fe80::1",
          protocol: 58,
          sourcePort: null,
          destinationPort: null,
          icmpType,
          hopLimit,
          state: "untracked",
        }),
        essentials,
      );
    for (const type of [133, 134, 135, 136, 137]) assert.equal(discovery(type, 255), "allowed essential");
    assert.equal(discovery(135, 254), "blocked override-deny r0 drop");
    for (const type of [130, 131, 132, 143]) assert.equal(discovery(type, 1), "allowed essential");
    assert.equal(discovery(138, 255), "blocked override-deny r0 drop");
  });
});
