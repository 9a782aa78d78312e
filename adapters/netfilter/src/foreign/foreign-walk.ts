import { isOurChain } from "../render/chain.js";
import { type ForeignQuery, judgeRule } from "./foreign-match.js";
import type { SavedChain, SavedTables } from "./saved-tables.js";

/** A rule of somebody else's that a packet which we allow meets. */
export interface ForeignRule {
  /** `filter` of iptables; `inet firewalld` of nft. */
  readonly table: string;
  readonly chain: string;
  /** As iptables-save prints it; of a policy `-P CHAIN DROP`. */
  readonly rule: string;
  /** `unknown`: whether the packet meets it, or what it does then, is not known here. */
  readonly verdict: "dropped" | "rejected" | "unknown";
  /** For `unknown`: why. */
  readonly reason: string | null;
}

/** Where a packet passes, in the order of the hooks; nat decides where to, never whether. */
const paths: Readonly<
  Record<ForeignQuery["direction"], readonly (readonly [table: string, chain: string])[]>
> = {
  in: [
    ["raw", "PREROUTING"],
    ["mangle", "PREROUTING"],
    ["mangle", "INPUT"],
    ["filter", "INPUT"],
    ["security", "INPUT"],
  ],
  out: [
    ["raw", "OUTPUT"],
    ["mangle", "OUTPUT"],
    ["filter", "OUTPUT"],
    ["security", "OUTPUT"],
    ["mangle", "POSTROUTING"],
  ],
};
const mostRules = 100;
const deepest = 32;
/** Targets that let the packet go on to the next rule. */
const passing: ReadonlySet<string> = new Set([
  ...["LOG", "NFLOG", "ULOG", "MARK", "CONNMARK", "CT", "TCPMSS", "CLASSIFY", "TRACE", "AUDIT", "CHECKSUM"],
  ...[
    "DSCP",
    "TOS",
    "TTL",
    "HL",
    "SET",
    "SECMARK",
    "CONNSECMARK",
    "TEE",
    "RATEEST",
    "LED",
    "IDLETIMER",
    "NOTRACK",
  ],
]);

/** Follows the packet through the owner's rules up to the first that surely drops it. Bounded. */
export function walkForeign(tables: SavedTables, query: ForeignQuery): readonly ForeignRule[] {
  const found: ForeignRule[] = [];
  for (const [table, builtin] of paths[query.direction]) {
    const chains = tables.get(table);
    const chain = chains?.get(builtin);
    if (chains === undefined || chain === undefined) continue;
    const walk = new Walk(table, chains, query, found);
    const end = walk.chain(builtin, chain, null, 0);
    if (end === "dropped") return found;
    if (end === "accepted" || chain.policy === "ACCEPT" || chain.policy === null) continue;
    const rule = `-P ${builtin} ${chain.policy}`;
    found.push({
      table,
      chain: builtin,
      rule,
      verdict: walk.certain ? "dropped" : "unknown",
      reason: walk.doubt,
    });
    if (walk.certain) return found;
  }
  return found;
}

type End = "accepted" | "dropped" | "returned";

class Walk {
  readonly #table: string;
  readonly #chains: ReadonlyMap<string, SavedChain>;
  readonly #query: ForeignQuery;
  readonly #found: ForeignRule[];
  /** Why the packet may not come this far; null: it does. */
  doubt: string | null = null;

  constructor(
    table: string,
    chains: ReadonlyMap<string, SavedChain>,
    query: ForeignQuery,
    found: ForeignRule[],
  ) {
    this.#table = table;
    this.#chains = chains;
    this.#query = query;
    this.#found = found;
  }

  get certain(): boolean {
    return this.doubt === null;
  }

  /** @param unsure why the packet may not enter this chain; null: it does. */
  chain(name: string, chain: SavedChain, unsure: string | null, depth: number): End {
    for (const { words, text } of chain.rules) {
      const { answer, unknown, target, goto } = judgeRule(words, this.#query);
      if (answer === "no" || target === null || passing.has(target)) continue;
      if (isOurChain(target)) {
        if (this.#query.accepted === true && answer === "yes" && unsure === null) return "accepted";
        continue;
      }
      const rule = `-A ${name} ${text}`;
      const own = answer === "unknown" ? `not known: ${unknown.join(" and ")}` : null;
      const reason = unsure ?? own;
      const next = this.#chains.get(target);
      if (next !== undefined) {
        if (depth >= deepest) continue;
        const end = this.chain(target, next, reason, depth + 1);
        if (end !== "returned" && reason === null) return end;
        if (goto && own === null) return "returned";
        continue;
      }
      if (target === "RETURN" || target === "ACCEPT") {
        if (own === null && target === "RETURN") return "returned";
        if (reason === null) return "accepted";
        this.doubt ??= `\`${rule}\` before it may let the packet pass`;
        continue;
      }
      const verdict = verdicts.get(target) ?? "unknown";
      const doubt = reason ?? this.doubt ?? (verdict === "unknown" ? `not known: what ${target} does` : null);
      if (doubt === null) {
        this.#add({ table: this.#table, chain: name, rule, verdict, reason: null });
        return "dropped";
      }
      this.#add({ table: this.#table, chain: name, rule, verdict: "unknown", reason: doubt });
    }
    return "returned";
  }

  #add(rule: ForeignRule): void {
    if (this.#found.length < mostRules) this.#found.push(rule);
  }
}

const verdicts: ReadonlyMap<string, ForeignRule["verdict"]> = new Map([
  ["DROP", "dropped"],
  ["REJECT", "rejected"],
]);
