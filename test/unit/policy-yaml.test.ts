import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { AntennaError, parsePolicy, policyDigest, policyLimits } from "@antenna/sdk";
import fc from "fast-check";
import { runSeed } from "./random.js";

const seed = runSeed("policy-yaml");

function problemsOf(source: string): readonly string[] {
  try {
    parsePolicy(source);
    return [];
  } catch (reason) {
    if (!(reason instanceof AntennaError) || reason.code !== "input-refused") throw reason;
    return reason.problems.map(({ path, problem }) => `${path}: ${problem}`);
  }
}

const contract = `
version: 7                     # or "2.7" (epoch.sequence)
mode: full                     # idle | visibility | selective | full
visibility: blocked+allowed
sets:
  web: ["10.0.1.10", "10.0.2.0/24", "fd00:1::/64"]
rules:
  - id: web-in                 # unique
    direction: in              # in | out
    action: allow              # override-deny | allow | deny
    peers: [web]               # names of sets
    services:                  # absent: every protocol and port
      - { protocol: tcp, ports: [80, "8000-8010"] }
      - { protocol: icmp, type: 8 }
      - { protocol: 47 }
    secure: false
enforce:
  - { protocol: tcp, ports: [22, 5432] }
identities:
  "10.0.2.7": db-1.antenna
`;

describe("YAML", () => {
  test("the contract's example, in blocks, in flow and in JSON, is one policy", () => {
    const json = `{"version":"1.7","mode":"full","sets":{"web":["10.0.2.0/24","10.0.1.10","10.0.2.9","fd00:1::/64"]},
      "rules":[{"id":"web-in","direction":"in","action":"allow","peers":["web"],"services":[{"protocol":47},{"protocol":1,"type":8},
      {"protocol":6,"ports":["80","8000-8005","8006-8010"]}]}],"enforce":[{"protocol":"tcp","ports":[5432]},{"protocol":"tcp","ports":[22]}],
      "identities":{"10.0.2.7":"db-1.antenna"}}`;
    assert.deepEqual(parsePolicy(contract), parsePolicy(json));
    assert.equal(policyDigest(parsePolicy(contract)), policyDigest(parsePolicy(`# flow\n${json}`)));
  });

  test("plain texts mean what the core schema says: off is a word, addresses are texts", () => {
    const policy = parsePolicy(
      "mode: full\nvisibility: off\nsets:\n  a:\n  - 10.0.0.0/8\n  - fd00::1\n  - ::1\n",
    );
    assert.equal(policy.visibility, "off");
    assert.equal(policy.sets.get("a")?.size, 3);
    assert.deepEqual(problemsOf("mode: full\nreject: yes"), ["reject: is a text; expected true or false"]);
    assert.equal(parsePolicy("mode: full\nreject: True").reject, true);
  });

  const refused: readonly (readonly [string, string, string])[] = [
    [
      "an unquoted epoch.sequence",
      "mode: full\nversion: 2.7",
      'version: 2.7 is a fraction, in which 2.1 and 2.10 are the same; write it in quotes: "2.7"',
    ],
    [
      "2.10, which a number would lose",
      "mode: full\nversion: 2.10",
      'version: 2.10 is a fraction, in which 2.1 and 2.10 are the same; write it in quotes: "2.10"',
    ],
    [
      "a fraction that is whole",
      "mode: full\nversion: 7.0",
      'version: 7.0 is a fraction, in which 2.1 and 2.10 are the same; write it in quotes: "7.0"',
    ],
    [
      "a hexadecimal version",
      "mode: full\nversion: 0x10",
      'version: "0x10" is not a version (sequence, or "epoch.sequence")',
    ],
    [
      "a port with a leading zero",
      "mode: full\nenforce: [{ protocol: tcp, ports: [010] }]",
      "enforce[0].ports[0]: 010 is not a port (1-65535)",
    ],
    [
      "a port in hexadecimal",
      "mode: full\nenforce: [{ protocol: tcp, ports: [0x50] }]",
      'enforce[0].ports[0]: 0x50 is not a port (1-65535) or a range like "8000-8010"',
    ],
    ["a key of a map twice", "mode: full\nsets:\n  a: []\n  a: []", "sets.a: this key is there twice"],
    ["a key twice, quoted and not", 'mode: full\n"mode": full', "mode: this key is there twice"],
    [
      "a key that is a number",
      "mode: full\nsets:\n  7: []",
      "sets.7: this key is a number; write it in quotes",
    ],
    [
      "a key that is true",
      "mode: full\nsets:\n  true: []",
      "sets.true: this key is a boolean; write it in quotes",
    ],
    ["a key that is empty", "mode: full\nsets:\n  : []", 'sets[""]: this key is empty; write it in quotes'],
    [
      "merge keys",
      "mode: full\nsets: &s\n  a: []\nrules:\n- <<: *s",
      'rules[0]["<<"]: unknown key; there are id, direction, action, peers, services, secure',
    ],
    ["an empty value", "mode: full\nrules:\n", "rules: is empty (null); expected a list of rules"],
    ["two documents", "mode: full\n---\nmode: idle", ": holds 2 documents; a policy is one"],
    ["two documents, one empty", "mode: full\n---\n", ": holds 2 documents; a policy is one"],
    ["a tag", "mode: !mode full", ": line 1, column 7: tags have no meaning in a policy; leave them out"],
    [
      "a tag on a map",
      "!!map\nmode: full",
      ": line 1, column 1: tags have no meaning in a policy; leave them out",
    ],
    ["an unknown alias", "mode: *m", ': line 1, column 8: there is no anchor for the alias "m"'],
    ["a list as key", "mode: full\n? [a]\n: b", ": line 2, column 3: a key is a text, not a list or a map"],
    [
      "half a surrogate pair",
      'mode: "\\ud800"',
      "mode: a text holds half of a surrogate pair, which is no character",
    ],
  ];
  for (const [name, source, problem] of refused) {
    test(name, () => {
      const problems = problemsOf(source);
      assert.ok(problems.includes(problem), problems.join("\n"));
    });
  }

  test("broken YAML says where", () => {
    assert.match(problemsOf("mode: full\nrules: [").join(), /^: line \d+, column \d+: /);
    assert.match(problemsOf("mode: full\n\tsets: {}").join(), /^: line 2/);
    assert.match(problemsOf('mode: "full').join(), /^: line \d+, column \d+: /);
  });

  test("aliases stand for what they name, there where they stand", () => {
    const source = `
mode: full
sets:
  a: &members [10.0.0.1, &one 10.0.0.2]
  b: *members
  c: [*one]
rules:
  - &base { id: &id r1, direction: in, action: allow, peers: [a] }
enforce:
  - &web { protocol: tcp, ports: &p [80] }
  - { protocol: udp, ports: *p }
  - *web
`;
    const policy = parsePolicy(source);
    assert.ok(policy.sets.get("b")?.equals(policy.sets.get("a") ?? assert.fail()));
    assert.deepEqual([...(policy.sets.get("c")?.strings() ?? [])], ["10.0.0.2"]);
    assert.equal(policy.enforce.length, 2);
    const redefined = parsePolicy(
      "mode: full\nsets:\n  a: [&x 10.0.0.1]\n  b: &b [*x]\n  c: [&x 10.0.0.3]\n  d: *b\n",
    );
    assert.deepEqual([...(redefined.sets.get("d")?.strings() ?? [])], ["10.0.0.1"]);
    assert.match(problemsOf("mode: full\nsets: &a\n  x: *a").join(), /stands inside what it stands for/);
  });

  test("an alias bomb is refused at once", () => {
    const lines = ["mode: full", "a0: &a0 [x,x,x,x,x,x,x,x,x,x]"];
    for (let i = 1; i < 12; i++)
      lines.push(`a${i}: &a${i} [${Array.from({ length: 10 }, () => `*a${i - 1}`).join()}]`);
    const before = performance.now();
    assert.match(problemsOf(lines.join("\n")).join("\n"), /: aliases stand for more than 100000 nodes/);
    assert.ok(performance.now() - before < 5_000);
    const deep = ["mode: full", "a0: &a0 [x]"];
    for (let i = 1; i < 60; i++) deep.push(`a${i}: &a${i} [*a${i - 1}]`);
    assert.match(problemsOf(deep.join("\n")).join("\n"), /aliases nest too deep/);
  });

  test("bombs of punctuation are refused, none takes the process along", () => {
    const size = policyLimits.yamlBytes - 100;
    const bombs: Readonly<Record<string, string>> = {
      brackets: "[".repeat(size),
      braces: "x{".repeat(size / 2),
      commas: `[${"a,".repeat(size / 2 - 2)}]`,
      dashes: "- ".repeat(size / 2),
      "empty items": "-\n".repeat(size / 2),
      questions: "? ".repeat(size / 2),
      colons: "a: ".repeat(size / 3),
      anchors: "&a ".repeat(size / 3),
      quotes: `"${"\\n".repeat(size / 2 - 2)}`,
      "one long text": "a".repeat(size),
      spaces: ` ${" ".repeat(size - 3)}x`,
      lines: "\n".repeat(size),
      tabs: `a:${"\t".repeat(size - 4)}b`,
      percent: "%".repeat(size),
      bars: "a: |\n".repeat(size / 5),
      hashes: "#".repeat(size),
      "many keys": Array.from({ length: size / 14 }, (_, i) => `k${i}: ${i}`).join("\n"),
      "almost anchors": Array.from({ length: size / 14 }, (_, i) => `- &k${i} ${i}`).join("\n"),
    };
    for (const [name, source] of Object.entries(bombs)) {
      const before = performance.now();
      assert.ok(problemsOf(source).length > 0, name);
      const took = performance.now() - before;
      assert.ok(took < 10_000, `${name} took ${took} ms`);
    }
  });

  test("YAML over 4 MiB is refused by its size, JSON of the same size is not", () => {
    const members = `"10.0.0.1",`.repeat(400_000);
    const json = `{"mode":"full","sets":{"a":[${members}"10.0.0.2"]}}`;
    assert.ok(json.length > policyLimits.yamlBytes);
    assert.equal(parsePolicy(json).sets.get("a")?.size, 2);
    assert.deepEqual(problemsOf(`# YAML\n${json}`), [
      ": is larger than 4 MiB, the most for YAML; write it as JSON (up to 32 MiB)",
    ]);
    assert.deepEqual(problemsOf(`${json}${" ".repeat(policyLimits.jsonBytes)}`), [
      ": is larger than 32 MiB, which is the most that is read",
    ]);
  });

  test("whatever the text, it is read or refused", () => {
    const part = fc.constantFrom(
      "mode: full",
      "\n",
      "  ",
      "- ",
      "? ",
      ": ",
      "[",
      "]",
      "{",
      "}",
      ",",
      "&a ",
      "*a",
      "!t ",
      "|",
      ">",
      "'",
      '"',
      "#",
      "%",
      "---",
      "...",
      "\t",
      "\\",
      "~",
      "rules:",
      "sets:",
      "é",
      "\u0000",
      "\ufeff",
      "@",
      "`",
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 25 }), (parts) => {
        problemsOf(parts.join(""));
      }),
      { seed, numRuns: 10_000 },
    );
  });
});
