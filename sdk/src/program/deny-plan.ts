import type { Rule } from "../policy/model.js";
import { type Claim, type Entry, mapServices } from "./service-map.js";

/** One question about the peer, and the rule that answers for a yes. */
export interface Question {
  /** Name of a set; null: any peer. */
  readonly peer: string | null;
  /** ICMP code; null: every. */
  readonly code: number | null;
  readonly rule: string;
}

/** Asked one after another, in the order of the policy; the first yes decides. */
export type Questions = readonly Question[];

/** A stretch of ports or of ICMP types over which the same is asked. */
export interface PlannedCell {
  readonly from: number;
  readonly to: number;
  readonly questions: Questions;
}

export interface PlannedProtocol {
  readonly protocol: number;
  /** Of packets outside the cells. */
  readonly whole: Questions;
  /** Ascending, apart. */
  readonly cells: readonly PlannedCell[];
}

/** What to ask of which packet, where the first rule must answer; every list is complete. */
export interface DenyPlan {
  /** Of packets of other protocols. */
  readonly everything: Questions;
  readonly protocols: readonly PlannedProtocol[];
}

/** null: the lists would have more than `limit` questions together. */
export function planDeny(rules: readonly Rule[], limit: number): DenyPlan | null {
  const claims = rules.flatMap((rule, claimant) =>
    (rule.services ?? [null]).map((service): Claim => ({ service, claimant })),
  );
  const map = mapServices(claims, limit);
  if (map === null) return null;
  let left = limit;
  const ask = (entries: readonly Entry[]): Questions => {
    if (left < 0) return [];
    const questions = askInOrder(rules, entries);
    left -= questions.length;
    return questions;
  };
  const everything = map.everything.map(everyCode);
  const protocols = [...map.protocols].map(([protocol, { whole, cells }]): PlannedProtocol => {
    const outer = [...everything, ...whole.map(everyCode)];
    return {
      protocol,
      whole: ask(outer),
      cells: cells.map(({ from, to, entries }) => ({ from, to, questions: ask([...outer, ...entries]) })),
    };
  });
  const plan = { everything: ask(everything), protocols };
  return left < 0 ? null : plan;
}

/** A name that was asked, for every code, need not be asked again; after anyone, nobody need be. */
function askInOrder(rules: readonly Rule[], entries: readonly Entry[]): Questions {
  const questions: Question[] = [];
  const asked = new Set<string>();
  for (const { claimant, code } of [...entries].sort((a, b) => a.claimant - b.claimant)) {
    const rule = rules[claimant] as Rule;
    for (const name of rule.peers) {
      if (asked.has(name)) continue;
      if (code === null) asked.add(name);
      questions.push({ peer: name === "any" ? null : name, code, rule: rule.id });
    }
    if (asked.has("any")) break;
  }
  return questions;
}

function everyCode(claimant: number): Entry {
  return { claimant, code: null };
}
