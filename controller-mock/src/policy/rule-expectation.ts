import { type RuleAction, ruleActions } from "@antenna/sdk";
import {
  type DocumentReader,
  type Expectation,
  expectBoolean,
  expectOneOf,
  type MapExpectation,
  type TakeEntries,
} from "@antenna/sdk/document";
import { type EndDraft, expectRuleEnd, type NameMentions } from "./selector-expectation.js";
import type { NamedServices, ServiceDraft } from "./services-expectation.js";

/** A rule whose names are not yet known to exist. */
export interface RuleDraft {
  readonly from: EndDraft;
  readonly to: EndDraft;
  readonly action: RuleAction;
  readonly services: ServiceDraft | null;
  readonly secure: boolean;
}

/** What rules are read with. */
export interface RuleReading {
  readonly reader: DocumentReader;
  readonly take: TakeEntries;
  readonly services: NamedServices;
  readonly mentions: NameMentions;
}

/** One rule of a ruleset. */
export class LabelRuleExpectation implements MapExpectation {
  readonly known = ["from", "to", "services", "action", "secure"];
  readonly #reading: RuleReading;
  readonly #done: (draft: RuleDraft) => void;
  readonly #given = new Set<string>();
  #from: EndDraft | null = null;
  #to: EndDraft | null = null;
  #action: RuleAction = "allow";
  #services: ServiceDraft | null = null;
  #secure = false;

  constructor(reading: RuleReading, done: (draft: RuleDraft) => void) {
    this.#reading = reading;
    this.#done = done;
  }

  key(name: string): Expectation | null {
    const { reader, take, services, mentions } = this.#reading;
    this.#given.add(name);
    switch (name) {
      case "from":
        return expectRuleEnd(reader, take, mentions, (end) => {
          this.#from = end;
        });
      case "to":
        return expectRuleEnd(reader, take, mentions, (end) => {
          this.#to = end;
        });
      case "services":
        return services.expectChoice(false, (draft) => {
          this.#services = draft;
        });
      case "action":
        return expectOneOf(reader, ruleActions, (action) => {
          this.#action = action;
        });
      case "secure":
        return expectBoolean((value) => {
          this.#secure = value;
        });
      default:
        return null;
    }
  }

  end(): void {
    const { reader, take } = this.#reading;
    for (const key of ["from", "to"]) {
      if (!this.#given.has(key))
        reader.problem("is missing; labels, {} for every workload, or { ipList: any }", key);
    }
    if (this.#secure && this.#action !== "allow")
      reader.problem(`stands on allow rules only, not on ${this.#action}`, "secure");
    const [from, to] = [this.#from, this.#to];
    if (from === null || to === null) return;
    if (from.kind === "ip-lists" && to.kind === "ip-lists")
      reader.problem("from and to are both lists of addresses; one end of a rule must be workloads");
    else if (take(1))
      this.#done({ from, to, action: this.#action, services: this.#services, secure: this.#secure });
  }
}
