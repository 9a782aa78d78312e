import {
  type EnforcementMode,
  enforcementModes,
  policyLimits,
  type VisibilityLevel,
  visibilityLevels,
} from "@antenna/sdk";
import {
  compareNames,
  type DocumentReader,
  type Expectation,
  expectOneOf,
  type MapExpectation,
  NamedSetsExpectation,
  nameProblem,
  type ProblemList,
  quote,
  type TakeEntries,
} from "@antenna/sdk/document";
import type { EnforcementEntry, LabelPolicy, LabelRule, RuleEnd, Ruleset } from "./model.js";
import { LabelRuleExpectation, type RuleDraft, type RuleReading } from "./rule-expectation.js";
import { everyWorkload, type Selector } from "./selector.js";
import { type EndDraft, expectSelector, type NameMentions } from "./selector-expectation.js";
import { NamedServices, type ServiceDraft } from "./services-expectation.js";

interface RulesetDraft {
  readonly name: string;
  readonly scope: Selector;
  readonly rules: readonly RuleDraft[];
}

type EntryDraft = Omit<EnforcementEntry, "enforce"> & { readonly enforce: ServiceDraft | null };

/** The document as a whole: what may stand in it, and the label policy it makes. */
export class LabelPolicyExpectation implements Expectation, MapExpectation {
  readonly what = "a label policy (a map with the keys services, ipLists, rulesets, enforcement)";
  readonly known = ["services", "ipLists", "rulesets", "enforcement"];
  readonly #reader: DocumentReader;
  readonly #problems: ProblemList;
  readonly #services: NamedServices;
  readonly #ipLists: NamedSetsExpectation;
  readonly #mentions: NameMentions = [];
  readonly #rulesets: RulesetDraft[] = [];
  /** Path of the ruleset that has a name, by name. */
  readonly #names = new Map<string, string>();
  readonly #entries: EntryDraft[] = [];
  #rules = 0;
  #taken = 0;
  #policy: LabelPolicy | null = null;

  constructor(reader: DocumentReader, problems: ProblemList) {
    this.#reader = reader;
    this.#problems = problems;
    this.#services = new NamedServices(reader, this.#take);
    this.#ipLists = new NamedSetsExpectation(reader, "an ipList", "ipLists");
  }

  /** The label policy, after the document has ended without a problem. */
  get policy(): LabelPolicy | null {
    return this.#policy;
  }

  map(): MapExpectation {
    return this;
  }

  key(name: string): Expectation | null {
    switch (name) {
      case "services":
        return this.#services.expectation();
      case "ipLists":
        return this.#ipLists.expectation();
      case "rulesets":
        return this.#expectRulesets();
      case "enforcement":
        return this.#expectEnforcement();
      default:
        return null;
    }
  }

  end(): void {
    for (const { path, name } of this.#mentions) {
      if (name !== "any" && !this.#ipLists.has(name))
        this.#problems.add(path, `there is no ipList ${quote(name)}`);
    }
    const rulesets = this.#rulesets.map(
      ({ name, scope, rules }): Ruleset => ({ name, scope, rules: rules.map((rule) => this.#resolve(rule)) }),
    );
    const enforcement = this.#entries.map(
      ({ enforce, ...entry }): EnforcementEntry => ({
        ...entry,
        enforce: enforce === null ? [] : this.#services.resolve(enforce, this.#problems).resolved,
      }),
    );
    this.#policy = { ipLists: this.#ipLists.sorted(), rulesets, enforcement };
  }

  readonly #take: TakeEntries = (count) => {
    const before = this.#taken;
    this.#taken += count;
    if (this.#taken <= policyLimits.entries) return true;
    if (before <= policyLimits.entries)
      this.#reader.problem(
        `here are more than ${policyLimits.entries} labels, services and ports; the policy has too many`,
      );
    return false;
  };

  #resolve(rule: RuleDraft): LabelRule {
    const services = rule.services === null ? null : this.#services.resolve(rule.services, this.#problems);
    const { action, secure } = rule;
    return { from: ruleEnd(rule.from), to: ruleEnd(rule.to), action, services, secure };
  }

  #expectRulesets(): Expectation {
    return {
      what: "a list of rulesets",
      list: () => ({
        item: { what: "a ruleset (a map)", map: () => this.#expectRuleset() },
        end: () => {
          if (this.#rules > policyLimits.rules)
            this.#reader.problem(`hold ${this.#rules} rules; ${policyLimits.rules} is the most`);
        },
      }),
    };
  }

  #expectRuleset(): MapExpectation {
    const reading: RuleReading = {
      reader: this.#reader,
      take: this.#take,
      services: this.#services,
      mentions: this.#mentions,
    };
    const rules: RuleDraft[] = [];
    let name: string | null = null;
    let scope = everyWorkload;
    return {
      known: ["name", "scope", "rules"],
      key: (key) => {
        switch (key) {
          case "name":
            name = "";
            return {
              what: "the name of a ruleset (a text)",
              text: (value) => {
                name = value;
                this.#takeName(value);
              },
            };
          case "scope":
            return expectSelector(this.#reader, this.#take, (selector) => {
              scope = selector;
            });
          case "rules":
            return {
              what: "a list of rules",
              list: () => ({
                item: {
                  what: "a rule (a map)",
                  map: () => {
                    this.#rules++;
                    return new LabelRuleExpectation(reading, (draft) => rules.push(draft));
                  },
                },
                end: () => {},
              }),
            };
          default:
            return null;
        }
      },
      end: () => {
        if (name === null) this.#reader.problem("is missing; each ruleset has a name of its own", "name");
        else if (this.#take(1)) this.#rulesets.push({ name, scope, rules });
      },
    };
  }

  #takeName(name: string): void {
    const problem = nameProblem(name, policyLimits.nameBytes);
    const first = this.#names.get(name);
    if (problem !== null) this.#reader.problem(`the name of a ruleset ${problem}`);
    else if (first !== undefined) this.#reader.problem(`${quote(name)} is the name of ${first} already`);
    else this.#names.set(name, this.#reader.path().replace(/\.name$/, ""));
  }

  #expectEnforcement(): Expectation {
    return {
      what: "a list of enforcement entries",
      list: () => ({
        item: { what: "an enforcement entry (a map)", map: () => this.#expectEntry() },
        end: () => {},
      }),
    };
  }

  #expectEntry(): MapExpectation {
    const given = new Set<string>();
    let match = everyWorkload;
    let mode: EnforcementMode | null = null;
    let visibility: VisibilityLevel = "blocked+allowed";
    let enforce: ServiceDraft | null = null;
    return {
      known: ["match", "mode", "visibility", "enforce"],
      key: (key) => {
        given.add(key);
        switch (key) {
          case "match":
            return expectSelector(this.#reader, this.#take, (selector) => {
              match = selector;
            });
          case "mode":
            return expectOneOf(this.#reader, enforcementModes, (value) => {
              mode = value;
            });
          case "visibility":
            return expectOneOf(this.#reader, visibilityLevels, (value) => {
              visibility = value;
            });
          case "enforce":
            return this.#services.expectChoice(true, (draft) => {
              enforce = draft;
            });
          default:
            return null;
        }
      },
      end: () => {
        if (!given.has("match"))
          this.#reader.problem("is missing; labels, or {} for every workload", "match");
        if (!given.has("mode"))
          this.#reader.problem(`is missing; one of ${enforcementModes.join(", ")}`, "mode");
        if (visibility === "off" && mode !== null && mode !== "full")
          this.#reader.problem("a policy may ask for `off` only in mode full", "visibility");
        if (mode !== null && this.#take(1)) this.#entries.push({ match, mode, visibility, enforce });
      },
    };
  }
}

/** `any` is everyone, so that nothing else counts beside it. */
function ruleEnd(end: EndDraft): RuleEnd {
  if (end.kind === "workloads") return end;
  if (end.names.includes("any")) return { kind: "anyone" };
  return { kind: "ip-lists", names: end.names.toSorted(compareNames) };
}
