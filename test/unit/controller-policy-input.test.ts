import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseLabel } from "@antenna/controller/internal/policy/label.js";
import { labelPolicyFrom, parseLabelPolicy } from "@antenna/controller/internal/policy/parse.js";
import { AntennaError } from "@antenna/sdk";

const contract = `
services: { postgres: [{ protocol: tcp, ports: [5432] }], http: [{ protocol: tcp, ports: [8080] }] }
ipLists:  { office: ["203.0.113.0/24"] }
rulesets:
  - name: shop
    scope: { app: shop }
    rules:
      - { from: { role: web }, to: { role: app }, services: [http] }          # action: allow
      - { from: { role: app }, to: { role: db }, services: [postgres], secure: true }
      - { from: { ipList: office }, to: { role: [web, app] }, services: [http, { protocol: tcp, ports: [22] }] }
      - { from: { env: dev }, to: { env: prod }, action: override-deny }      # no services: all
enforcement:
  - { match: { app: shop }, mode: full, visibility: blocked+allowed }
  - { match: { app: mail }, mode: selective, enforce: [{ protocol: tcp, ports: [25] }] }
`;

function problemsOf(source: string | Uint8Array): readonly string[] {
  try {
    parseLabelPolicy(source);
    return [];
  } catch (reason) {
    if (!(reason instanceof AntennaError) || reason.code !== "input-refused") throw reason;
    return reason.problems.map(({ path, problem }) => `${path}: ${problem}`);
  }
}

function ruleProblems(rule: string): readonly string[] {
  return problemsOf(`rulesets: [{ name: r, rules: [${rule}] }]`).map((problem) =>
    problem.replace("rulesets[0].rules[0]", "rule"),
  );
}

describe("a label policy is read", () => {
  test("as the contract writes it", () => {
    const { ipLists, rulesets, enforcement } = parseLabelPolicy(contract);
    assert.deepEqual([...(ipLists.get("office")?.strings() ?? [])], ["203.0.113.0/24"]);
    assert.deepEqual(
      rulesets.map(({ name, scope, rules }) => [name, [...scope], rules.length]),
      [["shop", [["app", ["shop"]]], 4]],
    );
    const [web, secured, office, dev] = rulesets[0]?.rules ?? [];
    assert.equal(web?.action, "allow");
    assert.equal(secured?.secure, true);
    assert.deepEqual(office?.from, { kind: "ip-lists", names: ["office"] });
    assert.deepEqual(
      office?.services?.resolved.map(({ ports }) => ports),
      [[22, 8080].map((port) => ({ from: port, to: port }))],
    );
    assert.deepEqual(office?.to, { kind: "workloads", selector: new Map([["role", ["app", "web"]]]) });
    assert.equal(dev?.services, null);
    assert.deepEqual(
      enforcement.map(({ mode, visibility, enforce }) => [mode, visibility, enforce.length]),
      [
        ["full", "blocked+allowed", 0],
        ["selective", "blocked+allowed", 1],
      ],
    );
  });

  test("as JSON and as a value in memory with the same result", () => {
    const document = {
      services: { http: [{ protocol: "tcp", ports: [80] }] },
      rulesets: [{ name: "r", rules: [{ from: {}, to: { role: "web" }, services: ["http"] }] }],
      enforcement: [{ match: {}, mode: "full" }],
    };
    const yaml =
      "services: {http: [{protocol: tcp, ports: [80]}]}\nrulesets: [{name: r, rules: [{from: {}, to: {role: web}, services: [http]}]}]\nenforcement: [{match: {}, mode: full}]";
    assert.deepEqual(parseLabelPolicy(JSON.stringify(document)), labelPolicyFrom(document));
    assert.deepEqual(parseLabelPolicy(`\ufeff${yaml}`), labelPolicyFrom(document));
  });

  test("with everything left out", () => {
    const empty = { ipLists: new Map(), rulesets: [], enforcement: [] };
    assert.deepEqual(parseLabelPolicy("{}"), empty);
    assert.deepEqual(parseLabelPolicy("rulesets: [{ name: r }]").rulesets[0]?.rules, []);
  });

  test("whatever order its parts come in", () => {
    const rules = "rulesets: [{rules: [{services: [s], to: {ipList: [b, a]}, from: {}}], name: r}]";
    const names = "services: {s: [{protocol: esp}]}\nipLists: {a: [], b: []}";
    const policy = parseLabelPolicy(`${rules}\n${names}`);
    assert.deepEqual(policy, parseLabelPolicy(`${names}\n${rules}`));
    assert.deepEqual(policy.rulesets[0]?.rules[0]?.to, { kind: "ip-lists", names: ["a", "b"] });
  });

  test("any makes other lists beside it meaningless", () => {
    const [rule] = parseLabelPolicy(
      "ipLists: {a: []}\nrulesets: [{name: r, rules: [{from: {ipList: [a, any]}, to: {}}]}]",
    ).rulesets.flatMap(({ rules }) => rules);
    assert.deepEqual(rule?.from, { kind: "anyone" });
  });
});

describe("a label policy is refused, with every problem,", () => {
  test("for values that YAML takes for something else", () => {
    assert.deepEqual(ruleProblems("{ from: { env: 1 }, to: { ok: [true, yes, 2.0] } }"), [
      'rule.from.env: 1 is not a text; write it in quotes: "1"',
      'rule.to.ok[0]: true is not a text; write it in quotes: "true"',
      'rule.to.ok[2]: 2.0 is not a text; write it in quotes: "2.0"',
    ]);
  });

  test("for labels that are none", () => {
    const long = "x".repeat(64);
    assert.deepEqual(ruleProblems(`{ from: { "a b": c, ${long}: d, e: "" }, to: { f: "g h", i: [] } }`), [
      'rule.from["a b"]: "a b" is not 1-63 characters of A-Z a-z 0-9 . _ / -',
      `rule.from.${long}: "${long}" is not 1-63 characters of A-Z a-z 0-9 . _ / -`,
      'rule.from.e: "" is not 1-63 characters of A-Z a-z 0-9 . _ / -',
      'rule.to.f: "g h" is not 1-63 characters of A-Z a-z 0-9 . _ / -',
      "rule.to.i: is empty; leave the key out to match every value",
    ]);
    const scope = problemsOf("rulesets: [{ name: r, scope: { ipList: any } }]");
    assert.deepEqual(scope, [
      "rulesets[0].scope.ipList: only from and to of a rule can be lists of addresses",
    ]);
  });

  test("for rules that cannot mean anything", () => {
    assert.deepEqual(ruleProblems("{ from: { ipList: any }, to: { ipList: any } }"), [
      "rule: from and to are both lists of addresses; one end of a rule must be workloads",
    ]);
    assert.deepEqual(ruleProblems("{ from: {}, to: {}, action: deny, secure: true }"), [
      "rule.secure: stands on allow rules only, not on deny",
    ]);
    assert.deepEqual(ruleProblems("{ from: {} }"), [
      "rule.to: is missing; labels, {} for every workload, or { ipList: any }",
    ]);
    assert.deepEqual(ruleProblems("{ from: { ipList: any, role: web }, to: {} }"), [
      "rule.from: ipList stands alone: addresses carry no labels",
    ]);
    assert.deepEqual(ruleProblems("{ from: {}, to: {}, services: [] }"), [
      "rule.services: is empty; leave it out for every service",
    ]);
  });

  test("for names that nothing has, and that are there twice", () => {
    assert.deepEqual(
      ruleProblems("{ from: { ipList: offce }, to: {}, services: [htp, { protocol: tcp, ports: [0] }] }"),
      [
        "rule.services[1].ports[0]: 0 is not a port (1-65535)",
        'rule.from.ipList: there is no ipList "offce"',
        'rule.services[0]: there is no service "htp"',
      ],
    );
    assert.deepEqual(problemsOf("rulesets: [{ name: a }, { name: b }, { name: a }, { rules: [] }]"), [
      'rulesets[2].name: "a" is the name of rulesets[0] already',
      "rulesets[3].name: is missing; each ruleset has a name of its own",
    ]);
    assert.deepEqual(problemsOf("ipLists: { any: [] }"), [
      "ipLists.any: the name of an ipList is built in and means everyone; choose another name",
    ]);
  });

  test("and a name that was refused is no second problem where it is used", () => {
    const problems = problemsOf(
      'ipLists: { a: ["10.0.0.1/8"] }\nservices: { s: 7 }\nrulesets: [{ name: r, rules: [{ from: { ipList: a }, to: {}, services: [s] }] }]',
    );
    assert.deepEqual(problems, [
      'ipLists.a[0]: "10.0.0.1/8" has host bits set; write 10.0.0.0/8, or leave the prefix out',
      "services.s: is the number 7; expected a list of services",
    ]);
  });

  test("for unknown and duplicate keys at every level", () => {
    const problems = problemsOf(
      "rules: []\nrulesets:\n  - { name: a, name: b, color: red, rules: [{ from: {}, to: {}, from: {}, id: x }] }\nenforcement: [{ match: {}, mode: full, reject: true, match: {} }]\nenforcement: []",
    );
    assert.deepEqual(problems, [
      "rules: unknown key; there are services, ipLists, rulesets, enforcement",
      "rulesets[0].name: this key is there twice",
      "rulesets[0].color: unknown key; there are name, scope, rules",
      "rulesets[0].rules[0].from: this key is there twice",
      "rulesets[0].rules[0].id: unknown key; there are from, to, services, action, secure",
      "enforcement[0].reject: unknown key; there are match, mode, visibility, enforce",
      "enforcement[0].match: this key is there twice",
      "enforcement: this key is there twice",
    ]);
  });

  test("for enforcement that is none", () => {
    assert.deepEqual(
      problemsOf(
        "enforcement: [{ mode: strict }, { match: {}, mode: selective, visibility: off }, { match: {} }]",
      ),
      [
        'enforcement[0].mode: "strict" is none of idle, visibility, selective, full',
        "enforcement[0].match: is missing; labels, or {} for every workload",
        "enforcement[1].visibility: a policy may ask for `off` only in mode full",
        "enforcement[2].mode: is missing; one of idle, visibility, selective, full",
      ],
    );
  });

  test("for documents that are no documents", () => {
    assert.deepEqual(problemsOf(""), [": the document is empty"]);
    assert.deepEqual(problemsOf("{}\n---\n{}"), [
      ': line 2, column 1: expected nothing after the document, found "-"',
    ]);
    assert.deepEqual(problemsOf("rulesets: []\n---\nrulesets: []"), [": holds 2 documents; a policy is one"]);
    assert.deepEqual(problemsOf(Uint8Array.of(0x72, 0xff)), [": is not UTF-8"]);
    assert.deepEqual(problemsOf("[]"), [
      ": is a list; expected a label policy (a map with the keys services, ipLists, rulesets, enforcement)",
    ]);
    const large = `# ${"x".repeat(4 * 1024 * 1024)}`;
    assert.match(problemsOf(large)[0] ?? "", /larger than 4 MiB/);
    assert.deepEqual(problemsOf("rulesets:"), ["rulesets: is empty (null); expected a list of rulesets"]);
  });
});

describe("a label on the command line", () => {
  test("is a key and a value", () => {
    assert.deepEqual(parseLabel("role=web"), ["role", "web"]);
    assert.deepEqual(parseLabel("k8s/app.v_1-2=a/b"), ["k8s/app.v_1-2", "a/b"]);
  });

  for (const text of ["role", "role=", "=web", "ipList=any", "a=b=c", "a=b c", `a=${"x".repeat(64)}`]) {
    test(`and never ${text.slice(0, 20)}`, () => {
      assert.throws(
        () => parseLabel(text),
        (reason) => reason instanceof AntennaError && reason.code === "input-refused",
      );
    });
  }
});
