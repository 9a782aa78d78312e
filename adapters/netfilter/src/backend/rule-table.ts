import type { Family } from "@antenna/sdk";

/** Which of the kernel's two packet filters iptables writes to. */
export type Backend = "nft" | "legacy";

export type Builtin = "INPUT" | "OUTPUT";

/**
 * What stands in the filter table of one family, as far as it is ours. Read from the kernel without a process; a
 * fingerprint covers everything but counters and is compared, never interpreted.
 */
export interface TableReading {
  /** nft: the ruleset's generation that was read; legacy: null. */
  readonly generation: number | null;
  /** False: the table does not exist (nft) or is not registered (legacy). */
  readonly exists: boolean;
  /** Our chains and their fingerprints. */
  readonly chains: ReadonlyMap<string, string>;
  /** Those of our chains that hold no rule: whoever jumps there comes back. Default: none. */
  readonly empty?: ReadonlySet<string>;
  readonly builtins: Readonly<Record<Builtin, BuiltinReading>>;
}

export interface BuiltinReading {
  /** Rules in the chain, all owners'. */
  readonly rules: number;
  /** Where our jump stands, from 0; a jump with conditions is none of ours. */
  readonly jumps: readonly number[];
  /** False: no packet meets the chain, since no hook calls it or its table is dormant. Default true. */
  readonly called?: boolean;
}

export const nothingRead: TableReading = {
  generation: null,
  exists: false,
  chains: new Map(),
  builtins: { INPUT: { rules: 0, jumps: [] }, OUTPUT: { rules: 0, jumps: [] } },
};

/** One backend's tables in one network namespace, for reading only. */
export interface RuleTable {
  readonly backend: Backend;
  /** Never creates a table by looking at it. */
  read(family: Family): Promise<TableReading>;
  /** Rules of others in any iptables table of both families; 0 when the backend is not in use. */
  countForeign(): Promise<number>;
}

/** True when our jump is there once, and first. */
export function jumpIsFirst(reading: BuiltinReading): boolean {
  return reading.jumps.length === 1 && reading.jumps[0] === 0;
}
