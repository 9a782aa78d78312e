import type { KernelSets } from "./kernel-set.js";
import { type Match, matches } from "./match.js";
import type { Ruleset } from "./ruleset.js";
import type { TracedPacket } from "./traced-packet.js";

/** What became of a packet in its hook of the filter table. */
export interface Trace {
  readonly verdict: "accepted" | "dropped" | "rejected";
  /** The argument of `--reject-with`; null: the default, or not rejected. */
  readonly rejectedWith: string | null;
  /** Prefixes of the NFLOG rules it passed, in order. */
  readonly told: readonly string[];
  /** Every rule that matched, as `CHAIN:index`, counted from 1. */
  readonly path: readonly string[];
  /** The rule that gave the verdict, as in `path`; null: the policy of the built-in chain. */
  readonly by: string | null;
}

export interface TraceOptions {
  /** What `-m limit` says, for every rule alike. Default true. */
  readonly withinLimit?: boolean;
  /** Called for every condition that is looked at on the way. */
  readonly onMatch?: (match: Match, held: boolean) => void;
}

/** Follows a packet as `ipt_do_table` does (net/ipv4/netfilter/ip_tables.c). */
export function trace(
  ruleset: Ruleset,
  sets: KernelSets,
  packet: TracedPacket,
  options: TraceOptions = {},
): Trace {
  if (ruleset.family !== packet.family) throw new Error("a packet of the other family");
  const context = { sets, withinLimit: options.withinLimit ?? true };
  const holds = (match: Match): boolean => {
    const held = matches(match, packet, context);
    options.onMatch?.(match, held);
    return held;
  };
  const told: string[] = [];
  const path: string[] = [];
  // Where to go on after the end of the chain; a goto leaves no entry.
  const callers: { chain: string; index: number }[] = [];
  let name: string = packet.hook;
  let index = 0;
  for (;;) {
    const chain = ruleset.chains.get(name);
    if (chain === undefined) throw new Error(`no such chain: ${name}`);
    const rule = chain.rules[index];
    const end = rule === undefined;
    if (!end && !rule.matches.every((match) => holds(match))) {
      index += 1;
      continue;
    }
    if (!end) path.push(`${name}:${index + 1}`);
    const target = end ? ({ kind: "return" } as const) : rule.target;
    const by = path.at(-1) ?? null;
    switch (target?.kind) {
      case undefined:
        index += 1;
        break;
      case "log":
        told.push(target.prefix);
        index += 1;
        break;
      case "jump":
        callers.push({ chain: name, index: index + 1 });
        name = target.chain;
        index = 0;
        break;
      case "goto":
        name = target.chain;
        index = 0;
        break;
      case "return": {
        const caller = callers.pop();
        if (caller === undefined) {
          const policy = ruleset.chains.get(packet.hook)?.policy;
          const verdict = policy === "DROP" ? "dropped" : "accepted";
          return { verdict, rejectedWith: null, told, path, by: null };
        }
        name = caller.chain;
        index = caller.index;
        break;
      }
      case "accept":
        return { verdict: "accepted", rejectedWith: null, told, path, by };
      case "drop":
        return { verdict: "dropped", rejectedWith: null, told, path, by };
      case "reject":
        return { verdict: "rejected", rejectedWith: target.with, told, path, by };
    }
  }
}
