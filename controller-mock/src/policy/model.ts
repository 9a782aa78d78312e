import type { AddressSet, EnforcementMode, RuleAction, Service, VisibilityLevel } from "@antenna/sdk";
import type { Selector } from "./selector.js";

/** One end of a rule: workloads by their labels, addresses by the names of their lists, or everyone. */
export type RuleEnd =
  | { readonly kind: "workloads"; readonly selector: Selector }
  /** Sorted, unique, at least one. */
  | { readonly kind: "ip-lists"; readonly names: readonly string[] }
  | { readonly kind: "anyone" };

export interface LabelRule {
  readonly from: RuleEnd;
  readonly to: RuleEnd;
  readonly action: RuleAction;
  /** null: every protocol and port. */
  readonly services: ServiceChoice | null;
  /** True on `allow` rules only. */
  readonly secure: boolean;
}

/** What a list of services names and holds. */
export interface ServiceChoice {
  /** Of the policy's `services`; sorted, unique. */
  readonly names: readonly string[];
  /** Written in place, in normal form. */
  readonly inline: readonly Service[];
  /** Both together, in normal form. */
  readonly resolved: readonly Service[];
}

export interface Ruleset {
  /** Unique within the policy. */
  readonly name: string;
  /** Narrows ends of workloads; empty: to nobody in particular. */
  readonly scope: Selector;
  readonly rules: readonly LabelRule[];
}

export interface EnforcementEntry {
  readonly match: Selector;
  readonly mode: EnforcementMode;
  readonly visibility: VisibilityLevel;
  /** Selective mode: inbound services that are denied by default. */
  readonly enforce: readonly Service[];
}

/** What an operator wants of the fleet, in terms of labels (contract, section 3). Immutable, names resolved. */
export interface LabelPolicy {
  /** By name, in the order of names. */
  readonly ipLists: ReadonlyMap<string, AddressSet>;
  /** In the order of the document. */
  readonly rulesets: readonly Ruleset[];
  /** In the order of the document: the first that matches a workload holds. */
  readonly enforcement: readonly EnforcementEntry[];
}

/** What holds before any revision: nothing is allowed or denied, everything is seen. */
export const emptyLabelPolicy: LabelPolicy = { ipLists: new Map(), rulesets: [], enforcement: [] };
