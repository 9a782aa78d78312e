import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { applyRestore, emptyRuleset, parseRuleset } from "../tracer/ruleset.js";
import { splitWords } from "../tracer/words.js";

const restore = (...lines: string[]): string => ["*filter", ...lines, "COMMIT", ""].join("\n");

describe("words of iptables-restore", () => {
  test("blanks separate, quotes hold together, a backslash inside quotes escapes", () => {
    assert.deepEqual(splitWords('-A X  -m comment --comment "a b \\" \\\\ c" -j  Y'), [
      ...["-A", "X", "-m", "comment", "--comment", 'a b " \\ c', "-j", "Y"],
    ]);
    assert.deepEqual(splitWords('--nflog-prefix ""'), ["--nflog-prefix", ""]);
  });
  test("an open quote is refused", () => {
    assert.throws(() => splitWords('--comment "a'), /open quote/);
  });
});

describe("rules", () => {
  const refused: readonly [rule: string, why: RegExp][] = [
    ["-m string --string foo --algo bm", /match that is not known: string/],
    ["-p tcp --dport http", /no number/],
    ["-p tcp --dport 80:70", /reversed/],
    ["-p tcp --dport 65536", /no number/],
    ["-p tcp ! --dport 0:65535", /no port at all/],
    ['-m u32 --u32 "0x4&0x1fff"', /no u32 test/],
    ["-p udplite --dport 5", /without its match/],
    ["-m tcp --dport 5", /without its protocol/],
    ["! -p tcp --dport 5", /without its match/],
    ["-p icmp -m multiport --dports 5", /multiport/],
    ["-p tcp -m multiport --dports 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16", /more than 15/],
    ["-p ipv6-icmp --icmpv6-type 1", /in IPv4/],
    ["-m hl --hl-eq 255", /in IPv4/],
    ["-s fd00::1", /not of IPv4/],
    ["-s 10.0.0.1,10.0.0.2", /several addresses/],
    ["-m conntrack --ctstate NEWISH", /not known: NEWISH/],
    ["-m conntrack --ctexpire 5", /not known/],
    ["-m conntrack ! --ctdir REPLY", /no direction/],
    ["-m policy --dir in", /needs --dir and --pol/],
    ["--match-set a src", /without its match/],
    ["! ! -s 10.0.0.1", /two exclamation marks/],
    ["-j ACCEPT -j DROP", /two targets/],
    ["-j REJECT --reject-with tcp-reset", /without -p tcp/],
    [`-j NFLOG --nflog-prefix ${"x".repeat(64)}`, /over 63/],
    [`-m comment --comment ${"x".repeat(256)}`, /over 255/],
    ["-j NOWHERE", /not there: NOWHERE/],
    ["-j LOG", /not there: LOG/],
    ["-p tcp --dport", /too early/],
  ];
  for (const [rule, why] of refused) {
    test(`refused: ${rule.slice(0, 60)}`, () => {
      assert.throws(() => parseRuleset(restore(`-A INPUT ${rule}`), 4), why);
    });
  }
  test("the same rule in another order of its basic options has one identity", () => {
    const one = restore("-A INPUT -s 10.0.0.1 -i lo -p tcp -m tcp --dport 80 -j DROP");
    const gone = applyRestore(
      parseRuleset(one, 4),
      restore("-D INPUT -p 6 -i lo -s 10.0.0.1/32 -m tcp --dport 80 -j DROP"),
    );
    assert.equal(gone.chains.get("INPUT")?.rules.length, 0);
  });
});

describe("iptables-restore --noflush", () => {
  test("declaring a chain makes it, and empties it when it is there", () => {
    const first = parseRuleset(restore(":ANT - [0:0]", "-A ANT -j DROP", "-A INPUT -j ANT"), 4);
    const second = applyRestore(first, restore(":ANT - [0:0]", "-A ANT -j ACCEPT"));
    assert.deepEqual(
      second.chains.get("ANT")?.rules.map((rule) => rule.target),
      [{ kind: "accept" }],
    );
    assert.equal(second.chains.get("INPUT")?.rules.length, 1);
    assert.equal(first.chains.get("ANT")?.rules[0]?.target?.kind, "drop", "the old one is not touched");
  });
  test("declaring a built-in chain sets its policy and leaves its rules", () => {
    const before = parseRuleset(restore("-A INPUT -j ACCEPT"), 4);
    const after = applyRestore(before, restore(":INPUT DROP [0:0]"));
    assert.equal(after.chains.get("INPUT")?.policy, "DROP");
    assert.equal(after.chains.get("INPUT")?.rules.length, 1);
  });
  test("insertion at the front and at an index, replacement, deletion by index", () => {
    const text = [
      "-A INPUT -s 10.0.0.3",
      "-I INPUT -s 10.0.0.1",
      "-I INPUT 2 -s 10.0.0.2",
      "-R INPUT 3 -s 10.0.0.4",
    ];
    const order = (extra: string[]): number[] =>
      (parseRuleset(restore(...text, ...extra), 4).chains.get("INPUT")?.rules ?? []).map((rule) => {
        const match = rule.matches[0];
        return match?.kind === "address" ? (match.block.bytes[3] ?? 0) : 0;
      });
    assert.deepEqual(order([]), [1, 2, 4]);
    assert.deepEqual(order(["-D INPUT 2"]), [1, 4]);
  });
  const refused: readonly [lines: string[], why: RegExp][] = [
    [["-D INPUT -j DROP"], /no such rule/],
    [["-X INPUT"], /built-in/],
    [["-N A", "-A A -j DROP", "-X A"], /not empty/],
    [["-N A", "-A INPUT -j A", "-X A"], /in use/],
    [["-N A", "-N B", "-A A -j B", "-A B -g A"], /in a circle/],
    [["-A INPUT -j OUTPUT"], /built-in/],
    [["-A NONE -j DROP"], /no chain/],
    [["-N A", "-N A"], /there already/],
    [[`-N ${"x".repeat(29)}`], /not the name/],
    [["-Z INPUT"], /not understood/],
    [[":A ACCEPT"], /policy for a chain/],
  ];
  for (const [lines, why] of refused) {
    test(`refused: ${lines.join("; ").slice(0, 60)}`, () => {
      assert.throws(() => applyRestore(emptyRuleset(4), restore(...lines)), why);
    });
  }
  test("text outside of a table, without an end or for another table is refused", () => {
    assert.throws(() => parseRuleset("-A INPUT -j DROP\n", 4), /outside/);
    assert.throws(() => parseRuleset("*filter\n", 4), /no COMMIT/);
    assert.throws(() => parseRuleset("*nat\nCOMMIT\n", 4), /not known/);
  });
});
