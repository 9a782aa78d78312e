import type { Hash } from "node:crypto";
import { NetlinkError, type NetlinkTransport, NLM_F_DUMP } from "@antenna/netlink";
import type { Family } from "@antenna/sdk";
import { isOurChain, jumps } from "../render/chain.js";
import { canLookAtNft } from "./kernel-modules.js";
import {
  type BaseChain,
  type Generation,
  NFT_MSG_GETCHAIN,
  NFT_MSG_GETGEN,
  NFT_MSG_GETRULE,
  NFT_MSG_GETTABLE,
  newFingerprint,
  nftRequest,
  protocolFamilies,
  protocolFamily,
  RuleReader,
  readChain,
  readDormant,
  readGeneration,
  readName,
} from "./nft-messages.js";
import { type Builtin, nothingRead, type RuleTable, type TableReading } from "./rule-table.js";

/** Tables that iptables-nft makes; others are not the owner's iptables rules. */
const iptablesTables: ReadonlySet<string> = new Set(["filter", "nat", "mangle", "raw", "security"]);
const filter = "filter";
/** Somebody who writes without a pause makes every dump inconsistent; then the last error counts. */
const mostReads = 10;

/** NF_INET_LOCAL_IN and NF_INET_LOCAL_OUT of linux/netfilter.h. */
const hooks: Readonly<Record<Builtin, number>> = { INPUT: 1, OUTPUT: 3 };

/** The tables of iptables-nft, read over netlink. */
export class NftTable implements RuleTable {
  readonly backend = "nft";
  readonly #netlink: NetlinkTransport;
  #asked = false;
  /** Counted last; good for as long as nobody writes. */
  #foreign: { readonly generation: number; readonly count: number } | null = null;

  constructor(netlink: NetlinkTransport) {
    this.#netlink = netlink;
  }

  /** The ruleset's generation: one more with every commit in this network namespace, whoever made it. */
  async generation(): Promise<Generation> {
    let generation: Generation = { id: 0, pid: 0, name: "" };
    await this.#netlink.query(nftRequest(NFT_MSG_GETGEN, 0, 0, null), (message) => {
      generation = readGeneration(message);
    });
    return generation;
  }

  async read(family: Family): Promise<TableReading> {
    if (!(await this.#mayAsk())) return nothingRead;
    return await this.#consistently((generation) => this.#read(family, generation));
  }

  async countForeign(): Promise<number> {
    if (!(await this.#mayAsk())) return 0;
    const { id } = await this.generation();
    if (this.#foreign?.generation === id) return this.#foreign.count;
    let count = 0;
    const rule = new RuleReader();
    for (const family of [4, 6] as const) {
      let tables = false;
      await this.#netlink.query(
        nftRequest(NFT_MSG_GETTABLE, NLM_F_DUMP, protocolFamily(family), null),
        (message) => {
          tables ||= iptablesTables.has(readName(message).table);
        },
      );
      if (!tables) continue;
      await this.#netlink.query(
        nftRequest(NFT_MSG_GETRULE, NLM_F_DUMP, protocolFamily(family), null),
        (message) => {
          rule.read(message);
          if (!iptablesTables.has(rule.table) || isOurChain(rule.chain)) return;
          if (jumps.some((jump) => jump.builtin === rule.chain && rule.plainJump() === jump.entry)) return;
          count++;
        },
      );
    }
    this.#foreign = { generation: id, count };
    return count;
  }

  /** The chains of the filter table; null: there is no such table. */
  async chains(family: Family): Promise<readonly BaseChain[] | null> {
    if ((await this.#filterTable(family)) === null) return null;
    return await this.#chains(family);
  }

  /** The filter table; null: there is none. */
  async #filterTable(family: Family): Promise<{ readonly dormant: boolean } | null> {
    let found: { readonly dormant: boolean } | null = null;
    const request = nftRequest(NFT_MSG_GETTABLE, NLM_F_DUMP, protocolFamily(family), null);
    await this.#netlink.query(request, (message) => {
      if (readName(message).table === filter) found = { dormant: readDormant(message) };
    });
    return found;
  }

  async #chains(family: Family): Promise<readonly BaseChain[]> {
    const number = protocolFamily(family);
    const chains: BaseChain[] = [];
    await this.#netlink.query(nftRequest(NFT_MSG_GETCHAIN, NLM_F_DUMP, number, null), (message) => {
      const chain = readChain(message);
      if (chain.table === filter) chains.push(chain);
    });
    return chains;
  }

  /** Everything in the filter table; null: there is no such table. */
  async contents(
    family: Family,
  ): Promise<{ readonly chains: readonly BaseChain[]; readonly rules: number } | null> {
    const chains = await this.chains(family);
    if (chains === null) return null;
    let rules = 0;
    const request = nftRequest(NFT_MSG_GETRULE, NLM_F_DUMP, protocolFamily(family), filter);
    await this.#netlink.query(request, () => {
      rules++;
    });
    return { chains, rules };
  }

  /** True when iptables-nft has any table of the family. */
  async hasTables(family: Family): Promise<boolean> {
    if (!(await this.#mayAsk())) return false;
    let found = false;
    await this.#netlink.query(
      nftRequest(NFT_MSG_GETTABLE, NLM_F_DUMP, protocolFamily(family), null),
      (message) => {
        found ||= iptablesTables.has(readName(message).table);
      },
    );
    return found;
  }

  /** Chains that hooks call, in tables that are not those of iptables; `table` with its family, as nft names it. */
  async otherBaseChains(family: Family): Promise<readonly (BaseChain & { hook: number; rules: number })[]> {
    if (!(await this.#mayAsk())) return [];
    const found: (BaseChain & { hook: number; rules: number })[] = [];
    for (const [number, name] of protocolFamilies(family)) {
      const chains = new Map<string, BaseChain & { hook: number; rules: number }>();
      await this.#netlink.query(nftRequest(NFT_MSG_GETCHAIN, NLM_F_DUMP, number, null), (message) => {
        const chain = readChain(message);
        const { hook } = chain;
        if (hook === null || (name !== "inet" && iptablesTables.has(chain.table))) return;
        chains.set(`${chain.table}\0${chain.name}`, {
          ...chain,
          hook,
          table: `${name} ${chain.table}`,
          rules: 0,
        });
      });
      if (chains.size === 0) continue;
      const rule = new RuleReader();
      await this.#netlink.query(nftRequest(NFT_MSG_GETRULE, NLM_F_DUMP, number, null), (message) => {
        rule.read(message);
        const chain = chains.get(`${rule.table}\0${rule.chain}`);
        if (chain !== undefined) chain.rules++;
      });
      found.push(...chains.values());
    }
    return found;
  }

  /** A host without nf_tables must not get it because somebody looked. */
  async #mayAsk(): Promise<boolean> {
    this.#asked ||= await canLookAtNft();
    return this.#asked;
  }

  async #read(family: Family, generation: number): Promise<TableReading> {
    const table = await this.#filterTable(family);
    if (table === null) return { ...nothingRead, generation };
    const chains = await this.#chains(family);
    const hashes = new Map<string, Hash>();
    for (const chain of chains) if (isOurChain(chain.name)) hashes.set(chain.name, newFingerprint());
    const called = (name: Builtin) => {
      const chain = chains.find((each) => each.name === name);
      return chain === undefined || (!table.dormant && chain.hook === hooks[name]);
    };
    const builtins = {
      INPUT: { rules: 0, jumps: [] as number[], called: called("INPUT") },
      OUTPUT: { rules: 0, jumps: [] as number[], called: called("OUTPUT") },
    };
    const empty = new Set(hashes.keys());
    const rule = new RuleReader();
    await this.#netlink.query(
      nftRequest(NFT_MSG_GETRULE, NLM_F_DUMP, protocolFamily(family), filter),
      (message) => {
        rule.read(message);
        if (rule.table !== filter) return;
        const hash = hashes.get(rule.chain);
        if (hash !== undefined) {
          empty.delete(rule.chain);
          rule.digest(hash);
          return;
        }
        const jump = jumps.find((known) => known.builtin === rule.chain);
        if (jump === undefined) return;
        const reading = builtins[jump.builtin satisfies Builtin];
        if (rule.plainJump() === jump.entry) reading.jumps.push(reading.rules);
        reading.rules++;
      },
    );
    const fingerprints = new Map([...hashes].map(([name, hash]) => [name, hash.digest("hex")]));
    return { generation, exists: true, chains: fingerprints, empty, builtins };
  }

  /** Reads until nobody wrote meanwhile. */
  async #consistently(read: (generation: number) => Promise<TableReading>): Promise<TableReading> {
    for (let attempt = 1; ; attempt++) {
      const before = await this.generation();
      try {
        const reading = await read(before.id);
        const after = await this.generation();
        if (after.id === before.id) return reading;
        // Each answer is consistent in itself; under a storm of writes that has to do.
        if (attempt >= mostReads) return { ...reading, generation: null };
      } catch (error) {
        const changed = error instanceof NetlinkError && error.code === "dump-interrupted";
        if (!changed || attempt >= mostReads) throw error;
      }
    }
  }
}
