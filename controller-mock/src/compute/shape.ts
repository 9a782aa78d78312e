import type { Policy, Rule } from "@antenna/sdk";
import { compareNames } from "@antenna/sdk/document";
import type { Labels } from "../policy/label.js";
import type { EnforcementEntry } from "../policy/model.js";
import { selects } from "../policy/selector.js";
import { withAgentPort } from "./agent-port.js";
import { type LabelPlan, type PlannedRule, type Selection, unmatched } from "./label-plan.js";

/** Workloads to which the same rules apply, and the policies these make. */
export class Shape {
  readonly key: string;
  readonly entry: EnforcementEntry;
  /** Indexes of the selections that its rules have as peers, ascending. */
  readonly selections: readonly number[];
  /** Those among them that are peers of secure rules. */
  readonly secureSelections: readonly number[];
  /** Names of the sets of addresses that its rules have as peers. */
  readonly ipLists: readonly string[];
  /** Ids of the workloads. */
  readonly members = new Set<string>();
  /** By what else differs: whether the controller runs there, and the host if its own addresses count. */
  readonly policies = new Map<string, Policy>();
  readonly #planned: readonly PlannedRule[];
  readonly #all: readonly Selection[];
  readonly #rules = new Map<string, readonly Rule[]>();

  constructor(key: string, plan: LabelPlan, planned: readonly PlannedRule[], entry: EnforcementEntry) {
    this.key = key;
    this.entry = entry;
    this.#planned = planned;
    this.#all = plan.selections;
    const used = (secure: boolean) =>
      Array.from(
        new Set(
          planned.flatMap(({ rule, selection }) =>
            selection === null || (secure && !rule.secure) ? [] : [selection],
          ),
        ),
      ).sort((a, b) => a - b);
    this.selections = used(false);
    this.secureSelections = used(true);
    this.ipLists = Array.from(new Set(planned.flatMap(({ rule }) => rule.peers))).filter(
      (name) => name !== "any",
    );
  }

  /**
   * The rules, the same array for the same arguments. `local`: selections that have addresses of the host's own;
   * `agentPort`: open to everyone; null: the controller is elsewhere.
   */
  rules(local: readonly number[], agentPort: number | null): readonly Rule[] {
    const key = `${local.join(",")}:${agentPort}`;
    const known = this.#rules.get(key);
    if (known !== undefined) return known;
    const plain = this.#planned.map(({ rule, selection }): Rule => {
      if (selection === null) return rule;
      const { name, localName } = this.#all[selection] as Selection;
      const peers = local.includes(selection) ? [name, localName].sort(compareNames) : [name];
      return { ...rule, peers };
    });
    const rules = agentPort === null ? plain : withAgentPort(plain, agentPort);
    this.#rules.set(key, rules);
    return rules;
  }
}

/** What follows from the labels of a workload. */
export interface Placement {
  /** Indexes of the selections that it belongs to. */
  readonly selections: readonly number[];
  readonly rules: readonly PlannedRule[];
  readonly entry: EnforcementEntry;
  /** One text for equal rules and entries. */
  readonly key: string;
}

export function placeLabels(plan: LabelPlan, labels: Labels): Placement {
  const selections = plan.selections.flatMap(({ selector }, index) =>
    selects(selector, labels) ? [index] : [],
  );
  const indexes = plan.rules.flatMap(({ subject }, index) => (selects(subject, labels) ? [index] : []));
  const entry = plan.enforcement.findIndex(({ match }) => selects(match, labels));
  return {
    selections,
    rules: indexes.map((index) => plan.rules[index] as PlannedRule),
    entry: plan.enforcement[entry] ?? unmatched,
    key: `${entry}:${indexes.join(",")}`,
  };
}
