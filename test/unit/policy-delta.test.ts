import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  AddressSet,
  AntennaError,
  applyDelta,
  type Policy,
  type PolicyDelta,
  parsePolicy,
  policyDelta,
  policyDigest,
} from "@antenna/sdk";
import fc from "fast-check";
import { documentText, policyDocument } from "./policy-arbitrary.js";
import { runSeed } from "./random.js";

const seed = runSeed("policy-delta");

const base = () =>
  parsePolicy(
    '{"version":7,"mode":"full","sets":{"web":["10.0.0.1","10.1.0.0/16","fd00::1"],"db":["10.0.0.9"]},"rules":[{"id":"r","direction":"in","action":"allow","peers":["web","db"]}],"identities":{"10.0.0.9":"db"}}',
  );

function delta(policy: Policy, change: Partial<PolicyDelta>): PolicyDelta {
  return {
    base: policyDigest(policy),
    version: { epoch: 1, sequence: 8 },
    sets: new Map(),
    removedSets: [],
    rest: null,
    ...change,
  };
}

function change(added: readonly string[], removed: readonly string[] = []) {
  return { added: AddressSet.from(added), removed: AddressSet.from(removed) };
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

describe("a policy delta", () => {
  test("makes of one policy any other, equal to the one read from its document", () => {
    fc.assert(
      fc.property(policyDocument, policyDocument, (one, other) => {
        const [before, after] = [parsePolicy(documentText(one)), parsePolicy(documentText(other))];
        const applied = applyDelta(before, policyDelta(before, after));
        assert.deepEqual(applied, after);
        assert.deepEqual([...applied.sets.keys()], [...after.sets.keys()]);
        const anew = parsePolicy(documentText(other));
        assert.equal(policyDigest(applied), policyDigest(anew));
      }),
      { seed, numRuns: 400 },
    );
  });

  test("shares what it leaves alone", () => {
    const before = base();
    const after = applyDelta(
      before,
      delta(before, { sets: new Map([["web", change(["10.0.0.2"], ["10.0.0.1"])]]) }),
    );
    assert.deepEqual([...(after.sets.get("web")?.strings() ?? [])], ["10.0.0.2", "10.1.0.0/16", "fd00::1"]);
    assert.equal(after.sets.get("db"), before.sets.get("db"));
    assert.equal(after.rules, before.rules);
    assert.equal(after.identities, before.identities);
    assert.deepEqual(after.version, { epoch: 1, sequence: 8 });
    assert.deepEqual([...(before.sets.get("web")?.strings() ?? [])], ["10.0.0.1", "10.1.0.0/16", "fd00::1"]);
    const nothing = policyDelta(before, { ...before, version: { epoch: 1, sequence: 8 } });
    assert.deepEqual([nothing.sets.size, nothing.removedSets, nothing.rest], [0, [], null]);
    assert.equal(applyDelta(before, nothing).sets, before.sets);
  });

  test("applies to its base alone", () => {
    const before = base();
    const problems = problemsOf(() =>
      applyDelta(before, delta(before, { base: `sha256:${"0".repeat(64)}` })),
    );
    assert.match(
      problems.join(),
      /^base: the delta applies to sha256:0+, the policy in hand is sha256:[0-9a-f]+; ask for the whole policy$/,
    );
  });

  test("is refused like a document, with every problem", () => {
    const before = base();
    const sets = new Map([
      ["web", change(["10.0.0.1", "10.1.2.3", "224.0.0.1", "10.0.0.0/24"], ["10.0.0.77"])],
      ["any", change([])],
      ["a\u0000", change([])],
    ]);
    assert.deepEqual(
      problemsOf(() => applyDelta(before, delta(before, { sets, removedSets: ["gone"] }))),
      [
        'removedSets["gone"]: there is no such set',
        'sets["web"].removed: 10.0.0.77 is not a member',
        'sets["web"].added: 10.0.0.0/24 swallows the member 10.0.0.1, which is not removed',
        'sets["web"].added: 10.1.2.3 is a member already, or lies in one',
        'sets["web"].added: 224.0.0.1 lies in multicast (224.0.0.0/4), where no peer is',
        'sets["any"]: the name of a set is built in',
        'sets["a\\u0000"]: the name of a set holds characters that do not print',
      ],
    );
  });

  test("cannot take a set from under a rule", () => {
    const before = base();
    assert.deepEqual(
      problemsOf(() => applyDelta(before, delta(before, { removedSets: ["db"] }))),
      ['rules[0].peers[0]: there is no set "db"'],
    );
    const rest = {
      mode: "full" as const,
      rules: [{ id: "r", direction: "in" as const, action: "allow" as const, peers: ["web"] }],
    };
    assert.deepEqual(
      [...applyDelta(before, delta(before, { removedSets: ["db"], rest })).sets.keys()],
      ["web"],
    );
    assert.deepEqual(
      problemsOf(() =>
        applyDelta(before, delta(before, { rest: { ...rest, visibility: "off", mode: "idle" } })),
      ),
      ["visibility: a policy may ask for `off` only in mode full"],
    );
    assert.match(
      problemsOf(() =>
        applyDelta(before, delta(before, { rest: { ...rest, sets: {} } as unknown as null })),
      ).join(),
      /^sets: unknown key; there are mode/,
    );
  });
});
