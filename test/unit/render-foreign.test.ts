import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { ForeignQuery } from "@antenna/netfilter/internal/foreign/foreign-match.js";
import { walkForeign } from "@antenna/netfilter/internal/foreign/foreign-walk.js";
import { parseSaved } from "@antenna/netfilter/internal/foreign/saved-tables.js";

// What `explain` says about rules that are not ours: sure where it is, `unknown` with a reason where it is not.

const query: ForeignQuery = {
  direction: "in",
  family: 4,
  protocol: 6,
  peer: Uint8Array.of(10, 0, 0, 1),
  port: 80,
  icmpType: null,
  icmpCode: null,
};

function foreign(rules: readonly string[], policy = "ACCEPT", more: Partial<ForeignQuery> = {}) {
  const chains = new Set(rules.map((rule) => rule.split(" ")[1]).filter((name) => name !== "INPUT"));
  const saved = [
    "*filter",
    `:INPUT ${policy} [0:0]`,
    ...[...chains].map((name) => `:${name} - [0:0]`),
    ...rules,
    "COMMIT",
  ];
  return walkForeign(parseSaved(saved.join("\n")), { ...query, ...more }).map(
    ({ rule, verdict }) => `${verdict}: ${rule}`,
  );
}

describe("rules of the owner", () => {
  const cases: readonly (readonly [string, readonly string[], string, readonly string[]])[] = [
    ["none", [], "ACCEPT", []],
    ["a policy that drops", [], "DROP", ["dropped: -P INPUT DROP"]],
    ["an accept before a policy that drops", ["-A INPUT -p tcp -m tcp --dport 80 -j ACCEPT"], "DROP", []],
    [
      "another port accepted",
      ["-A INPUT -p tcp -m tcp --dport 81 -j ACCEPT"],
      "DROP",
      ["dropped: -P INPUT DROP"],
    ],
    [
      "the first that drops",
      ["-A INPUT -s 10.0.0.0/8 -j DROP", "-A INPUT -j REJECT"],
      "ACCEPT",
      ["dropped: -A INPUT -s 10.0.0.0/8 -j DROP"],
    ],
    [
      "a match that is not known",
      ["-A INPUT -m recent --name x --rcheck -j DROP", "-A INPUT -p tcp -j REJECT --reject-with tcp-reset"],
      "ACCEPT",
      [
        "unknown: -A INPUT -m recent --name x --rcheck -j DROP",
        "rejected: -A INPUT -p tcp -j REJECT --reject-with tcp-reset",
      ],
    ],
    [
      "a match that is not known but cannot matter",
      ["-A INPUT -p udp -m recent --rcheck -j DROP"],
      "ACCEPT",
      [],
    ],
    [
      "what comes after a rule that may accept",
      ["-A INPUT -i eth0 -j ACCEPT"],
      "DROP",
      ["unknown: -P INPUT DROP"],
    ],
    [
      "through chains, with returns",
      [
        "-A INPUT -j one",
        "-A one -s 10.0.0.1/32 -j RETURN",
        "-A one -j DROP",
        "-A INPUT -j two",
        '-A two -m comment --comment "say \\"no\\"" -j DROP',
      ],
      "ACCEPT",
      ['dropped: -A two -m comment --comment "say \\"no\\"" -j DROP'],
    ],
    [
      "a chain that may be entered",
      ["-A INPUT -d 192.0.2.1/32 -j one", "-A one -j DROP"],
      "ACCEPT",
      ["unknown: -A one -j DROP"],
    ],
    ["logging goes on", ["-A INPUT -j LOG", "-A INPUT -m limit --limit 1/sec -j NFLOG"], "ACCEPT", []],
    [
      "states of other packets",
      ["-A INPUT -m conntrack --ctstate INVALID,ESTABLISHED -j DROP"],
      "ACCEPT",
      [],
    ],
    [
      "negations",
      ["-A INPUT ! -s 10.0.0.0/8 -j DROP", "-A INPUT ! -p udp -j DROP"],
      "ACCEPT",
      ["dropped: -A INPUT ! -p udp -j DROP"],
    ],
    ["our own chains are not told", ["-A INPUT -j ANT-IN", "-A ANT-IN -j DROP"], "ACCEPT", []],
    ["a target that is not known", ["-A INPUT -j TARPIT"], "ACCEPT", ["unknown: -A INPUT -j TARPIT"]],
    ["loops end", ["-A INPUT -j one", "-A one -g one"], "ACCEPT", []],
  ];
  for (const [name, rules, policy, expected] of cases) {
    test(name, () => assert.deepEqual(foreign(rules, policy), expected));
  }

  test("ICMP by type and code", () => {
    const echo = { protocol: 1, port: null, icmpType: 8, icmpCode: 0 };
    assert.deepEqual(foreign(["-A INPUT -p icmp -m icmp --icmp-type 0 -j DROP"], "ACCEPT", echo), []);
    const drop = "-A INPUT -p icmp -m icmp --icmp-type 8/0 -j DROP";
    assert.deepEqual(foreign([drop], "ACCEPT", echo), [`dropped: ${drop}`]);
  });

  test("of a packet that stays on this host", () => {
    const local = { loopback: true };
    assert.deepEqual(foreign(["-A INPUT -i lo -j ACCEPT"], "DROP", local), []);
    assert.deepEqual(foreign(["-A INPUT ! -i lo -j DROP", "-A INPUT -i eth0 -j DROP"], "ACCEPT", local), []);
  });

  test("what we accept for good meets nothing that comes later in the table", () => {
    const rules = ["-A INPUT -j ANT-IN", "-A INPUT -j DROP"];
    assert.deepEqual(foreign(rules, "DROP", { accepted: true }), []);
    assert.deepEqual(foreign(rules, "DROP", { accepted: false }), ["dropped: -A INPUT -j DROP"]);
    assert.deepEqual(foreign(["-A INPUT -j DROP", ...rules], "DROP", { accepted: true }), [
      "dropped: -A INPUT -j DROP",
    ]);
  });

  test("bytes that are no table are no reason to stop", () => {
    for (const text of [
      "",
      "\0",
      "*filter",
      ":INPUT",
      "-A INPUT -j DROP",
      "*filter\n:INPUT DROP\n-A INPUT ! -j",
      '*filter\n:INPUT ACCEPT\n-A INPUT "',
    ]) {
      assert.doesNotThrow(() => walkForeign(parseSaved(text), query), text);
    }
  });
});
