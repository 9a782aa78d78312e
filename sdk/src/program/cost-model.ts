import type { Family } from "../policy/model.js";

/**
 * What enforcement costs, as `compile` reckons with it. Nanoseconds are spent by each new connection, microseconds by each
 * apply.
 *
 * Measured on Linux 6.18 with iptables 1.8.9 and ipset 7.17: CPU time per UDP packet through an OUTPUT chain with 10 to 300
 * copies of a rule, less that of the empty chain, divided by the copies; best of nine rounds; iptables-nft unless legacy
 * is dearer. A local TCP connection costs 40,000 ns.
 */
export interface CostModel {
  /** A test of another protocol, which ends the rule there (legacy 5, nft 7). */
  readonly protocolTestNs: number;
  /** A test of protocol and one port or range of ports (legacy 17, nft 13). */
  readonly portTestNs: number;
  /** A test of up to 15 ports, a range counting twice (legacy 24, nft 47). */
  readonly portListNs: number;
  /** Into a chain and back, beside the test (legacy 11, nft 14). */
  readonly jumpNs: number;
  /** A lookup in a set, of 100 members or 100,000, by address or by address and port (legacy 52-64, nft 68-79). */
  readonly lookupNs: number;
  /** The same for each distinct prefix length in the set (20 lengths: legacy 249, nft 267). */
  readonly prefixLengthNs: number;

  /** `ipset restore`: 100,000 members in 350 ms. */
  readonly memberApplyUs: number;
  /** `iptables-nft-restore`: 5,000 rules in 120 ms, legacy 20 ms. */
  readonly ruleApplyUs: number;
  /** Starting the programs of an apply, for both families. */
  readonly applyBaseMs: number;
  /** Kernel memory of a member: hash:ip 23-29, hash:net 32-35, hash:ip,port 32-35 bytes; IPv6 42-54. */
  readonly memberBytes: Readonly<Record<Family, number>>;
  /** Of a set with nothing in it, its hash table of 1,024 buckets included. */
  readonly setBytes: number;
  /** Of a rule with its matches and counters. */
  readonly ruleBytes: number;

  /** A stage that costs a new connection no more than this is laid out in the plainest way: 2.5 % of a connection. */
  readonly stageBudgetNs: number;
  /** Sets of one service are looked up one after another up to this; beyond, their union is. */
  readonly listBudgetNs: number;
  /** What a millisecond of each apply is worth, in nanoseconds of each new connection. */
  readonly applyMsWorthNs: number;
  /** Steps of one tier of a dispatch by port, unless the tree would be too high. */
  readonly fanOut: number;
  /**
   * How many tiers may lie in one another, over all stages of a direction: where one stage ends, the next begins. nf_tables
   * refuses more than 15 nested chains (EMLINK); guards, states, stages and denials take ten of them.
   */
  readonly mostNestedTiers: number;
}

export const measuredCosts: CostModel = {
  protocolTestNs: 7,
  portTestNs: 17,
  portListNs: 47,
  jumpNs: 14,
  lookupNs: 70,
  prefixLengthNs: 10,
  memberApplyUs: 3.5,
  ruleApplyUs: 24,
  applyBaseMs: 20,
  memberBytes: { 4: 35, 6: 54 },
  setBytes: 9_400,
  ruleBytes: 512,
  stageBudgetNs: 1000,
  listBudgetNs: 600,
  applyMsWorthNs: 10,
  fanOut: 8,
  mostNestedTiers: 5,
};
