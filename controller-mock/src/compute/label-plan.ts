import { type AddressSet, type Direction, normalisePeers, type Rule } from "@antenna/sdk";
import type { EnforcementEntry, LabelPolicy, LabelRule, RuleEnd } from "../policy/model.js";
import { everyWorkload, isHopeless, narrow, type Selector } from "../policy/selector.js";
import { ipListName, localName, ruleId, ruleText, selectionName } from "./names.js";

/** Workloads that are peers of some rule: they make a set. */
export interface Selection {
  readonly selector: Selector;
  /** Of the set of routable addresses. */
  readonly name: string;
  /** Of the set of addresses that only points of the same host can reach. */
  readonly localName: string;
  /** True: a secure rule has them as peers, so that it matters who answers at each address. */
  isSecure: boolean;
}

/** One end of a rule: what the workloads that stand there enforce. */
export interface PlannedRule {
  readonly subject: Selector;
  /** Its peers are those that do not depend on the workload; a selection's come on top. */
  readonly rule: Rule;
  /** Index of the selection whose sets are peers; null: none. */
  readonly selection: number | null;
}

/** A label policy, with every rule at its two ends and every set it needs once. */
export interface LabelPlan {
  readonly selections: readonly Selection[];
  /** By the name of the set. */
  readonly ipLists: ReadonlyMap<string, AddressSet>;
  /** In the order of the label policy. */
  readonly rules: readonly PlannedRule[];
  readonly enforcement: readonly EnforcementEntry[];
}

/** What a workload enforces that no entry matches. */
export const unmatched: EnforcementEntry = {
  match: everyWorkload,
  mode: "visibility",
  visibility: "blocked+allowed",
  enforce: [],
};

export function planLabelPolicy(policy: LabelPolicy): LabelPlan {
  const planner = new Planner();
  for (const { name, scope, rules } of policy.rulesets) {
    const seen = new Set<string>();
    for (const rule of rules) {
      const text = ruleText(name, rule, scope);
      // The same rule again says nothing new, and its id is taken.
      if (!seen.has(text)) planner.add(text, rule, scope);
      seen.add(text);
    }
  }
  return {
    selections: planner.selections,
    ipLists: new Map(Array.from(policy.ipLists, ([name, set]) => [ipListName(name), set])),
    rules: planner.rules,
    enforcement: policy.enforcement,
  };
}

class Planner {
  readonly selections: Selection[] = [];
  readonly rules: PlannedRule[] = [];
  readonly #indexes = new Map<string, number>();

  add(text: string, rule: LabelRule, scope: Selector): void {
    const [from, to] = [scoped(rule.from, scope), scoped(rule.to, scope)];
    // Nobody ever stands at one end: the rule covers no packet at the other.
    if (from === null || to === null) return;
    this.#addEnd(text, rule, "out", from, to);
    this.#addEnd(text, rule, "in", to, from);
  }

  #addEnd(text: string, rule: LabelRule, direction: Direction, subject: RuleEnd, peers: RuleEnd): void {
    if (subject.kind !== "workloads") return;
    const { action, secure } = rule;
    const services = rule.services === null ? null : rule.services.resolved;
    this.rules.push({
      subject: subject.selector,
      rule: { id: ruleId(text, direction), direction, action, peers: fixedPeers(peers), services, secure },
      selection: peers.kind === "workloads" ? this.#select(peers.selector, secure) : null,
    });
  }

  #select(selector: Selector, isSecure: boolean): number {
    const name = selectionName(selector);
    const known = this.#indexes.get(name);
    const index = known ?? this.selections.length;
    if (known === undefined) {
      this.#indexes.set(name, index);
      this.selections.push({ selector, name, localName: localName(selector), isSecure });
    } else if (isSecure) (this.selections[index] as Selection).isSecure = true;
    return index;
  }
}

function fixedPeers(end: RuleEnd): readonly string[] {
  if (end.kind === "workloads") return [];
  return end.kind === "anyone" ? ["any"] : normalisePeers(end.names.map(ipListName));
}

/** An end within the scope, which narrows workloads and nobody else; null: nobody can stand there. */
function scoped(end: RuleEnd, scope: Selector): RuleEnd | null {
  if (end.kind !== "workloads") return end;
  const selector = narrow(end.selector, scope);
  return isHopeless(selector) ? null : { kind: "workloads", selector };
}
