import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FleetPolicies } from "@antenna/controller/internal/compute/fleet-policies.js";
import { parseLabelPolicy } from "@antenna/controller/internal/policy/parse.js";
import type { Policy } from "@antenna/sdk";
import { policyDocumentWithoutSets } from "@antenna/sdk";

/** Rules of the controller's own host, beside those of any other. */
function rulesOf(rules: string): { readonly host: Policy; readonly other: Policy } {
  const workload = (id: string, address: string) => ({
    id,
    labels: new Map(),
    addresses: [{ address, scope: "routable" as const }],
    host: null,
  });
  const fleet = new FleetPolicies({
    policy: parseLabelPolicy(`rulesets: [{ name: r, rules: [${rules}] }]`),
    controller: { addresses: ["FD00:0::1", "10.0.0.1"], port: 8443 },
    workloads: [workload("w-host", "fd00::1"), workload("w-other", "fd00::2")],
  });
  return { host: fleet.policyOf("w-host") as Policy, other: fleet.policyOf("w-other") as Policy };
}

function documentsOf(policy: Policy): ReadonlyMap<string, unknown> {
  return new Map(policyDocumentWithoutSets(policy).rules?.map((rule) => [rule.id, rule.services]));
}

describe("the controller's own host", () => {
  test("always has its agents' port open, and nobody else has", () => {
    const { host, other } = rulesOf("");
    assert.deepEqual(policyDocumentWithoutSets(host).rules, [
      {
        id: "controller: agents (in)",
        direction: "in",
        action: "allow",
        peers: ["any"],
        services: [{ protocol: "tcp", ports: [8443] }],
        secure: false,
      },
    ]);
    assert.deepEqual(other.rules, []);
  });

  test("keeps it open beside rules that override, or that ask for IPsec", () => {
    const { host, other } = rulesOf(
      "{ from: {}, to: {}, services: [{ protocol: tcp, ports: [1-9000] }], action: override-deny }, { from: {}, to: {}, services: [{ protocol: tcp, ports: [8443] }], secure: true }, { from: {}, to: {}, services: [{ protocol: udp, ports: [8443] }], secure: true }",
    );
    const denied = "r: override-deny all workloads to all workloads, {tcp 1-9000} (in)";
    assert.deepEqual(documentsOf(other).get(denied), [{ protocol: "tcp", ports: ["1-9000"] }]);
    assert.deepEqual(documentsOf(host).get(denied), [{ protocol: "tcp", ports: ["1-8442", "8444-9000"] }]);
    const secure = (service: string) => `r: secure all workloads to all workloads, {${service}} (in)`;
    assert.equal(documentsOf(host).has(secure("tcp 8443")), false);
    assert.equal(documentsOf(other).has(secure("tcp 8443")), true);
    assert.deepEqual(documentsOf(host).get(secure("udp 8443")), [{ protocol: "udp", ports: [8443] }]);
  });

  test("keeps it open beside a rule for every service, which then names all others", () => {
    const { host } = rulesOf("{ from: {}, to: {}, action: override-deny }");
    const services = documentsOf(host).get("r: override-deny all workloads to all workloads (in)");
    assert.ok(Array.isArray(services));
    assert.equal(services.length, 255);
    assert.deepEqual(services[5], { protocol: "tcp", ports: ["1-8442", "8444-65535"] });
  });
});
