import { NETLINK_NETFILTER, NetlinkSocket } from "@antenna/netlink";
import type { Family } from "@antenna/sdk";
import { ChildProcesses } from "../apply/command-runner.js";
import { kernelError, restoreError } from "../apply/kernel-error.js";
import { RestorePrograms } from "../apply/restore-program.js";
import { LegacyTable } from "../backend/legacy-table.js";
import { NetworkNamespace } from "../backend/network-namespace.js";
import { NftTable } from "../backend/nft-table.js";
import type { Backend } from "../backend/rule-table.js";
import type { ForeignQuery } from "./foreign-match.js";
import { type ForeignRule, walkForeign } from "./foreign-walk.js";
import { parseSaved } from "./saved-tables.js";

/** linux/netfilter.h, NF_INET_*. */
const hooks: Readonly<Record<ForeignQuery["direction"], readonly number[]>> = { in: [0, 1], out: [3, 4] };
const NF_ACCEPT = 1;

export interface ForeignOptions extends Omit<ForeignQuery, "family"> {
  /** Path of the network namespace; null: the caller's own. */
  readonly namespace: string | null;
}

/**
 * The owner's rules that stand between a new packet that we allow and its end: the first that surely drops or rejects it,
 * and before it those of which that is not known. For telling people; nothing is decided by it. Reads iptables rules
 * of both backends as text; chains of other nft tables are named and not interpreted. Rejects with AntennaError.
 */
export async function readForeignRules(options: ForeignOptions): Promise<readonly ForeignRule[]> {
  const { namespace: path, ...question } = options;
  const family: Family = question.peer.length === 4 ? 4 : 6;
  const runner = new ChildProcesses();
  try {
    using namespace = NetworkNamespace.open(path, runner);
    using netlink = NetlinkSocket.open({ protocol: NETLINK_NETFILTER, namespace: namespace.path });
    const programs = new RestorePrograms(runner, namespace, "/dev/null");
    const reader = new ForeignReader(programs, new NftTable(netlink), new LegacyTable(namespace));
    return await reader.read({ ...question, family });
  } catch (error) {
    throw kernelError(error, "read the owner's rules");
  }
}

class ForeignReader {
  readonly #programs: RestorePrograms;
  readonly #nft: NftTable;
  readonly #legacy: LegacyTable;

  constructor(programs: RestorePrograms, nft: NftTable, legacy: LegacyTable) {
    this.#programs = programs;
    this.#nft = nft;
    this.#legacy = legacy;
  }

  async read(query: ForeignQuery): Promise<readonly ForeignRule[]> {
    const found: ForeignRule[] = [];
    for (const backend of ["nft", "legacy"] as const) {
      const saved = await this.#saved(backend, query.family);
      if (saved !== null) found.push(...walkForeign(parseSaved(saved), query));
    }
    if (this.#legacy.isHidden(query.family)) found.push(hiddenRules(query.direction));
    return [...found, ...(await this.#otherTables(query))];
  }

  async #saved(backend: Backend, family: Family): Promise<string | null> {
    const used =
      backend === "nft"
        ? await this.#nft.hasTables(family)
        : (await this.#legacy.registered(family)).length > 0;
    if (!used) return null;
    const result = await this.#programs.save(backend, family, null);
    if (result.code !== 0) throw restoreError(`read the owner's rules (iptables-${backend})`, "", result);
    return result.stdout;
  }

  /** firewalld and others have tables of their own, which no iptables program shows. */
  async #otherTables(query: ForeignQuery): Promise<readonly ForeignRule[]> {
    const chains = await this.#nft.otherBaseChains(query.family);
    return chains
      .filter(
        ({ hook, policy, rules }) =>
          hooks[query.direction].includes(hook) && (rules > 0 || policy !== NF_ACCEPT),
      )
      .map(({ table, name, rules }) => ({
        table,
        chain: name,
        rule: `${rules} rules of nft, see: nft list chain ${table} ${name}`,
        verdict: "unknown",
        reason: "a chain of nft that no iptables program shows",
      }));
  }
}

/** That nothing was read must not look as if there were nothing. */
function hiddenRules(direction: ForeignQuery["direction"]): ForeignRule {
  return {
    table: "iptables-legacy",
    chain: direction === "in" ? "INPUT" : "OUTPUT",
    rule: "whatever rules stand there",
    verdict: "unknown",
    reason: "which tables iptables-legacy has, only uid 0 may read",
  };
}
