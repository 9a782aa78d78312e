import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  AntennaError,
  type Policy,
  type PolicyDocument,
  parsePolicy,
  policyChunks,
  policyDigest,
  policyFrom,
  policyLimits,
} from "@antenna/sdk";
import fc from "fast-check";
import { documentText, policyDocument } from "./policy-arbitrary.js";
import { runSeed } from "./random.js";

const seed = runSeed("policy-input");

/** Every problem as `path: problem`, or none. */
function problemsOf(read: () => Policy): readonly string[] {
  try {
    read();
    return [];
  } catch (reason) {
    if (!(reason instanceof AntennaError) || reason.code !== "input-refused") throw reason;
    assert.ok(reason.problems.length > 0, "a refusal names its reasons");
    return reason.problems.map(({ path, problem }) => `${path}: ${problem}`);
  }
}

/** JSON is a part of YAML; a comment before the brace makes the reader take it for YAML. */
const asYaml = (json: string) => `# YAML\n${json}`;

/** The three ways in must agree to the letter. */
function problemsOfAll(json: string, value?: unknown): readonly string[] {
  const problems = problemsOf(() => parsePolicy(json));
  assert.deepEqual(
    problemsOf(() => parsePolicy(asYaml(json))),
    problems,
    "YAML and JSON disagree",
  );
  if (value !== undefined) {
    assert.deepEqual(
      problemsOf(() => policyFrom(value as PolicyDocument)),
      problems,
      "a value and JSON disagree",
    );
  }
  return problems;
}

const rule = { id: "r", direction: "in", action: "allow", peers: ["any"] };
const withRule = (more: object) => ({ mode: "full", rules: [{ ...rule, ...more }] });
const withService = (service: unknown) => withRule({ services: [service] });
const withPorts = (ports: unknown) => withService({ protocol: "tcp", ports });
const withMember = (member: unknown) => ({ mode: "full", sets: { s: [member] } });
const without = (key: string) => ({
  mode: "full",
  rules: [Object.fromEntries(Object.entries(rule).filter(([name]) => name !== key))],
});

describe("accepted", () => {
  const accepted: Readonly<Record<string, unknown>> = {
    "the least there is": { mode: "idle" },
    "empty lists and maps": { mode: "full", sets: {}, rules: [], enforce: [], identities: {} },
    "an empty set": { mode: "full", sets: { s: [] } },
    "duplicates and overlaps in a set": {
      mode: "full",
      sets: { s: ["10.0.0.1", "10.0.0.1", "10.0.0.0/8", "FD00::", "fd00:0::"] },
    },
    "/0 of both families": { mode: "full", sets: { s: ["0.0.0.0/0", "::/0"] } },
    "blocks that reach into multicast": {
      mode: "full",
      sets: { s: ["224.0.0.0/3", "f000::/4", "0.0.0.0/8", "::/64"] },
    },
    "duplicate peers, and any beside others": {
      mode: "full",
      sets: { s: [] },
      rules: [{ ...rule, peers: ["s", "s", "any"] }],
    },
    "quoted, duplicate and overlapping ports": withPorts([
      80,
      "80",
      "8000-8010",
      "8005-8020",
      "1-65535",
      "443-443",
    ]),
    "protocols by number": withService({ protocol: 255 }),
    "ports on a protocol by number": withService({ protocol: 132, ports: [1] }),
    "icmp by number with type and code": withService({ protocol: 58, type: 255, code: 255 }),
    "every mode, off in full": { mode: "full", visibility: "off" },
    "the largest version": { mode: "full", version: Number.MAX_SAFE_INTEGER },
    "epoch.sequence": { mode: "full", version: "9007199254740991.1" },
    "secure on allow, and false anywhere": {
      mode: "full",
      rules: [
        { ...rule, secure: true },
        { ...rule, id: "q", action: "deny", secure: false },
      ],
    },
    "an id of 128 bytes": withRule({ id: "é".repeat(64) }),
    "ids that look like options or shell": {
      mode: "full",
      rules: ["--jump", "-A INPUT", "$(reboot)", "`id`", "a;b", "'\"", "../../x", "%s%n", "\\"].map((id) => ({
        ...rule,
        id,
      })),
    },
    "names that objects have": {
      mode: "full",
      sets: Object.fromEntries([
        ["constructor", []],
        ["toString", ["10.0.0.1"]],
      ]),
      rules: [{ ...rule, id: "__proto__", peers: ["constructor", "toString"] }],
    },
    "enforce without the mode for it": { mode: "full", enforce: [{ protocol: "tcp", ports: [22] }] },
    identities: {
      mode: "full",
      identities: { "10.0.2.7": "db-1.antenna", "FD00::7": "C=CH, O=Antenna, CN=é" },
    },
  };
  for (const [name, document] of Object.entries(accepted)) {
    test(name, () => assert.deepEqual(problemsOfAll(JSON.stringify(document), document), []));
  }

  for (const protocol of ["tcp", "udp", "udplite", "sctp", "dccp"]) {
    test(`${protocol} with ports`, () =>
      assert.deepEqual(problemsOfAll(JSON.stringify(withService({ protocol, ports: [1] }))), []));
  }
  for (const protocol of ["icmp", "icmpv6", "esp", "ah", "gre", "igmp", "ospf", "vrrp"]) {
    test(`${protocol} by name`, () =>
      assert.deepEqual(problemsOfAll(JSON.stringify(withService({ protocol }))), []));
  }

  test("what is left out has its default", () => {
    const policy = parsePolicy('{"mode":"full"}');
    assert.deepEqual(
      { ...policy, sets: policy.sets.size, identities: policy.identities.size },
      {
        version: null,
        mode: "full",
        visibility: "blocked+allowed",
        reject: false,
        sets: 0,
        rules: [],
        enforce: [],
        identities: 0,
      },
    );
  });

  test("a byte order mark, spaces before the brace, and any chunking of both", () => {
    for (const text of [
      '\ufeff{"mode":"full"}',
      ' \n\t{"mode":"full"}',
      '\ufeff\r\n {"mode":"full"}\n',
      "\ufeffmode: full",
      "mode: full\r\n",
    ]) {
      assert.equal(parsePolicy(text).mode, "full", JSON.stringify(text));
    }
    assert.match(problemsOf(() => parsePolicy("\ufeff\ufeff{}"))[0] ?? "", /./);
  });

  test("__proto__ is a name like any other", () => {
    const text =
      '{"mode":"full","sets":{"__proto__":["10.0.0.1"]},"rules":[{"id":"constructor","direction":"in","action":"allow","peers":["__proto__"]}]}';
    assert.deepEqual(problemsOfAll(text), []);
    for (const policy of [parsePolicy(text), parsePolicy(asYaml(text))]) {
      assert.deepEqual(Array.from(policy.sets.keys()), ["__proto__"]);
      assert.equal(policy.sets.get("__proto__")?.size, 1);
      assert.equal(({} as { size?: unknown }).size, undefined);
    }
    assert.deepEqual(problemsOfAll('{"mode":"full","__proto__":{"reject":true}}'), [
      "__proto__: unknown key; there are version, sets, mode, visibility, reject, rules, enforce, identities",
    ]);
  });
});

describe("refused, with the path", () => {
  const refused: readonly (readonly [string, unknown, string, RegExp])[] = [
    ["no mode", {}, "mode", /is missing; one of idle, visibility, selective, full/],
    ["an unknown mode", { mode: "Full" }, "mode", /"Full" is none of/],
    ["an unknown visibility", { mode: "full", visibility: "all" }, "visibility", /none of off, blocked/],
    ["off outside full", { mode: "selective", visibility: "off" }, "visibility", /only in mode full/],
    ["an unknown key", { mode: "full", rule: [] }, "rule", /unknown key; there are version/],
    [
      "an unknown key of a rule",
      withRule({ Action: "deny" }),
      "rules[0].Action",
      /unknown key; there are id/,
    ],
    [
      "an unknown key of a service",
      withService({ protocol: "tcp", port: 80 }),
      "rules[0].services[0].port",
      /unknown key; there are protocol/,
    ],
    ["an unknown key that needs quotes", { mode: "full", "a.b": 1 }, '["a.b"]', /unknown key/],
    ["reject as text", { mode: "full", reject: "yes" }, "reject", /is a text; expected true or false/],
    [
      "null for a list",
      { mode: "full", rules: null },
      "rules",
      /is empty \(null\); expected a list of rules/,
    ],
    ["a map for a list", { mode: "full", rules: {} }, "rules", /is a map; expected a list of rules/],
    ["a list for a map", { mode: "full", sets: [] }, "sets", /is a list; expected a map of sets/],
    ["a rule that is none", { mode: "full", rules: ["r"] }, "rules[0]", /is a text; expected a rule/],
    // Sets and peers.
    [
      "a set that is a text",
      { mode: "full", sets: { s: "10.0.0.1" } },
      "sets.s",
      /is a text; expected a list/,
    ],
    ["a set named any", { mode: "full", sets: { any: [] } }, "sets.any", /built in/],
    ["a set named nothing", { mode: "full", sets: { "": [] } }, 'sets[""]', /name of a set is empty/],
    [
      "a set with an unprintable name",
      { mode: "full", sets: { "a\u200b": [] } },
      'sets["a\\u{200b}"]',
      /do not print/,
    ],
    [
      "a set with a long name",
      { mode: "full", sets: { ["é".repeat(65)]: [] } },
      `sets["${"é".repeat(64)}…"]`,
      /130 bytes long; 128/,
    ],
    ["a bad address", withMember("10.0.0"), "sets.s[0]", /not an address/],
    ["a number as member", withMember(10), "sets.s[0]", /is the number 10; expected an address/],
    ["a nested list as member", withMember(["10.0.0.1"]), "sets.s[0]", /is a list; expected an address/],
    ["leading zeros", withMember("10.0.0.01"), "sets.s[0]", /leading zero/],
    ["host bits", withMember("10.0.0.1/24"), "sets.s[0]", /host bits set; write 10.0.0.0\/24/],
    ["IPv4-mapped", withMember("::ffff:10.0.0.1"), "sets.s[0]", /IPv4-mapped/],
    ["a zone id", withMember("fe80::1%eth0"), "sets.s[0]", /zone id/],
    ["multicast", withMember("224.0.0.1"), "sets.s[0]", /multicast \(224/],
    ["all of multicast", withMember("224.0.0.0/4"), "sets.s[0]", /multicast/],
    ["IPv6 multicast", withMember("ff02::/16"), "sets.s[0]", /multicast \(ff00/],
    ["unspecified", withMember("0.0.0.0"), "sets.s[0]", /unspecified/],
    ["unspecified with its prefix", withMember("0.0.0.0/32"), "sets.s[0]", /unspecified/],
    ["IPv6 unspecified", withMember("::"), "sets.s[0]", /unspecified/],
    ["an unknown set", withRule({ peers: ["any", "nope"] }), "rules[0].peers[1]", /there is no set "nope"/],
    ["empty peers", withRule({ peers: [] }), "rules[0].peers", /is empty/],
    ["an address as peers", withRule({ peers: "any" }), "rules[0].peers", /is a text; expected a list/],
    ["a number as peer", withRule({ peers: [1] }), "rules[0].peers[0]", /is the number 1/],
    // Ports.
    ["port 0", withPorts([0]), "rules[0].services[0].ports[0]", /^0 is not a port \(1-65535\)$/],
    [
      "port 70000",
      withPorts([80, 70000]),
      "rules[0].services[0].ports[1]",
      /^70000 is not a port \(1-65535\)$/,
    ],
    ["a negative port", withPorts([-1]), "rules[0].services[0].ports[0]", /-1 is not a port/],
    ["a fraction", withPorts([80.5]), "rules[0].services[0].ports[0]", /80.5 is not a port/],
    [
      "a quoted port out of range",
      withPorts(["65536"]),
      "rules[0].services[0].ports[0]",
      /65536 is not a port/,
    ],
    ["a port with a leading zero", withPorts(["080"]), "rules[0].services[0].ports[0]", /080 is not a port/],
    ["a port by name", withPorts(["http"]), "rules[0].services[0].ports[0]", /http is not a port/],
    ["a port with spaces", withPorts([" 80"]), "rules[0].services[0].ports[0]", /" 80" is not a port/],
    ["a reversed range", withPorts(["90-80"]), "rules[0].services[0].ports[0]", /reversed; write 80-90/],
    ["a range from 0", withPorts(["0-80"]), "rules[0].services[0].ports[0]", /^0 is not a port/],
    ["a range too far", withPorts(["1-65536"]), "rules[0].services[0].ports[0]", /^65536 is not a port/],
    ["half a range", withPorts(["80-"]), "rules[0].services[0].ports[0]", /not a port/],
    ["an endless port", withPorts(["9".repeat(400)]), "rules[0].services[0].ports[0]", /not a port/],
    ["empty ports", withPorts([]), "rules[0].services[0].ports", /is empty/],
    [
      "ports that are no list",
      withPorts(80),
      "rules[0].services[0].ports",
      /is the number 80; expected a list of ports/,
    ],
    [
      "ports on esp",
      withService({ protocol: "esp", ports: [1] }),
      "rules[0].services[0].ports",
      /esp has no ports/,
    ],
    [
      "ports on icmp",
      withService({ protocol: "icmp", ports: [1] }),
      "rules[0].services[0].ports",
      /icmp has no ports/,
    ],
    [
      "ports on a number",
      withService({ protocol: 200, ports: [1] }),
      "rules[0].services[0].ports",
      /200 has no ports/,
    ],
    // Services.
    ["empty services", withRule({ services: [] }), "rules[0].services", /is empty/],
    [
      "a service without protocol",
      withService({ ports: [80] }),
      "rules[0].services[0].protocol",
      /is missing/,
    ],
    ["a service by name", withService("http"), "rules[0].services[0]", /is a text; expected a service/],
    [
      "protocol 0",
      withService({ protocol: 0 }),
      "rules[0].services[0].protocol",
      /0 is not a protocol \(1-255\)/,
    ],
    [
      "protocol 256",
      withService({ protocol: 256 }),
      "rules[0].services[0].protocol",
      /256 is not a protocol/,
    ],
    [
      "protocol 6.5",
      withService({ protocol: 6.5 }),
      "rules[0].services[0].protocol",
      /6.5 is not a protocol/,
    ],
    [
      "a quoted protocol number",
      withService({ protocol: "6" }),
      "rules[0].services[0].protocol",
      /without quotes/,
    ],
    [
      "a name in upper case",
      withService({ protocol: "TCP" }),
      "rules[0].services[0].protocol",
      /lower case; write tcp/,
    ],
    ["an unknown name", withService({ protocol: "tpc" }), "rules[0].services[0].protocol", /not a protocol/],
    [
      "a name that objects have",
      withService({ protocol: "constructor" }),
      "rules[0].services[0].protocol",
      /not a protocol/,
    ],
    [
      "a type outside ICMP",
      withService({ protocol: "tcp", type: 8 }),
      "rules[0].services[0].type",
      /tcp has no types/,
    ],
    [
      "a code without type",
      withService({ protocol: "icmp", code: 0 }),
      "rules[0].services[0].code",
      /needs a type/,
    ],
    [
      "a type too large",
      withService({ protocol: "icmp", type: 256 }),
      "rules[0].services[0].type",
      /256 is not an ICMP type/,
    ],
    [
      "a negative code",
      withService({ protocol: "icmp", type: 3, code: -1 }),
      "rules[0].services[0].code",
      /-1 is not an ICMP code/,
    ],
    ["a quoted type", withService({ protocol: "icmp", type: "8" }), "rules[0].services[0].type", /is a text/],
    [
      "enforce too",
      { mode: "selective", enforce: [{ protocol: "tcp", ports: [0] }] },
      "enforce[0].ports[0]",
      /0 is not a port/,
    ],
    // Rules.
    ["no id", without("id"), "rules[0].id", /is missing/],
    ["no direction", without("direction"), "rules[0].direction", /is missing/],
    ["no action", without("action"), "rules[0].action", /is missing/],
    ["no peers", without("peers"), "rules[0].peers", /is missing/],
    ["an empty id", withRule({ id: "" }), "rules[0].id", /an id is empty/],
    ["a blank id", withRule({ id: "  " }), "rules[0].id", /is blank/],
    ["a number as id", withRule({ id: 7 }), "rules[0].id", /is the number 7; expected an id/],
    ["an id of 129 bytes", withRule({ id: "x".repeat(129) }), "rules[0].id", /129 bytes long; 128/],
    ["an id of 65 characters, 130 bytes", withRule({ id: "é".repeat(65) }), "rules[0].id", /130 bytes long/],
    ["a control character in an id", withRule({ id: "a\u0007" }), "rules[0].id", /do not print/],
    ["a line break in an id", withRule({ id: "a\nb" }), "rules[0].id", /do not print/],
    ["a direction mark in an id", withRule({ id: "a\u202eb" }), "rules[0].id", /do not print/],
    [
      "a duplicate id",
      { mode: "full", rules: [rule, { ...rule, action: "deny" }] },
      "rules[1].id",
      /"r" is the id of rules\[0\] already/,
    ],
    ["an unknown direction", withRule({ direction: "inbound" }), "rules[0].direction", /none of in, out/],
    [
      "an unknown action",
      withRule({ action: "drop" }),
      "rules[0].action",
      /none of override-deny, allow, deny/,
    ],
    [
      "secure on deny",
      withRule({ action: "deny", secure: true }),
      "rules[0].secure",
      /allow rules only, not on deny/,
    ],
    [
      "secure on override-deny",
      withRule({ action: "override-deny", secure: true }),
      "rules[0].secure",
      /allow rules only/,
    ],
    ["secure as text", withRule({ secure: "true" }), "rules[0].secure", /is a text/],
    // Versions.
    ["version 0", { mode: "full", version: 0 }, "version", /from 1 to 2\^53-1/],
    ["a negative version", { mode: "full", version: -1 }, "version", /not a version/],
    ["epoch 0", { mode: "full", version: "0.1" }, "version", /from 1 to 2\^53-1/],
    ["sequence 0", { mode: "full", version: "1.0" }, "version", /from 1 to 2\^53-1/],
    ["a version in three parts", { mode: "full", version: "1.2.3" }, "version", /not a version/],
    ["a version with a leading zero", { mode: "full", version: "1.07" }, "version", /leading zeros/],
    ["a version too large", { mode: "full", version: "1.9007199254740992" }, "version", /2\^53-1/],
    [
      "an unquoted epoch.sequence",
      { mode: "full", version: 2.7 },
      "version",
      /fraction.*write it in quotes: "2.7"/,
    ],
    ["a list as version", { mode: "full", version: [1, 7] }, "version", /is a list; expected a sequence/],
    // Identities.
    [
      "an identity of a block",
      { mode: "full", identities: { "10.0.0.0/8": "x" } },
      'identities["10.0.0.0/8"]',
      /a block where one address/,
    ],
    [
      "an identity of nothing",
      { mode: "full", identities: { "db-1": "x" } },
      "identities.db-1",
      /not an address/,
    ],
    [
      "an empty identity",
      { mode: "full", identities: { "10.0.2.7": "" } },
      'identities["10.0.2.7"]',
      /an identity is empty/,
    ],
    [
      "an unprintable identity",
      { mode: "full", identities: { "10.0.2.7": "a\u0000" } },
      'identities["10.0.2.7"]',
      /do not print/,
    ],
    [
      "an identity of a multicast address",
      { mode: "full", identities: { "ff02::1": "x" } },
      'identities["ff02::1"]',
      /multicast/,
    ],
    [
      "one address written twice",
      { mode: "full", identities: { "fd00::7": "a", "FD00:0::7": "b" } },
      'identities["FD00:0::7"]',
      /fd00::7, which is there twice/,
    ],
    [
      "a number as identity",
      { mode: "full", identities: { "10.0.2.7": 7 } },
      'identities["10.0.2.7"]',
      /is the number 7/,
    ],
  ];
  for (const [name, document, path, problem] of refused) {
    test(name, () => {
      const problems = problemsOfAll(JSON.stringify(document), document);
      assert.equal(problems.length, 1, problems.join("\n"));
      assert.equal(problems[0]?.slice(0, path.length + 2), `${path}: `);
      assert.match(problems[0]?.slice(path.length + 2) ?? "", problem);
    });
  }

  test("duplicate keys, at every level, each where it is", () => {
    const text =
      '{"mode":"full","mode":"idle","sets":{"a":[],"a":["10.0.0.1"]},"rules":[{"id":"r","id":"q","direction":"in","action":"allow","peers":["a"],"services":[{"protocol":"tcp","protocol":"udp"}]}],"identities":{"10.0.0.1":"a","10.0.0.1":"b"}}';
    assert.deepEqual(problemsOfAll(text), [
      "mode: this key is there twice",
      "sets.a: this key is there twice",
      "rules[0].id: this key is there twice",
      "rules[0].services[0].protocol: this key is there twice",
      'identities["10.0.0.1"]: this key is there twice',
    ]);
  });

  test("type and code outside ICMP are two problems", () => {
    const document = withService({ protocol: 47, type: 8, code: 0 });
    assert.deepEqual(problemsOfAll(JSON.stringify(document), document), [
      "rules[0].services[0].type: protocol gre has no types (icmp and icmpv6 have)",
      "rules[0].services[0].code: protocol gre has no codes (icmp and icmpv6 have)",
    ]);
  });

  test("a key twice by an escape is twice", () => {
    assert.deepEqual(
      problemsOf(() => parsePolicy('{"mode":"full","m\\u006fde":"full"}')),
      ["mode: this key is there twice"],
    );
  });

  test("everything at once: each problem, none twice, none for what follows from another", () => {
    const document = {
      mode: "selective",
      visibility: "off",
      version: "0.7",
      sets: { any: ["10.0.0.1"], bad: "10.0.0.1", web: ["10.0.0.1", "10.0.0.1/8", 5] },
      rules: [
        {
          id: "a",
          direction: "in",
          action: "allow",
          peers: ["bad", "web", "gone"],
          services: [{ protocol: "TCP", ports: [0, 1] }],
        },
        { id: "a", direction: "sideways", action: "deny", peers: [], secure: true },
      ],
      more: { deeply: [{ "unknown ": null }] },
    };
    const paths = problemsOfAll(JSON.stringify(document), document).map((line) => line.replace(/: .*/, ""));
    assert.deepEqual(paths, [
      ...["version", "sets.any", "sets.bad", "sets.web[1]", "sets.web[2]"],
      ...["rules[0].services[0].protocol", "rules[0].services[0].ports[0]"],
      ...["rules[1].id", "rules[1].direction", "rules[1].peers", "rules[1].secure", "more"],
      ...["visibility", "rules[0].peers[2]"],
    ]);
  });

  test("the first thousand problems in words, the rest as a count; all of it bounded", () => {
    const members = Array.from({ length: 5_000 }, (_, i) => `10.0.${i}`);
    const problems = problemsOfAll(JSON.stringify({ mode: "full", sets: { s: members } }));
    assert.equal(problems.length, 1_001);
    assert.equal(problems.at(-1), ": and 4000 more problems");
  });

  test("texts that are not documents", () => {
    const refusals: readonly (readonly [string | Uint8Array, RegExp])[] = [
      ["", /^: the document is empty$/],
      [" \n\t ", /^: the document is empty$/],
      ["\ufeff", /^: the document is empty$/],
      ["{", /^: line 1, column 2: the document ends too early$/],
      ['{"mode":"full",}', /^: line 1, column 16: expected a key/],
      ['{"mode":"full"}{}', /^: line 1, column 16: expected nothing after/],
      ['{"mode":"full"} # no comments', /^: line 1, column 17/],
      ["{mode: full}", /^: line 1, column 2: expected a key in double quotes/],
      ["# nothing but a comment", /^: the document is empty$/],
      ["---", /^: is empty \(null\); expected a policy/],
      ["...", /^: /],
      ["[]", /^: is a list; expected a policy/],
      ["full", /^: is a text; expected a policy/],
      ["7", /^: is the number 7; expected a policy/],
      [Uint8Array.of(0xff, 0xfe, 0x7b, 0), /^: is not UTF-8$/],
      [Uint8Array.of(0xef, 0xbb), /^: is not UTF-8$/],
      [Buffer.from('{"mode":"full","sets":{"\xff":[]}}', "latin1"), /^: line 1, column 25: is not UTF-8$/],
      [Buffer.from("mode: full\nsets: { \xe9: [] }", "latin1"), /^: is not UTF-8$/],
      [Buffer.alloc(1_000, 0), /^: /],
      [Buffer.from("\x7fELF\x02\x01\x01\0\0\0"), /^: /],
    ];
    for (const [source, expected] of refusals) {
      const problems = problemsOf(() => parsePolicy(source));
      assert.match(problems[0] ?? "accepted", expected, JSON.stringify(source.toString().slice(0, 40)));
    }
  });

  test("problems before the place where a text breaks off are told too", () => {
    assert.deepEqual(
      problemsOf(() => parsePolicy('{"mode":"Full","rules":[}')),
      [
        'mode: "Full" is none of idle, visibility, selective, full',
        ': line 1, column 25: expected a value, found "}"',
      ],
    );
  });

  test("more rules, sets, members, ports than any policy has: refused in bounded space", () => {
    const rules = Array.from(
      { length: policyLimits.rules + 1 },
      (_, i) => `{"id":"${i}","direction":"in","action":"allow","peers":["any"]}`,
    );
    assert.match(
      problemsOf(() => parsePolicy(`{"mode":"full","rules":[${rules}]}`)).join(),
      /rules: has 65537 rules; 65536 is the most/,
    );
    const sets = Array.from({ length: policyLimits.sets + 1 }, (_, i) => `"${i}":[]`);
    assert.match(
      problemsOf(() => parsePolicy(`{"mode":"full","sets":{${sets}}}`)).join(),
      /more than 65536 sets/,
    );
    const ports = Array.from({ length: 32_000 }, (_, i) => i * 2 + 1).join();
    const services = Array.from(
      { length: 9 },
      (_, i) =>
        `{"id":"${i}","direction":"in","action":"allow","peers":["any"],"services":[{"protocol":"tcp","ports":[${ports}]}]}`,
    );
    assert.match(problemsOf(() => parsePolicy(`{"mode":"full","rules":[${services}]}`)).join(), /too many/);
  });

  test("a value in memory that JSON could not hold", () => {
    const cyclic: { mode: string; rules: unknown[] } = { mode: "full", rules: [] };
    cyclic.rules.push(cyclic.rules);
    const values: readonly unknown[] = [
      cyclic,
      { mode: () => "full" },
      { mode: Symbol("full") },
      { mode: "\ud800" },
      7n,
      null,
      undefined,
      new Date(),
    ];
    for (const value of values) assert.ok(problemsOf(() => policyFrom(value as PolicyDocument)).length > 0);
    assert.deepEqual(
      problemsOf(() => policyFrom({ mode: "full", version: undefined } as unknown as PolicyDocument)),
      [],
    );
  });
});

describe("properties", () => {
  test("a document means the same as JSON, as YAML, as a value and as what its policy is written as, in any chunks", () => {
    fc.assert(
      fc.property(policyDocument, (document) => {
        const text = documentText(document);
        const policy = parsePolicy(text);
        for (const again of [
          parsePolicy(asYaml(text)),
          policyFrom(document),
          parsePolicy([...policyChunks(policy)].join("")),
        ]) {
          assert.equal(policyDigest(again), policyDigest(policy));
          assert.deepEqual(again, policy);
        }
      }),
      { seed, numRuns: 500 },
    );
  });
});
