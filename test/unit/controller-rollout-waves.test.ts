import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { WorkloadFacts } from "@antenna/controller/internal/compute/facts.js";
import type { LabelPolicy } from "@antenna/controller/internal/policy/model.js";
import { parseLabelPolicy } from "@antenna/controller/internal/policy/parse.js";
import { previewLabelPolicy } from "@antenna/controller/internal/rollout/preview.js";
import { formatRollout, parseRollout } from "@antenna/controller/internal/rollout/rollout-state.js";
import { AntennaError, formatVersion } from "@antenna/sdk";
import { ModelFleet } from "./controller-rollout-fleet.js";

/** Whoever serves listens on a port, in mode full; the port tells the revisions apart. */
function listening(port: number, mode = "full"): LabelPolicy {
  return parseLabelPolicy(
    `rulesets: [{ name: r, rules: [{ from: { ipList: any }, to: { role: serving }, services: [{ protocol: tcp, ports: [${port}] }] }] }]\nenforcement: [{ match: { mode: "off" }, mode: visibility }, { match: {}, mode: ${mode} }]`,
  );
}

function facts(number: number, labels: Readonly<Record<string, string>> = {}): WorkloadFacts {
  return {
    id: nameOf(number),
    labels: new Map(Object.entries({ role: "serving", ...labels })),
    addresses: [{ address: `10.0.0.${number}`, scope: "routable" }],
    host: null,
  };
}

function nameOf(number: number): string {
  return `w-${String(number).padStart(2, "0")}`;
}

/** Twenty that are connected and have revision 1. */
function fleetOf(count: number): ModelFleet {
  const fleet = new ModelFleet();
  fleet.put(...Array.from({ length: count }, (_, number) => facts(number)));
  fleet.connect(...fleet.facts.keys());
  fleet.settle();
  fleet.apply(listening(1));
  fleet.settle();
  assert.deepEqual([...fleet.revisions], [[1, "in-force"]]);
  return fleet;
}

function versionsOf(fleet: ModelFleet): ReadonlySet<string> {
  return new Set(Array.from(fleet.issued.values(), ({ version }) => formatVersion(version)));
}

describe("a new revision", () => {
  test("goes to one, to a tenth, to all, each when the one before has confirmed", () => {
    const fleet = fleetOf(20);
    fleet.apply(listening(2));
    assert.deepEqual(fleet.offered(), ["w-00"]);
    assert.equal(fleet.agent("w-00").offer?.probation, true);
    fleet.confirm("w-00");
    assert.deepEqual(fleet.offered(), ["w-01"]);
    fleet.confirm("w-01");
    assert.equal(fleet.offered().length, 18);
    assert.equal(fleet.revisions.get(2), "in-waves");
    fleet.settle();
    assert.deepEqual(
      [...fleet.revisions],
      [
        [1, "replaced"],
        [2, "in-force"],
      ],
    );
    assert.deepEqual(fleet.offered(), []);
  });

  test("begins with a member that enforces", () => {
    const fleet = new ModelFleet();
    fleet.put(facts(0, { mode: "off" }), facts(1, { mode: "off" }), facts(2));
    fleet.connect(...fleet.facts.keys());
    fleet.settle();
    fleet.apply(listening(1));
    assert.deepEqual(fleet.offered(), ["w-02"]);
  });

  test("is in force at once where nobody is connected, and on probation where they come back", () => {
    const fleet = fleetOf(3);
    for (const id of fleet.facts.keys()) fleet.disconnect(id);
    fleet.apply(listening(2));
    assert.equal(fleet.revisions.get(2), "in-force");
    fleet.connect("w-01");
    assert.equal(fleet.agent("w-01").offer?.probation, true);
    fleet.confirm("w-01");
    fleet.disconnect("w-01");
    fleet.connect("w-01");
    assert.equal(fleet.agent("w-01").offer, null);
  });

  test("leaves alone whom it does not touch", () => {
    const fleet = fleetOf(4);
    const before = new Map(fleet.issued);
    const text =
      "rulesets: [{ name: r, rules: [{ from: { ipList: any }, to: { role: serving }, services: [{ protocol: tcp, ports: [1] }] }, { from: { x: y }, to: { z: z } }] }]\nenforcement: [{ match: {}, mode: full }]";
    fleet.apply(parseLabelPolicy(text));
    assert.equal(fleet.revisions.get(2), "in-force");
    assert.deepEqual(fleet.offered(), []);
    for (const [id, { version }] of before) assert.deepEqual(fleet.issued.get(id)?.version, version);
  });

  test("waits for a member that disconnects, and no longer than the window", () => {
    const fleet = fleetOf(3);
    fleet.apply(listening(2));
    fleet.disconnect("w-00");
    assert.equal(fleet.rollout.deadline, fleet.nowMs + fleet.windowMs);
    fleet.pass(fleet.windowMs - 1);
    assert.deepEqual(fleet.offered(), []);
    fleet.pass(1);
    assert.deepEqual(fleet.offered(), ["w-01", "w-02"]);
    fleet.settle();
    assert.equal(fleet.revisions.get(2), "in-force");
    fleet.connect("w-00");
    assert.equal(fleet.agent("w-00").offer?.probation, true);
  });

  test("does not wait for one that is suspended", () => {
    const fleet = fleetOf(3);
    fleet.agent("w-01").suspended = true;
    fleet.report("w-01");
    fleet.apply(listening(2));
    fleet.confirm("w-00", "w-02");
    assert.equal(fleet.revisions.get(2), "in-force");
  });

  test("takes the place of one in waves, whose members go back, but for the first that try it", () => {
    const fleet = fleetOf(20);
    fleet.apply(listening(2));
    fleet.confirm("w-00");
    const before = fleet.targetDigest("w-01");
    fleet.apply(listening(3));
    assert.deepEqual(
      [...fleet.revisions],
      [
        [1, "in-force"],
        [2, "replaced"],
        [3, "in-waves"],
      ],
    );
    assert.deepEqual(fleet.offered(), ["w-00", "w-01"]);
    assert.equal(fleet.agent("w-00").offer?.probation, true);
    assert.equal(fleet.agent("w-01").offer?.probation, false);
    assert.equal(fleet.agent("w-01").offer?.digest, before);
    fleet.settle();
    assert.equal(fleet.revisions.get(3), "in-force");
  });

  test("reaches those who join meanwhile when it is in force", () => {
    const fleet = fleetOf(3);
    fleet.apply(listening(2));
    fleet.put(facts(9));
    fleet.connect("w-09");
    assert.equal(fleet.agent("w-09").offer?.probation, false);
    assert.equal(fleet.agent("w-09").offer?.digest, fleet.targetDigest("w-09"));
    const old = fleet.targetDigest("w-09");
    fleet.settle();
    assert.equal(fleet.revisions.get(2), "in-force");
    assert.notEqual(fleet.agent("w-09").applied?.digest, old);
  });
});

describe("a failure", () => {
  for (const result of ["rolled-back", "refused"] as const) {
    test(`(${result}) withdraws the revision: all get the last good content under a higher version`, () => {
      const fleet = fleetOf(20);
      const good = fleet.targetDigest("w-00");
      fleet.apply(listening(2));
      fleet.confirm("w-00", "w-01");
      const bad = fleet.agent("w-05").offer?.version;
      fleet.fail("w-05", result);
      assert.equal(fleet.revisions.get(2), "withdrawn");
      assert.equal(fleet.rollout.inWaves, null);
      assert.ok(fleet.events.includes("policy-withdrawn w-05"));
      for (const id of fleet.facts.keys()) {
        const { offer } = fleet.agent(id);
        assert.equal(offer?.digest, good);
        assert.equal(offer?.probation, false);
        assert.ok(
          bad !== undefined && offer !== null && offer !== undefined && offer.version.sequence > bad.sequence,
        );
      }
      fleet.settle();
      assert.deepEqual([...fleet.revisions.values()], ["in-force", "withdrawn"]);
    });
  }

  test("of a member that was away goes back to the revision before", () => {
    const fleet = fleetOf(3);
    const good = fleet.targetDigest("w-00");
    fleet.disconnect("w-02");
    fleet.apply(listening(2));
    fleet.settle();
    assert.equal(fleet.revisions.get(2), "in-force");
    fleet.connect("w-02");
    fleet.fail("w-02", "rolled-back");
    assert.deepEqual([...fleet.revisions.values()], ["in-force", "withdrawn"]);
    fleet.settle();
    for (const id of fleet.facts.keys()) assert.equal(fleet.agent(id).applied?.digest, good);
  });

  test("before anything was in force goes back to nothing but seeing", () => {
    const fleet = new ModelFleet();
    fleet.put(facts(0), facts(1));
    fleet.connect("w-00", "w-01");
    fleet.settle();
    fleet.apply(listening(1));
    fleet.fail("w-00", "rolled-back");
    assert.equal(fleet.agent("w-00").offer?.policy.mode, "visibility");
    assert.equal(fleet.rollout.inForce, 0);
  });

  test("that is told again withdraws nothing more", () => {
    const fleet = fleetOf(3);
    fleet.apply(listening(2));
    fleet.fail("w-00", "rolled-back");
    fleet.apply(listening(3));
    fleet.report("w-00");
    fleet.connect("w-00");
    assert.equal(fleet.revisions.get(3), "in-waves");
    fleet.settle();
    assert.equal(fleet.revisions.get(3), "in-force");
  });

  test("by a kill in the window is offered once more, and withdraws the second time", () => {
    const fleet = fleetOf(3);
    fleet.apply(listening(2));
    const first = fleet.agent("w-00").offer;
    fleet.fail("w-00", "interrupted");
    const second = fleet.agent("w-00").offer;
    assert.equal(second?.digest, first?.digest);
    assert.equal(second?.probation, true);
    assert.equal(fleet.revisions.get(2), "in-waves");
    fleet.fail("w-00", "interrupted");
    assert.equal(fleet.revisions.get(2), "withdrawn");
  });

  test("leaves nobody on probation with content that is good", () => {
    const fleet = fleetOf(3);
    fleet.apply(listening(2));
    // What the revision makes of this one is now what is in force makes of it, too.
    fleet.put(facts(0, { role: "idle" }));
    const trial = fleet.agent("w-00").offer;
    assert.equal(trial?.probation, true);
    fleet.fail("w-00", "rolled-back");
    assert.equal(fleet.agent("w-00").offer?.probation, false);
    assert.notDeepEqual(fleet.agent("w-00").offer?.version, trial?.version);
    fleet.settle();
    assert.equal(fleet.agent("w-00").applied?.digest, fleet.targetDigest("w-00"));
  });

  test("goes back at most three revisions", () => {
    const fleet = fleetOf(2);
    for (let port = 2; port < 8; port++) {
      fleet.apply(listening(port));
      fleet.settle();
    }
    assert.deepEqual(fleet.rollout.state().good, [4, 5, 6]);
  });

  test("of a policy that is not on probation withdraws nothing", () => {
    const fleet = fleetOf(3);
    fleet.put(facts(1, { mode: "off" }));
    fleet.fail("w-01", "refused");
    assert.deepEqual([...fleet.revisions.values()], ["in-force"]);
    assert.ok(fleet.events.includes("policy-refused w-01"));
  });
});

describe("versions", () => {
  test("count for the fleet, one for each event, and stay where a change touches nobody", () => {
    const fleet = fleetOf(3);
    assert.equal(versionsOf(fleet).size, 2);
    const { version } = fleet.rollout;
    fleet.put(facts(1, { mode: "off" }));
    assert.deepEqual(fleet.rollout.version, { epoch: 1, sequence: version.sequence + 1 });
    assert.deepEqual(fleet.offered(), ["w-01"]);
    fleet.put(facts(1, { mode: "off", color: "red" }));
    assert.deepEqual(fleet.rollout.version, { epoch: 1, sequence: version.sequence + 1 });
  });

  test("survive a restart in the middle of waves, which rolls back nothing", () => {
    const fleet = fleetOf(20);
    fleet.apply(listening(2));
    fleet.confirm("w-00");
    fleet.agent("w-01").confirm();
    fleet.restart();
    assert.equal(fleet.rollout.inWaves, 2);
    fleet.connect(...fleet.facts.keys());
    // Until everyone had time to come back.
    assert.deepEqual(fleet.offered(), []);
    fleet.pass(fleet.windowMs);
    assert.equal(fleet.offered().length, 18);
    fleet.settle();
    assert.equal(fleet.revisions.get(2), "in-force");
    for (const { offers } of fleet.agents.values())
      assert.equal(new Set(offers.map(({ digest }) => digest)).size, 3);
  });

  test("of a controller restored from an older backup go to nobody who has seen more, until the epoch is raised", () => {
    const fleet = fleetOf(3);
    const restore = fleet.backup();
    fleet.apply(listening(2));
    fleet.settle();
    restore();
    fleet.disconnect("w-02");
    fleet.connect("w-00", "w-01");
    assert.deepEqual(fleet.offered(), []);
    assert.equal(fleet.rollout.isAhead("w-00"), true);
    assert.equal(fleet.rollout.target("w-00"), null);
    assert.deepEqual(fleet.events.slice(-2), ["policy-refused w-00", "policy-refused w-01"]);
    // Counting on changes nothing about that, nor does another restart, nor time.
    for (let port = 10; port < 20; port++)
      fleet.put(facts(2, { port: `${port}`, mode: port % 2 ? "off" : "on" }));
    fleet.report("w-00");
    fleet.restart();
    fleet.pass(1_000_000);
    fleet.connect("w-00", "w-01");
    fleet.apply(listening(4));
    assert.deepEqual(fleet.offered(), []);
    fleet.raiseEpoch();
    assert.deepEqual(fleet.offered(), ["w-00", "w-01"]);
    fleet.settle();
    fleet.connect("w-02");
    fleet.settle();
    for (const id of fleet.facts.keys()) {
      assert.equal(fleet.agent(id).applied?.version.epoch, 2);
      assert.equal(fleet.agent(id).applied?.digest, fleet.targetDigest(id));
    }
  });

  test("wait for a workload that is away until it is back", () => {
    const fleet = fleetOf(3);
    const before = fleet.issued.get("w-01");
    fleet.disconnect("w-01");
    fleet.put(facts(1, { mode: "off" }));
    assert.equal(fleet.issued.get("w-01"), before);
    assert.equal(fleet.rollout.target("w-01"), null);
    fleet.connect("w-01");
    assert.equal(fleet.agent("w-01").offer?.policy.mode, "visibility");
    assert.equal(fleet.agent("w-01").offer?.probation, false);
  });

  test("are not taken for the same where the content is another", () => {
    const fleet = fleetOf(3);
    const agent = fleet.agent("w-01");
    assert.ok(agent.applied !== null);
    agent.applied = { version: agent.applied.version, digest: `sha256:${"0".repeat(64)}` };
    fleet.report("w-01");
    assert.equal(fleet.rollout.isAhead("w-01"), true);
    fleet.raiseEpoch();
    fleet.settle();
    assert.equal(agent.applied.digest, fleet.targetDigest("w-01"));
  });

  test("go above what a newly paired workload brings along", () => {
    const fleet = fleetOf(3);
    fleet.agent("w-09").floor = { epoch: 7, sequence: 1 };
    fleet.put(facts(9));
    fleet.connect("w-09");
    assert.equal(fleet.agent("w-09").offer, null);
    fleet.raiseEpoch();
    assert.deepEqual(fleet.agent("w-09").offer?.version.epoch, 8);
    assert.deepEqual(fleet.offered(), ["w-09"]);
  });
});

test("a stored state that no rollout wrote is corrupt", () => {
  const fleet = fleetOf(2);
  fleet.apply(listening(2));
  const text = formatRollout(fleet.rollout.state());
  assert.deepEqual(parseRollout(text), fleet.rollout.state());
  for (const wrong of [
    "",
    "[]",
    "{}",
    text.slice(1),
    text.replace('"one"', '"two"'),
    text.replace('"epoch":1', '"epoch":-1'),
  ]) {
    assert.throws(
      () => parseRollout(wrong),
      (reason) => reason instanceof AntennaError && reason.code === "corrupt",
    );
  }
});

test("a preview names what would change, and changes nothing", () => {
  const fleet = fleetOf(3);
  const preview = previewLabelPolicy(fleet.rollout.policies, listening(2));
  assert.deepEqual(
    preview.map(
      ({ workload, from, to }) => [workload, from.rules[0]?.services, to.rules[0]?.services].length,
    ),
    [3, 3, 3],
  );
  for (const { workload, from, to } of preview) {
    assert.equal(from, fleet.rollout.policies.policyOf(workload));
    assert.deepEqual(to.rules[0]?.services?.[0]?.ports, [{ from: 2, to: 2 }]);
  }
  const same = previewLabelPolicy(fleet.rollout.policies, listening(1));
  for (const { from, to } of same) assert.equal(from, to);
});
