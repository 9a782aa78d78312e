import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parseAddress } from "../tracer/address-block.js";
import { parseSets } from "../tracer/kernel-set.js";
import { parseRuleset } from "../tracer/ruleset.js";
import type { Trace, TraceOptions } from "../tracer/trace.js";
import { trace } from "../tracer/trace.js";
import type { TracedPacket } from "../tracer/traced-packet.js";

const syn: TracedPacket = {
  ...{
    hook: "INPUT",
    family: 4,
    inInterface: "eth0",
    outInterface: "",
    protocol: 6,
    laterFragment: false,
    misread: null,
    authentication: false,
    behind: null,
  },
  ...{ sourcePort: 40000, destinationPort: 80, icmpType: null, icmpCode: null, tcpFlags: 2, hopLimit: 64 },
  source: parseAddress("10.0.0.1"),
  destination: parseAddress("10.0.0.2"),
  tracking: {
    ...{ kind: "entry", state: "NEW", direction: "ORIGINAL", mark: 0, status: new Set<string>() },
    originalDestination: parseAddress("10.0.0.2"),
    originalDestinationPort: 80,
  },
  ipsec: false,
};
const syn6: TracedPacket = {
  ...syn,
  family: 6,
  source: parseAddress("fd00::1"),
  destination: parseAddress("fd00::2"),
};
const ping: TracedPacket = {
  ...{ ...syn, protocol: 1, sourcePort: null, destinationPort: null, tcpFlags: null },
  icmpType: 8,
  icmpCode: 0,
};
const untracked: TracedPacket = { ...syn, tracking: { kind: "untracked" } };
const fragment: TracedPacket = {
  ...{ ...syn, laterFragment: true, sourcePort: null, destinationPort: null, tcpFlags: null },
  tracking: { kind: "invalid" },
};

const misread = { sourcePort: 0, destinationPort: 80, tcpFlags: 2 };

const sets = parseSets(`create hosts hash:ip family inet maxelem 10
add hosts 10.0.0.1
create nets hash:net family inet
add nets 10.0.0.0/24
add nets 128.0.0.0/1
create pairs hash:net,port family inet
add pairs 10.0.0.0/30,tcp:80
add pairs 10.0.0.1,icmp:8/0
add pairs 10.0.0.1,47:0
add pairs 10.0.0.1,33:0
create hosts6 hash:ip family inet6
add hosts6 fd00::1
`);

function run(rules: string, packet: TracedPacket, options?: TraceOptions): Trace {
  const text = `*filter\n${rules.replaceAll(/^(?=[^-:\n])/gm, "-A INPUT ")}\nCOMMIT\n`;
  return trace(parseRuleset(text, packet.family), sets, packet, options);
}

describe("matches", () => {
  const cases: readonly [rule: string, packet: TracedPacket, holds: boolean][] = [
    ["-i eth0", syn, true],
    ["-i et+", syn, true],
    ["! -i lo", syn, true],
    ["-o eth0", syn, false],
    ["-s 10.0.0.0/31", syn, true],
    ["-s 10.0.0.0/32", syn, false],
    ["! -d 10.0.0.0/255.255.255.0", syn, false],
    ["-s fd00::/64 -d ::/0", syn6, true],
    ["-p 6", syn, true],
    ["! -p udp", syn, true],
    ["-p all", syn, true],
    ["-p tcp --dport 80:90", syn, true],
    ["-p tcp -m tcp ! --dport 80", syn, false],
    ["-p tcp --sport :39999", syn, false],
    ["-p tcp -m multiport --dports 1,70:80", syn, true],
    ["-p tcp -m multiport --ports 40000", syn, true],
    ["-p tcp -m multiport ! --sports 40000", syn, false],
    ["-p tcp --dport 80", fragment, false],
    ["-p tcp ! --dport 81", fragment, false],
    ["-p tcp", fragment, true],
    ["-p tcp --dport 80", { ...fragment, misread }, true],
    ["-p tcp --tcp-flags ALL SYN", { ...fragment, misread }, true],
    ["-p tcp -m multiport --dports 80", { ...fragment, misread }, false],
    ["-p sctp --dport 80", { ...fragment, misread, protocol: 132 }, false],
    ["-f", fragment, true],
    ["! -f", fragment, false],
    ["-p tcp --tcp-flags SYN,FIN,RST SYN", syn, true],
    ["-p tcp ! --syn", syn, false],
    ["-p icmp --icmp-type 8", ping, true],
    ["-p icmp --icmp-type 8/1", ping, false],
    ["-p icmp --icmp-type any", ping, true],
    ["-p icmp --icmp-type 255", ping, true],
    ["-p icmp ! --icmp-type 8/0", ping, false],
    ["-p icmp ! --icmp-type 3", { ...ping, laterFragment: true, icmpType: null, icmpCode: null }, false],
    ["-m set --match-set hosts src", syn, true],
    ["-m set ! --match-set hosts dst", syn, true],
    ["-m set --match-set nets dst", { ...syn, destination: parseAddress("200.0.0.1") }, true],
    ["-m set --match-set pairs src,dst", syn, true],
    ["-m set --match-set pairs dst,dst", syn, true],
    ["-m set --match-set pairs src,src", syn, false],
    ["-m set --match-set pairs src", syn, false],
    ["-m set --match-set pairs src,dst", ping, true],
    ["-m set --match-set pairs src,dst", { ...ping, icmpType: 0 }, false],
    ["-m set --match-set pairs src,dst", { ...ping, protocol: 47, icmpType: null }, true],
    ["-m set --match-set pairs src,dst", { ...syn, protocol: 33 }, true],
    ["-m set --match-set pairs src,dst", fragment, false],
    ["-m set ! --match-set pairs src,dst", fragment, true],
    ["-m set --match-set hosts6 src", syn, false],
    ["-m set --match-set hosts6 src", syn6, true],
    ["-m conntrack --ctstate NEW,RELATED", syn, true],
    ["-m conntrack ! --ctstate NEW", syn, false],
    ["-m conntrack --ctstate UNTRACKED", untracked, true],
    ["-m conntrack --ctstate INVALID", fragment, true],
    ["-m conntrack --ctstate UNTRACKED --ctdir REPLY", untracked, true],
    ["-m conntrack --ctdir ORIGINAL", untracked, false],
    ["-m conntrack --ctdir REPLY", syn, false],
    ["-m conntrack --ctdir ORIGINAL", syn, true],
    ["-m conntrack --ctorigdst 10.0.0.2 --ctorigdstport 80:81", syn, true],
    ["-m conntrack --ctorigdst 10.0.0.3", syn, false],
    ["-m conntrack ! --ctstatus CONFIRMED", syn, true],
    ["-m conntrack --ctstatus NONE", syn, true],
    ["-m connmark --mark 0x10/0x10", syn, false],
    ["-m connmark ! --mark 0x10/0x10", syn, true],
    ["-m connmark ! --mark 0x10/0x10", untracked, false],
    ["-m ah", { ...syn6, authentication: true }, true],
    ["-p ah", { ...syn6, authentication: true }, false],
    ['-m u32 --u32 "0x4&0x1fff=0x0&&0x0>>0x16&0x3c@0x0>>0x18=0xff"', { ...ping, icmpType: 255 }, true],
    ['-m u32 --u32 "0x4&0x1fff=0x0&&0x0>>0x16&0x3c@0x0>>0x18=0xff"', ping, false],
    ['-m u32 ! --u32 "8>>24=1:64,255"', ping, false],
    ['-m u32 --u32 "100=0:0xffffffff"', ping, false],
    ["-m policy --dir in --pol none", syn, true],
    ["-m policy --dir in --pol ipsec", syn, false],
    ["-m ttl --ttl-eq 64", syn, true],
    ["-m ttl ! --ttl-eq 64", syn, false],
    ["-m hl --hl-gt 64", syn6, false],
  ];
  for (const [rule, packet, holds] of cases) {
    test(`${rule}: ${holds}`, () => {
      assert.equal(run(`-A INPUT ${rule} -j DROP`, packet).verdict, holds ? "dropped" : "accepted");
    });
  }
  test("what nobody made is not guessed", () => {
    assert.throws(() => run("-A INPUT -m set --match-set nobody src -j DROP", syn), /no such set/);
  });
});

describe("walking the chains", () => {
  test("a jump returns behind itself, at the end and by RETURN", () => {
    const rules = "-N A\n-A A -s 10.0.0.1 -j RETURN\n-A A -j ACCEPT\n-A INPUT -j A\n-A INPUT -j DROP";
    assert.deepEqual(run(rules, syn).path, ["INPUT:1", "A:1", "INPUT:2"]);
    assert.equal(run(rules, { ...syn, source: parseAddress("10.0.0.9") }).by, "A:2");
  });
  test("what returns after a goto goes to the caller of the last jump", () => {
    const rules = "-N A\n-N B\n-A A -g B\n-A A -j DROP\n-A INPUT -j A\n-A INPUT -j ACCEPT";
    assert.deepEqual(run(rules, syn).path, ["INPUT:1", "A:1", "INPUT:2"]);
  });
  test("a goto from a built-in chain returns to its policy", () => {
    assert.deepEqual(run(":INPUT DROP\n-N A\n-A INPUT -g A\n-A INPUT -j ACCEPT", syn), {
      ...{ verdict: "dropped", rejectedWith: null, told: [], path: ["INPUT:1"], by: null },
    });
  });
  test("NFLOG tells and goes on; a rule without a target too", () => {
    const rules =
      '-A INPUT\n-A INPUT -j NFLOG --nflog-group 7 --nflog-prefix "a b"\n-A INPUT -p tcp -j REJECT --reject-with tcp-reset';
    const seen = run(rules, syn);
    assert.deepEqual([seen.verdict, seen.rejectedWith, seen.told], ["rejected", "tcp-reset", ["a b"]]);
  });
  test("a limit that is used up tells nothing and changes nothing else", () => {
    const rules = "-A INPUT -m limit --limit 50/second -j NFLOG --nflog-prefix x\n-A INPUT -j DROP";
    assert.deepEqual(run(rules, syn).told, ["x"]);
    assert.deepEqual(run(rules, syn, { withinLimit: false }).told, []);
    assert.equal(run(rules, syn, { withinLimit: false }).verdict, "dropped");
  });
});
