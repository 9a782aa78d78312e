import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { netfilterProvider } from "@antenna/netfilter";
import {
  AddressSet,
  builtinEssentials,
  type CompileOptions,
  compile,
  type Installed,
  type Logger,
  type PacketFilter,
  type Policy,
  parsePolicy,
  planSafe,
  type RuleProgram,
  systemClock,
} from "@antenna/sdk";
import { createNamespace, type Namespace } from "../lab/namespace.js";

export type Backend = "nft" | "legacy";
export const backends: readonly Backend[] = ["nft", "legacy"];
const sbin = "/usr/sbin";

export const cutMark = 0x1000_0000;

/** A namespace of its own with a filter's state directory; both go when it is disposed. */
export class FilterArena implements AsyncDisposable {
  readonly namespace: Namespace;
  readonly stateDir: string;
  readonly #filters: PacketFilter[] = [];

  private constructor(namespace: Namespace, stateDir: string) {
    this.namespace = namespace;
    this.stateDir = stateDir;
  }

  static async open(): Promise<FilterArena> {
    return new FilterArena(await createNamespace(), await mkdtemp(join(tmpdir(), "antenna-filter-")));
  }

  async filter(logger: Logger = silent): Promise<PacketFilter> {
    const filter = await netfilterProvider().open({
      namespace: this.namespace.path,
      stateDir: join(this.stateDir, "filter"),
      cutMark,
      nflogGroup: 4711,
      nflogRate: 50,
      clock: systemClock,
      logger,
    });
    this.#filters.push(filter);
    return filter;
  }

  /** Runs an iptables program of the backend: `iptables("nft", 4, "-A", "INPUT", …)`. */
  async iptables(backend: Backend, family: 4 | 6, ...args: string[]): Promise<string> {
    return await this.namespace.exec(`${sbin}/${family === 4 ? "iptables" : "ip6tables"}-${backend}`, args);
  }

  async restore(backend: Backend, family: 4 | 6, text: string): Promise<void> {
    const program = `${sbin}/${family === 4 ? "iptables" : "ip6tables"}-${backend}-restore`;
    await this.namespace.exec(program, [], text);
  }

  /** What iptables-save prints, without comments, counters and dates. */
  async save(backend: Backend, family: 4 | 6): Promise<string> {
    const program = `${sbin}/${family === 4 ? "iptables" : "ip6tables"}-${backend}-save`;
    const text = await this.namespace.exec(program, []);
    return text
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"))
      .map((line) => line.replace(/ \[\d+:\d+\]$/, ""))
      .join("\n");
  }

  /** What ipset prints, in order, without what differs from run to run. */
  async sets(): Promise<string> {
    const text = await this.namespace.exec(`${sbin}/ipset`, ["save"]);
    const lines = text.split("\n").filter((line) => line !== "");
    return lines
      .map((line) => line.replace(/ initval 0x[0-9a-f]+/, ""))
      .sort()
      .join("\n");
  }

  async nft(...args: string[]): Promise<string> {
    return await this.namespace.exec(`${sbin}/nft`, args);
  }

  /** Every nft rule with its handle: whatever is written anew, even with the same words, shows. */
  async handles(): Promise<string> {
    return (await this.nft("-a", "list", "ruleset")).replace(/packets \d+ bytes \d+/g, "");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const filter of this.#filters) await filter[Symbol.asyncDispose]();
    await this.namespace[Symbol.asyncDispose]();
    await rm(this.stateDir, { recursive: true, force: true });
  }
}

export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };

export function policyOf(document: object): Policy {
  return parsePolicy(JSON.stringify(document));
}

/** Compiles and applies from nothing known, as a first start does. */
export async function install(
  filter: PacketFilter,
  policy: Policy,
  options: Partial<CompileOptions> = {},
): Promise<Installed> {
  const plan = planSafe(null, programOf(policy, options), await filter.instances());
  await filter.execute(plan.commands);
  return plan.installed;
}

export function programOf(policy: Policy, options: Partial<CompileOptions> = {}): RuleProgram {
  const resolvers = AddressSet.from(["10.0.0.53", "fd00::53"]);
  const program = compile(policy, { essentials: builtinEssentials(policy, { resolvers }), ...options });
  if (program === null) throw new Error("an idle policy has no program");
  return program;
}

/** Writes the rules of both families again, as a repair does. */
export async function repair(filter: PacketFilter, installed: Installed): Promise<void> {
  await filter.execute([
    { kind: "switch-rules", family: 4, installed },
    { kind: "switch-rules", family: 6, installed },
  ]);
}

/** Every kind of rule that a policy can hold. */
export const shop = {
  version: 1,
  mode: "full",
  reject: true,
  sets: {
    web: ["10.0.1.10", "10.0.2.0/24", "fd00:1::/64"],
    office: ["203.0.113.7"],
    tunnel: ["10.7.0.0/16", "fd00:7::1"],
  },
  rules: [
    {
      id: "web-in",
      direction: "in",
      action: "allow",
      peers: ["web"],
      services: [
        { protocol: "tcp", ports: [80, "8000-8010"] },
        { protocol: "icmp", type: 8 },
        { protocol: "icmpv6", type: 128 },
      ],
    },
    { id: "never 'that'", direction: "in", action: "override-deny", peers: ["office"] },
    {
      id: "not-mail",
      direction: "out",
      action: "deny",
      peers: ["any"],
      services: [{ protocol: "tcp", ports: [25] }],
    },
    {
      id: "tunnel-in",
      direction: "in",
      action: "allow",
      peers: ["tunnel"],
      services: [{ protocol: "tcp", ports: [5432] }],
      secure: true,
    },
    {
      id: "names-out",
      direction: "out",
      action: "allow",
      peers: ["web"],
      services: [{ protocol: "udp" }, { protocol: 47 }],
    },
  ],
};

/** What Docker, ufw and firewalld leave in the tables of a host, in one. */
export function ownersRules(family: 4 | 6): string {
  const any = family === 4 ? "0.0.0.0/0" : "::/0";
  const bridge = family === 4 ? "172.17.0.0/16" : "fd00:d0c::/64";
  const lan = family === 4 ? "192.168.1.0/24" : "fd00:1a::/64";
  return [
    "*nat",
    ":PREROUTING ACCEPT [0:0]",
    ":INPUT ACCEPT [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":POSTROUTING ACCEPT [0:0]",
    ":DOCKER - [0:0]",
    "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
    `-A POSTROUTING -s ${bridge} ! -o docker0 -j MASQUERADE`,
    "-A DOCKER -i docker0 -j RETURN",
    "COMMIT",
    "*filter",
    ":INPUT DROP [0:0]",
    ":FORWARD DROP [0:0]",
    ":OUTPUT ACCEPT [0:0]",
    ":DOCKER - [0:0]",
    ":DOCKER-USER - [0:0]",
    ":DOCKER-ISOLATION-STAGE-1 - [0:0]",
    ":ufw-before-input - [0:0]",
    ":ufw-user-input - [0:0]",
    ":ufw-before-output - [0:0]",
    ":IN_public - [0:0]",
    ":IN_public_allow - [0:0]",
    ":ANT-FARM - [0:0]",
    "-A INPUT -j ufw-before-input",
    "-A INPUT -j IN_public",
    `-A INPUT -s ${any} -p tcp -m tcp --dport 22 -m comment --comment "ant:owner's own" -j ACCEPT`,
    "-A FORWARD -j DOCKER-USER",
    "-A FORWARD -j DOCKER-ISOLATION-STAGE-1",
    "-A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A OUTPUT -j ufw-before-output",
    "-A DOCKER-USER -j RETURN",
    "-A DOCKER-ISOLATION-STAGE-1 -j RETURN",
    "-A ufw-before-input -i lo -j ACCEPT",
    "-A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
    "-A ufw-before-input -j ufw-user-input",
    `-A ufw-user-input -s ${lan} -p tcp -m tcp --dport 5432 -j ACCEPT`,
    "-A ufw-before-output -o lo -j ACCEPT",
    "-A IN_public -j IN_public_allow",
    "-A IN_public_allow -p tcp -m tcp --dport 80 -m conntrack --ctstate NEW,UNTRACKED -j ACCEPT",
    "-A ANT-FARM -j RETURN",
    "COMMIT",
    "",
  ].join("\n");
}

/** What is left of a save when everything of ours is taken away. */
export function withoutOurs(saved: string): string {
  const name = /^(?::|-A )ANT-(?:(?:IN|OUT)(?:-[A-Z]+)?|[0-9a-f]{20})(?: |$)/;
  const jump = /^-A (?:INPUT -j ANT-IN|OUTPUT -j ANT-OUT)$/;
  return saved
    .split("\n")
    .filter((line) => !name.test(line) && !jump.test(line))
    .join("\n");
}
