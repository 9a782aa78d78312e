import { isIP } from "node:net";
import type { EssentialFacts } from "./evaluate/essentials.js";
import type { Clock, ContextSource, ControllerLink, Logger, PacketFilterProvider } from "./ports.js";
import { defaultMaxMembers } from "./program/compile.js";
import { silentLogger } from "./reconcile/silent-logger.js";
import { systemClock } from "./reconcile/system-clock.js";

/** What `createAgent` needs. Every part that touches the system comes in here; nothing is global. */
export interface AgentOptions {
  /** Opens the packet filter; `linuxHost()` of `@antenna/linux` brings one. */
  readonly packetFilter: PacketFilterProvider;
  /** The way to the controller; `grpcLink` brings one. Owned by the agent: closed with it. Default: none. */
  readonly link?: ControllerLink;
  /** What tells who this workload is; `hostContext()` of `@antenna/host` brings one. Owned by the agent. Default: none. */
  readonly context?: readonly ContextSource[];
  /** What has to work under a new policy, before it counts as good. */
  readonly commitConfirm?: {
    /** Default 15,000. */
    readonly windowMs?: number;
    /** Connections that must work, beside the one to the controller; tried from the agent's own namespace. Default: none. */
    readonly canaries?: readonly Canary[];
  };
  /** The directory where the last known good policy is kept; made if missing, mode 0700. Default `/var/lib/antenna`. */
  readonly stateDir?: string;
  /** Who this host is, in every document and event. Default: as the link says, `host` without one. */
  readonly workload?: string;
  /** Path of the network namespace to enforce in (`/run/netns/web1`); null: the caller's own. Default null. */
  readonly namespace?: string | null;
  /**
   * How long tracking settles before the first denied packet is dropped on a host that has none of our rules, in
   * milliseconds; 0: at once, flows older than tracking may then be cut. Default 30,000.
   */
  readonly settleMs?: number;
  /** `return`: the owner's own rules still apply to allowed packets; `accept`: allowed is final. Default `return`. */
  readonly onAllow?: "return" | "accept";
  /** What always passes beyond the policy; `setEssentials` for what changes while running. Default: what every host needs. */
  readonly essentials?: EssentialFacts;
  readonly kernel?: {
    /** One bit of the connection mark. Default 0x10000000. */
    readonly cutMark?: number;
    /** 1 to 65535. Default 4711. */
    readonly nflogGroup?: number;
    /** NFLOG packets a second and rule, at least 20. Default 50. */
    readonly nflogRate?: number;
  };
  /** What the host grants. Default: 2 % of a core, 96 MiB, 64 MiB; a part is enough. */
  readonly budget?: {
    /** Percent of one core. Enforcement is never shed for it. */
    readonly cpuPercent?: number;
    /** Also decides how large a policy may be: 500,000 members in 96 MiB, none in 48. */
    readonly memoryMiB?: number;
    readonly diskMiB?: number;
  };
  /**
   * What is in force from the start until a policy arrives. `last-known-good`: the stored policy, nothing if there is
   * none; `closed`: the stored policy, or, without one, only essentials pass; `visibility`: nothing is dropped, stored
   * policy or not. Default `last-known-good`.
   */
  readonly boot?: "last-known-good" | "closed" | "visibility";
  /** Default: the machine's clock. */
  readonly clock?: Clock;
  /** Default: silent. */
  readonly logger?: Logger;
  /** A number in [0, 1), for jitter. Default `Math.random`. */
  readonly random?: () => number;
  /** Aborting closes the agent; the rules stay. */
  readonly signal?: AbortSignal;
}

/** A connection that must work under a new policy. */
export interface Canary {
  readonly direction: "out";
  /** An IPv4 or IPv6 address. */
  readonly peer: string;
  readonly protocol: "tcp";
  readonly port: number;
}

/** Options with every default filled in. */
export interface ResolvedAgentOptions {
  readonly packetFilter: PacketFilterProvider;
  readonly link: ControllerLink | null;
  readonly context: readonly ContextSource[];
  readonly commitConfirm: { readonly windowMs: number; readonly canaries: readonly Canary[] };
  readonly stateDir: string;
  /** null: as the link says. */
  readonly workload: string | null;
  readonly namespace: string | null;
  readonly settleMs: number;
  readonly onAllow: "return" | "accept";
  readonly essentials: EssentialFacts;
  readonly cutMark: number;
  readonly nflogGroup: number;
  readonly nflogRate: number;
  /** Members that the kernel may hold for a policy. */
  readonly maxMembers: number;
  readonly boot: "last-known-good" | "closed" | "visibility";
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly signal: AbortSignal | null;
}

/** Fills in defaults; what contradicts itself throws TypeError, before anything starts. */
export function resolveAgentOptions(options: AgentOptions): ResolvedAgentOptions {
  const { kernel = {} } = options;
  const resolved: ResolvedAgentOptions = {
    packetFilter: options.packetFilter,
    link: options.link ?? null,
    context: options.context ?? [],
    commitConfirm: {
      windowMs: options.commitConfirm?.windowMs ?? 15_000,
      canaries: options.commitConfirm?.canaries ?? [],
    },
    stateDir: options.stateDir ?? "/var/lib/antenna",
    workload: options.workload ?? null,
    namespace: options.namespace ?? null,
    settleMs: options.settleMs ?? 30_000,
    onAllow: options.onAllow ?? "return",
    essentials: options.essentials ?? {},
    cutMark: kernel.cutMark ?? 0x10000000,
    nflogGroup: kernel.nflogGroup ?? 4711,
    nflogRate: kernel.nflogRate ?? 50,
    maxMembers: membersWithin(options.budget?.memoryMiB ?? 96),
    boot: options.boot ?? "last-known-good",
    clock: options.clock ?? systemClock,
    logger: options.logger ?? silentLogger,
    random: options.random ?? Math.random,
    signal: options.signal ?? null,
  };
  const { settleMs, cutMark, nflogGroup, nflogRate, stateDir, workload } = resolved;
  require(typeof options.packetFilter?.open ===
    "function", "packetFilter must be a provider, like that of linuxHost()");
  require(stateDir !== "", "stateDir must name a directory");
  require(workload !== "", "workload must not be empty");
  require(Number.isFinite(settleMs) && settleMs >= 0, "settleMs must be 0 or more milliseconds");
  require(isOneBit(cutMark), "kernel.cutMark must be a single bit of 32");
  require(Number.isInteger(nflogGroup) &&
    nflogGroup >= 1 &&
    nflogGroup <= 65_535, "kernel.nflogGroup must be 1 to 65535");
  require(Number.isInteger(nflogRate) &&
    nflogRate >= 20, "kernel.nflogRate must be 20 or more packets a second");
  const { windowMs, canaries } = resolved.commitConfirm;
  require(Number.isFinite(windowMs) && windowMs > 0, "commitConfirm.windowMs must be more than 0");
  for (const { direction, peer, protocol, port } of canaries) {
    require(direction === "out" && protocol === "tcp", "a canary is an out connection of tcp");
    require(isIP(peer) !== 0, `commitConfirm.canaries: ${peer} is not an address`);
    require(Number.isInteger(port) &&
      port >= 1 &&
      port <= 65_535, `commitConfirm.canaries: ${port} is not a port`);
  }
  require(canaries.length === 0 ||
    resolved.namespace ===
      null, "canaries are tried from the agent's own namespace; start it inside the other one");
  for (const [name, amount] of Object.entries(options.budget ?? {})) {
    require(Number.isFinite(amount) && amount > 0, `budget.${name} must be more than 0`);
  }
  return resolved;
}

/** The agent itself takes about half of the default budget, measured; 500,000 members the other half. */
export function membersWithin(memoryMiB: number): number {
  return Math.max(0, Math.floor(((memoryMiB - ownMiB) / ownMiB) * defaultMaxMembers));
}

const ownMiB = 48;

function isOneBit(mark: number): boolean {
  return Number.isInteger(mark) && mark > 0 && mark <= 0x80000000 && Number.isInteger(Math.log2(mark));
}

function require(holds: boolean, message: string): void {
  if (!holds) throw new TypeError(`createAgent: ${message}`);
}
