import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FleetPolicies } from "@antenna/controller/internal/compute/fleet-policies.js";
import { labelPolicyFrom } from "@antenna/controller/internal/policy/parse.js";
import { evaluate, type Packet, parseAddress } from "@antenna/sdk";
import { controllerFacts, ports, randomFacts, randomLabelPolicy } from "./controller-fleet-arbitrary.js";
import { type Attempt, labelVerdict } from "./controller-label-meaning.js";
import { Random, runSeed } from "./random.js";

const seed = runSeed("controller-compute-meaning");

describe("the policies of a fleet", () => {
  test("mean at both ends what the label policy says", () => {
    const random = new Random(seed);
    const seen = { allowed: 0, blocked: 0, "potentially-blocked": 0 };
    for (let run = 0; run < 400; run++) {
      const document = randomLabelPolicy(random);
      const workloads = Array.from({ length: random.between(1, 9) }, (_, number) =>
        randomFacts(random, number),
      );
      const fleet = new FleetPolicies({
        policy: labelPolicyFrom(document),
        controller: controllerFacts,
        workloads,
      });
      for (let count = 0; count < 60; count++) {
        const workload = random.pick(workloads);
        const attempt = randomAttempt(random);
        // Between a host's own addresses packets go by loopback.
        if (workload.addresses.some(({ address }) => address === attempt.peer)) continue;
        const policy = fleet.policyOf(workload.id);
        assert.ok(policy !== null);
        const { verdict } = evaluate(policy, packetOf(attempt), { essentials: [] });
        const expected = labelVerdict(document, workloads, workload, attempt);
        seen[expected]++;
        assert.equal(
          verdict,
          expected,
          `run ${run}: ${JSON.stringify({ attempt, document, workload: workload.id })}`,
        );
      }
    }
    for (const [verdict, count] of Object.entries(seen)) assert.ok(count > 100, `${verdict}: ${count} times`);
  });
});

function randomAttempt(random: Random): Attempt {
  const protocol = random.pick(["tcp", "tcp", "tcp", "udp", "icmp"] as const);
  const peers = [
    ...Array.from({ length: 14 }, (_, last) => `10.0.0.${last + 1}`),
    ...[
      "fd00::1",
      "fd00::2",
      "fd00::9",
      "172.17.0.1",
      "172.17.0.2",
      "172.17.0.3",
      "192.0.2.9",
      "198.51.100.1",
    ],
  ];
  return {
    direction: random.pick(["in", "out"] as const),
    peer: random.pick(peers),
    protocol,
    port: protocol === "icmp" ? null : random.pick([...ports, 100, 9999]),
    icmpType: protocol === "icmp" ? random.pick([0, 8]) : null,
    protected: random.chance(0.3),
  };
}

function packetOf({ direction, peer, protocol, port, icmpType, ...rest }: Attempt): Packet {
  const other = parseAddress(peer);
  const own = parseAddress(other.length === 4 ? "10.9.9.9" : "fd09::9");
  return {
    direction,
    loopback: false,
    family: other.length === 4 ? 4 : 6,
    protocol: { tcp: 6, udp: 17, icmp: 1 }[protocol],
    source: direction === "in" ? other : own,
    destination: direction === "in" ? own : other,
    sourcePort: port === null ? null : 40_000,
    destinationPort: port,
    icmpType,
    icmpCode: icmpType === null ? null : 0,
    hopLimit: 64,
    state: "new",
    reply: false,
    reset: false,
    cut: false,
    protected: rest.protected,
    originalDestination: null,
    originalPort: null,
  };
}
