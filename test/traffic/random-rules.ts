import type { Random } from "../unit/random.js";
import { pool } from "./random-probe.js";
import { subjectAddresses } from "./stand.js";

/** iptables-restore text of random rules in chains of random shape, and the sets they name in the words of ipset. */
export interface RandomRules {
  readonly sets: string;
  readonly rules: string;
}

const bit = "0x10000000";

/** `marker`: tells the sets of one ruleset from another's. Every kind of match and target of the tracer turns up. */
export function randomRules(random: Random, family: 4 | 6, marker: string): RandomRules {
  const sets = randomSets(random, family, marker);
  const lines = ["*filter", ":INPUT ACCEPT [0:0]", ":OUTPUT ACCEPT [0:0]", "-F INPUT", "-F OUTPUT"];
  let told = 0;
  for (const hook of ["INPUT", "OUTPUT"] as const) {
    // A chain only reaches later ones, so that there are no circles.
    const chains = [hook, ...["A", "B", "C"].map((letter) => `${marker}-${hook}-${letter}`)];
    lines.push(...chains.slice(1).map((chain) => `:${chain} - [0:0]`));
    chains.forEach((chain, depth) => {
      for (let count = 8; count > 0; count--) {
        const later = chains.slice(depth + 1);
        const { needs, target } = randomTarget(random, later, told);
        if (target.includes("NFLOG")) told += 1;
        lines.push(
          ["-A", chain, ...needs, ...randomMatches(random, family, hook, marker, needs), target].join(" "),
        );
      }
    });
  }
  lines.push(
    ...["INPUT", "OUTPUT"].map((hook) => `-A ${hook} -j NFLOG --nflog-group 4712 --nflog-prefix returned`),
  );
  return { sets, rules: [...lines, "COMMIT", ""].join("\n") };
}

/** Takes the chains of an earlier ruleset away. */
export function clearRules(marker: string): string {
  const chains = ["INPUT", "OUTPUT"].flatMap((hook) =>
    ["A", "B", "C"].map((letter) => `${marker}-${hook}-${letter}`),
  );
  return [
    ...["*filter", "-F INPUT", "-F OUTPUT"],
    ...chains.map((chain) => `-F ${chain}`),
    ...chains.map((chain) => `-X ${chain}`),
    ...["COMMIT", ""],
  ].join("\n");
}

export function setNames(marker: string): readonly string[] {
  return ["hosts", "nets", "host-pairs", "net-pairs"].map((kind) => `${marker}-${kind}`);
}

function randomSets(random: Random, family: 4 | 6, marker: string): string {
  const [hosts = "", nets = "", hostPairs = "", netPairs = ""] = setNames(marker);
  const inet = family === 4 ? "inet" : "inet6";
  const lines = [
    `create ${hosts} hash:ip family ${inet}`,
    `create ${nets} hash:net family ${inet}`,
    `create ${hostPairs} hash:ip,port family ${inet}`,
    `create ${netPairs} hash:net,port family ${inet}`,
  ];
  const members = new Set<string>();
  for (let count = 3; count > 0; count--) members.add(`add ${hosts} ${random.pick(addresses(family))}`);
  for (let count = 3; count > 0; count--) members.add(`add ${nets} ${randomNetwork(random, family)}`);
  for (let count = 40; count > 0; count--) {
    members.add(`add ${hostPairs} ${random.pick(addresses(family))},${randomService(random, family)}`);
    members.add(`add ${netPairs} ${randomNetwork(random, family)},${randomService(random, family)}`);
  }
  return `${[...lines, ...members].join("\n")}\n`;
}

function addresses(family: 4 | 6): readonly string[] {
  return [...pool.peers[family], ...subjectAddresses[family]];
}

function randomNetwork(random: Random, family: 4 | 6): string {
  return random.pick(
    family === 4
      ? ["10.1.0.0/24", "10.1.0.1/32", "10.0.0.0/8", "128.0.0.0/1", "10.64.0.2/31", "203.0.113.0/24"]
      : ["fd01::/64", "fd01::1/128", "fc00::/7", "2000::/3", "fd64::2/127", "8000::/1"],
  );
}

function randomService(random: Random, family: 4 | 6): string {
  const icmp = family === 4 ? "icmp:8/0" : "icmpv6:128/0";
  const port = random.pick(pool.ports);
  return random.pick([
    `tcp:${port}`,
    `tcp:${port}`,
    `udp:${port}`,
    `sctp:${port}`,
    `udplite:${port}`,
    icmp,
    "47:0",
    "33:0",
  ]);
}

/** Mostly such that the walk goes on: each NFLOG rule shows for itself whether it matched. */
const targets = "drop accept return reject reset log log log log log log log count jump jump goto".split(" ");
const extensions =
  "set set set set set set state direction original status mark policy hops limit ah u32 comment".split(" ");

function randomTarget(
  random: Random,
  later: readonly string[],
  told: number,
): { needs: string[]; target: string } {
  const chain = later.length === 0 ? null : random.pick(later);
  const kind = random.pick(targets);
  switch (kind) {
    case "drop":
      return { needs: [], target: "-j DROP" };
    case "accept":
      return { needs: [], target: "-j ACCEPT" };
    case "reject":
      return { needs: [], target: "-j REJECT" };
    case "reset":
      return { needs: ["-p", "tcp"], target: "-j REJECT --reject-with tcp-reset" };
    case "log":
      return { needs: [], target: `-j NFLOG --nflog-group 4711 --nflog-prefix "r \\"${told}\\""` };
    case "count":
      return { needs: [], target: "" };
    case "jump":
    case "goto":
      if (chain !== null) return { needs: [], target: `${kind === "jump" ? "-j" : "-g"} ${chain}` };
      break;
  }
  return { needs: [], target: "-j RETURN" };
}

function randomMatches(
  random: Random,
  family: 4 | 6,
  hook: "INPUT" | "OUTPUT",
  marker: string,
  needs: readonly string[],
): string[] {
  const plain = needs.length === 0;
  const words: string[] = [];
  if (plain && random.chance(0.35)) words.push(...withProtocol(random, family));
  else if (!plain && random.chance(0.3)) words.push(...tcpOption(random));
  if (random.chance(0.15)) words.push(...basic(random, family, hook));
  if (random.chance(words.length === 0 ? 0.9 : 0.3)) words.push(...extended(random, family, hook, marker));
  return words;
}

function not(random: Random): string[] {
  return random.chance(0.3) ? ["!"] : [];
}

function portRange(random: Random): string {
  const port = random.pick(pool.ports);
  return random.pick([`${port}`, `${port}`, `${port}:65535`, `:${port}`, "80:443", "2000:65535"]);
}

function withProtocol(random: Random, family: 4 | 6): string[] {
  const icmp = family === 4 ? "icmp" : "ipv6-icmp";
  const kind = random.pick([
    "name",
    "number",
    "not",
    "ports",
    "ports",
    "multiport",
    "multiport",
    "icmp",
    "icmp",
    "flags",
  ] as const);
  switch (kind) {
    case "name":
      return ["-p", random.pick(["tcp", "udp", icmp, "sctp", "udplite", "dccp", "gre", "ah", "all"])];
    case "number":
      return ["-p", random.pick(["6", "17", "47", "51", "112", "255", "0"])];
    case "not":
      return ["!", "-p", random.pick(["tcp", "udp", icmp, "50"])];
    case "ports": {
      const protocol = random.pick(["tcp", "udp", "sctp", "dccp"]);
      const range = portRange(random);
      const loaded = random.chance(0.5) ? ["-m", protocol] : [];
      return [
        "-p",
        protocol,
        ...loaded,
        ...(range.startsWith(":65535") ? [] : not(random)),
        random.pick(["--dport", "--dport", "--sport"]),
        range,
      ];
    }
    case "multiport": {
      const protocol = random.pick(["tcp", "udp", "sctp", "dccp", "udplite"]);
      const list = [...new Set([random.pick(pool.ports), random.pick(pool.ports)])].join(",");
      const ports = random.pick([list, "22,80:443,65535", "1:52,54:79"]);
      return [
        "-p",
        protocol,
        "-m",
        "multiport",
        ...not(random),
        random.pick(["--dports", "--dports", "--sports", "--ports"]),
        ports,
      ];
    }
    case "icmp": {
      const types =
        family === 4
          ? ["8", "8/0", "8/1", "0", "3", "3/1", "11", "any", "255"]
          : ["128", "128/0", "135", "136/1", "1", "2/1", "3"];
      return ["-p", icmp, ...not(random), family === 4 ? "--icmp-type" : "--icmpv6-type", random.pick(types)];
    }
    case "flags":
      return ["-p", "tcp", ...tcpOption(random)];
  }
}

function tcpOption(random: Random): string[] {
  return random.pick([
    [...not(random), "--tcp-flags", "SYN,FIN,RST", "RST"],
    [...not(random), "--tcp-flags", "SYN,ACK,FIN,RST", "SYN"],
    ["--tcp-flags", "ALL", "NONE"],
    ["--tcp-flags", "ACK,PSH", "ACK"],
    [...not(random), "--syn"],
  ]);
}

function basic(random: Random, family: 4 | 6, hook: "INPUT" | "OUTPUT"): string[] {
  const kind = random.pick(["interface", "source", "destination", "fragment", "fragment"] as const);
  const block = random.chance(0.5) ? random.pick(addresses(family)) : randomNetwork(random, family);
  switch (kind) {
    case "interface":
      return [...not(random), hook === "INPUT" ? "-i" : "-o", random.pick(["lo", "eth0", "eth+", "l+"])];
    case "source":
      return [...not(random), "-s", block];
    case "destination":
      return [...not(random), "-d", block];
    case "fragment":
      return family === 4 ? [...not(random), "-f"] : [];
  }
}

function extended(random: Random, family: 4 | 6, hook: "INPUT" | "OUTPUT", marker: string): string[] {
  const kind = random.pick(extensions);
  switch (kind) {
    case "set": {
      const name = random.pick(setNames(marker));
      const sides = random.pick(
        name.endsWith("pairs") ? ["src,dst", "dst,dst", "src,src", "dst,src", "src"] : ["src", "dst"],
      );
      return ["-m", "set", ...not(random), "--match-set", name, sides];
    }
    case "state": {
      const states = [
        "NEW",
        "ESTABLISHED",
        "RELATED",
        "INVALID",
        "UNTRACKED",
        "NEW,INVALID",
        "RELATED,ESTABLISHED",
      ];
      return ["-m", "conntrack", ...not(random), "--ctstate", random.pick(states)];
    }
    case "direction": {
      const state = random.chance(0.4) ? ["--ctstate", "ESTABLISHED,UNTRACKED"] : [];
      return ["-m", "conntrack", ...state, "--ctdir", random.pick(["ORIGINAL", "REPLY"])];
    }
    case "original": {
      const address = ["--ctorigdst", random.pick([...addresses(family), randomNetwork(random, family)])];
      const port = [...not(random), "--ctorigdstport", portRange(random).replace(/^:/, "0:")];
      return ["-m", "conntrack", ...random.pick([[...not(random), ...address], port, [...address, ...port]])];
    }
    case "status":
      return [
        "-m",
        "conntrack",
        ...not(random),
        "--ctstatus",
        random.pick(["CONFIRMED", "ASSURED", "SEEN_REPLY"]),
      ];
    case "mark":
      return [
        "-m",
        "connmark",
        ...not(random),
        "--mark",
        random.pick([`${bit}/${bit}`, "0/0xff", "0x1/0x1"]),
      ];
    case "policy":
      return [
        "-m",
        "policy",
        "--dir",
        hook === "INPUT" ? "in" : "out",
        "--pol",
        random.pick(["none", "ipsec"]),
      ];
    case "hops": {
      const [name, option] = family === 4 ? ["ttl", "--ttl"] : ["hl", "--hl"];
      return [
        "-m",
        name,
        ...(random.chance(0.3)
          ? ["!", `${option}-eq`]
          : [random.pick([`${option}-eq`, `${option}-lt`, `${option}-gt`])]),
        random.pick(["64", "255", "1"]),
      ];
    }
    case "ah":
      return family === 6 ? ["-m", "ah"] : [];
    case "u32": {
      const type = random.pick(["8", "0xd", "0xff", "0:0xb"]);
      const code = random.pick(["0x800", "0x801", "0xd00:0xd01"]);
      const transport = random.pick([
        `0>>24=${type}`,
        `0>>0x10=${code}`,
        `2&0xffff=${random.pick(pool.ports)}`,
      ]);
      const tests = [
        `0x4&0x1fff=0x0&&0x0>>0x16&0x3c@${transport}`,
        "8>>0x18=64,255",
        "0x6&0xff=1,6&&8>>24=1:64",
      ];
      return family === 4 ? ["-m", "u32", ...not(random), "--u32", `"${random.pick(tests)}"`] : [];
    }
    case "limit":
      return ["-m", "limit", "--limit", "10000/second", "--limit-burst", "10000"];
    default:
      return ["-m", "comment", "--comment", '"a \\"quoted\\" word"'];
  }
}
