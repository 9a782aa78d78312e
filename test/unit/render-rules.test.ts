import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  type BuiltinReading,
  nothingRead,
  type TableReading,
} from "@antenna/netfilter/internal/backend/rule-table.js";
import { isOurChain, type Ruleset } from "@antenna/netfilter/internal/render/chain.js";
import { logPrefix } from "@antenna/netfilter/internal/render/log-prefix.js";
import { renderRules } from "@antenna/netfilter/internal/render/render-rules.js";
import { removalText, switchText } from "@antenna/netfilter/internal/render/restore-text.js";
import { serviceConditions } from "@antenna/netfilter/internal/render/service-conditions.js";
import { compile, type Installed, type Policy, parsePolicy, planSafe } from "@antenna/sdk";
import { randomPolicy } from "./arbitrary-policy.js";
import { Random, runSeed } from "./random.js";

const options = { cutMark: 0x1000_0000, nflogGroup: 4711, nflogRate: 50 };

function installedFor(policy: Policy): Installed {
  const program = compile(policy, { essentials: [] });
  assert.ok(program !== null);
  return planSafe(null, program, new Set()).installed;
}

function rendered(document: object, family: 4 | 6 = 4): Ruleset {
  return renderRules(installedFor(parsePolicy(JSON.stringify({ version: 1, ...document }))), family, options);
}

function rules(ruleset: Ruleset, chain: string): readonly string[] {
  return ruleset.chains.find((each) => each.name === chain)?.rules ?? [];
}

const denyAll = {
  mode: "full",
  rules: [{ id: "d", direction: "in", action: "override-deny", peers: ["any"] }],
};

describe("order of a chain", () => {
  const cut = "--mark 0x10000000/0x10000000";

  test("established and not cut, loopback, cut, related, then the stages", () => {
    const input = rules(rendered(denyAll), "ANT-IN");
    assert.equal(input[0], `-m conntrack --ctstate ESTABLISHED -m connmark ! ${cut} -j RETURN`);
    assert.match(input[1] ?? "", /^-i lo -m comment --comment "ant:[0-9a-f]{20}" -j RETURN$/);
    assert.equal(input[2], `-m connmark ${cut} -j DROP`);
    assert.match(input[3] ?? "", /^-p icmp -g ANT-/);
    assert.equal(input.at(-1), "-g ANT-IN-ODENY");
  });

  test("guards come before what is established", () => {
    const secure = { id: "s", direction: "in", action: "allow", peers: ["any"], secure: true };
    const ruleset = rendered({ mode: "full", rules: [secure] });
    const input = rules(ruleset, "ANT-IN");
    assert.match(input[0] ?? "", /^-i lo /);
    assert.equal(input[1], `-m connmark ${cut} -j DROP`);
    assert.match(input[2] ?? "", /^-m policy --dir in --pol none -g ANT-IN-GUARD$/);
    assert.equal(rules(ruleset, "ANT-IN-STATE")[0], "-m conntrack --ctstate ESTABLISHED -j RETURN");
  });

  test("allow rules are asked before essentials, denials after them", () => {
    const rule = { id: "r", direction: "in", peers: ["any"], services: [{ protocol: "tcp", ports: [80] }] };
    const allows = rendered({ mode: "full", rules: [{ ...rule, action: "allow" }] });
    assert.equal(rules(allows, "ANT-IN").at(-1), "-g ANT-IN-ALLOW");
    assert.match(rules(allows, "ANT-IN-ALLOW").at(-1) ?? "", / -g ANT-IN-ESSENTIAL$/);
    assert.equal(rules(allows, "ANT-IN-ESSENTIAL").at(-1), "-g ANT-IN-DEFAULT");
    const denies = rendered({ mode: "full", rules: [{ ...rule, action: "override-deny" }] });
    assert.ok(!denies.chains.some(({ name }) => name === "ANT-IN-ESSENTIAL"));
  });

  test("where nothing can be denied, only what was cut is looked for", () => {
    const out = rules(rendered({ mode: "selective", rules: [] }), "ANT-OUT");
    assert.equal(out.length, 3);
    assert.deepEqual(out.slice(1), [`-m connmark ${cut} -j DROP`, "-j RETURN"]);
  });

  test("nothing is dropped where the mode only looks", () => {
    const { chains } = rendered({ ...denyAll, mode: "visibility", reject: true });
    for (const { rules: texts } of chains)
      for (const text of texts) assert.doesNotMatch(text, /-j (?:DROP|REJECT)/);
    assert.ok(chains.some((chain) => chain.rules.some((text) => text.includes("-j NFLOG"))));
  });

  test("every chain is reached by goto; only the jump of a built-in chain is a jump", () => {
    const random = new Random(runSeed("gotos"));
    for (let round = 0; round < 50; round++) {
      const installed = installedFor(
        randomPolicy(random, { modes: ["full", "selective", "visibility"], secure: 0.3 }),
      );
      for (const family of [4, 6] as const) {
        const ruleset = renderRules(installed, family, options);
        const names = new Set(ruleset.chains.map((chain) => chain.name));
        assert.equal(names.size, ruleset.chains.length);
        for (const chain of ruleset.chains) {
          assert.ok(isOurChain(chain.name), chain.name);
          assert.ok(chain.name.length <= 28, chain.name);
          for (const rule of chain.rules) {
            assert.doesNotMatch(rule, /-j ANT-/);
            const target = /-g (\S+)$/.exec(rule)?.[1];
            if (target !== undefined) assert.ok(names.has(target), `${chain.name} goes to ${target}`);
          }
          const sealed = chain.rules.filter((rule) =>
            /-m comment --comment "ant:[0-9a-f]{20}" -[jg] /.test(rule),
          );
          assert.equal(sealed.length, 1, chain.name);
        }
      }
    }
  });

  test("a change in one stage leaves the chains of the others as they are", () => {
    const rule = (id: string, port: number, action: string) => ({
      id,
      direction: "in",
      action,
      peers: ["any"],
      services: [{ protocol: "tcp", ports: [port] }],
    });
    const before = rendered({ mode: "full", rules: [rule("a", 80, "allow"), rule("d", 25, "deny")] });
    const after = rendered({ mode: "full", rules: [rule("a", 80, "allow"), rule("d", 26, "deny")] });
    for (const chain of ["ANT-IN", "ANT-IN-ALLOW", "ANT-IN-ESSENTIAL", "ANT-IN-DEFAULT", "ANT-OUT"]) {
      assert.deepEqual(rules(after, chain), rules(before, chain), chain);
    }
    assert.notDeepEqual(rules(after, "ANT-IN-DENY"), rules(before, "ANT-IN-DENY"));
  });
});

describe("services", () => {
  const of = (service: object) => ({ protocol: 6, ports: null, icmpType: null, icmpCode: null, ...service });
  const single = (port: number) => ({ from: port, to: port });

  test("a multiport match holds fifteen ports, a range counts as two", () => {
    const ports = [
      ...Array.from({ length: 14 }, (_, index) => single(100 + 2 * index)),
      { from: 200, to: 300 },
    ];
    const conditions = serviceConditions(of({ ports }), 4, "destination");
    assert.equal(conditions.length, 2);
    assert.equal(conditions[1], "-p tcp -m multiport --dports 200:300 ");
  });

  test("one port is matched by the protocol's own match, but never in later fragments", () => {
    const dns = of({ ports: [single(53)] });
    assert.deepEqual(serviceConditions(dns, 4, "source"), ["-p tcp ! -f -m tcp --sport 53 "]);
    assert.deepEqual(serviceConditions(dns, 6, "source"), ["-p tcp -m multiport --sports 53 "]);
    for (const family of [4, 6] as const) {
      const behind = serviceConditions(dns, family, "destination", true);
      assert.deepEqual(behind, ["-p tcp -m tcp --dport 53 "]);
    }
    // Only what all iptables write alike.
    for (const other of [
      of({ ports: [single(1), single(5)] }),
      of({ ports: [{ from: 9, to: 65_535 }] }),
      of({ protocol: 132, ports: [single(5)] }),
    ]) {
      for (const hasPorts of [true, false]) {
        assert.match(serviceConditions(other, 4, "destination", hasPorts)[0] ?? "", /-m multiport /);
      }
    }
  });

  test("protocols without a family's ICMP match nothing, and IPv6 finds AH among the extension headers", () => {
    assert.deepEqual(serviceConditions(of({ protocol: 58, icmpType: 128 }), 4, "destination"), []);
    assert.deepEqual(serviceConditions(of({ protocol: 1, icmpType: 8 }), 6, "destination"), []);
    assert.deepEqual(serviceConditions(of({ protocol: 51 }), 6, "destination"), ["-m ah "]);
    assert.deepEqual(serviceConditions(of({ protocol: 51 }), 4, "destination"), ["-p ah "]);
  });

  test("ICMP type 255 is not iptables' word for every type", () => {
    const [condition = ""] = serviceConditions(
      of({ protocol: 1, icmpType: 255, icmpCode: 3 }),
      4,
      "destination",
    );
    assert.doesNotMatch(condition, /icmp-type/);
    assert.match(condition, /0x10=0xff03/);
  });
});

describe("prefixes", () => {
  test("plain ids are told as they are, others by a hash that no id can be", () => {
    assert.equal(logPrefix({ kind: "rule", rule: "web-in" }), "ant:rule:web-in");
    assert.equal(logPrefix({ kind: "default" }), "ant:default");
    for (const rule of ['a" -j ACCEPT', "a b", "$(id)", "#", "ü", "x".repeat(128), "--help", "'"]) {
      const prefix = logPrefix({ kind: "secure", rule });
      assert.match(prefix, /^ant:secure:(?:#[0-9a-f]{32}|--help)$/);
      assert.ok(prefix.length <= 63);
    }
  });

  test("no id of a rule appears in the text unless it is plain", () => {
    const id = `x" -j ACCEPT\\ '`;
    const { chains } = rendered({
      mode: "full",
      rules: [{ id, direction: "in", action: "deny", peers: ["any"] }],
    });
    for (const { rules: texts } of chains)
      for (const text of texts) assert.ok(!text.includes("ACCEPT"), text);
  });
});

describe("restore text", () => {
  const reading = (
    chains: readonly string[],
    input: BuiltinReading,
    output: BuiltinReading,
  ): TableReading => ({
    generation: 1,
    exists: true,
    chains: new Map(chains.map((name) => [name, "f"])),
    builtins: { INPUT: input, OUTPUT: output },
  });
  const first: BuiltinReading = { rules: 3, jumps: [0] };
  const ruleset = rendered(denyAll);
  const all = new Set(ruleset.chains.map((chain) => chain.name));

  test("from nothing: chains, rules, jumps, in one transaction", () => {
    const lines = (switchText(ruleset, nothingRead, new Set()) ?? "").split("\n");
    assert.equal(lines[0], "*filter");
    assert.deepEqual(lines.slice(-4), ["-I INPUT 1 -j ANT-IN", "-I OUTPUT 1 -j ANT-OUT", "COMMIT", ""]);
    assert.equal(lines.filter((line) => line.startsWith(":")).length, ruleset.chains.length);
    assert.ok(!lines.some((line) => /^-[FXP]/.test(line)));
  });

  test("nothing to do gives no text", () => {
    assert.equal(switchText(ruleset, reading([...all], first, first), all), null);
    assert.equal(removalText(nothingRead, new Set()), null);
  });

  test("a displaced jump is taken out by its full text, as often as it is there, and put first", () => {
    const text = switchText(ruleset, reading([...all], { rules: 4, jumps: [1, 3] }, first), all);
    assert.equal(text, "*filter\n-D INPUT -j ANT-IN\n-D INPUT -j ANT-IN\n-I INPUT 1 -j ANT-IN\nCOMMIT\n");
  });

  test("a chain that is no longer meant is emptied and goes last", () => {
    const stale = "ANT-0123456789abcdef0123";
    const text = switchText(ruleset, reading([...all, stale], first, first), all);
    assert.equal(text, `*filter\n:${stale} - [0:0]\n-X ${stale}\nCOMMIT\n`);
  });

  test("removal takes jumps before chains, and keeps what somebody else leads to", () => {
    const text = removalText(
      reading(["ANT-IN", "ANT-OUT"], first, { rules: 0, jumps: [] }),
      new Set(["ANT-IN"]),
    );
    assert.equal(
      text,
      "*filter\n:ANT-IN - [0:0]\n:ANT-OUT - [0:0]\n-D INPUT -j ANT-IN\n-X ANT-OUT\nCOMMIT\n",
    );
  });

  test("names that owners could choose are not ours", () => {
    for (const name of ["ANT-FARM", "ANT", "ANTENNA", "ant-in", "ANT-IN-USER", "ANT-0123", "XANT-IN"]) {
      assert.equal(isOurChain(name), false, name);
    }
    for (const name of ["ANT-IN", "ANT-OUT-STATE", "ANT-0123456789abcdef0123"])
      assert.equal(isOurChain(name), true, name);
  });
});
