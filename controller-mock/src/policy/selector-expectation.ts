import { policyLimits } from "@antenna/sdk";
import {
  type DocumentReader,
  type Expectation,
  type MapExpectation,
  nameProblem,
  quote,
  type TakeEntries,
} from "@antenna/sdk/document";
import { labelKeyProblem, labelTextProblem, reservedKey } from "./label.js";
import { type Selector, selectorOf } from "./selector.js";

/** Names of ipLists that a document mentions, with the paths where: lists may follow the rules. */
export type NameMentions = { readonly path: string; readonly name: string }[];

/** What stands at one end of a rule, with names not yet known to exist; null: it was refused. */
export type EndDraft =
  | { readonly kind: "workloads"; readonly selector: Selector }
  | { readonly kind: "ip-lists"; readonly names: readonly string[] };

/** A selector of workloads, as `scope` and `match` hold it. */
export function expectSelector(
  reader: DocumentReader,
  take: TakeEntries,
  done: (selector: Selector) => void,
): Expectation {
  return {
    what: "labels (a map; {} is every workload)",
    map: () =>
      new LabelsExpectation(reader, take, null, (end) => end.kind === "workloads" && done(end.selector)),
  };
}

/** One end of a rule: a selector of workloads, or `{ ipList: name }`. */
export function expectRuleEnd(
  reader: DocumentReader,
  take: TakeEntries,
  mentions: NameMentions,
  done: (end: EndDraft) => void,
): Expectation {
  return {
    what: "labels, or { ipList: name } (a map; {} is every workload)",
    map: () => new LabelsExpectation(reader, take, mentions, done),
  };
}

class LabelsExpectation implements MapExpectation {
  readonly #reader: DocumentReader;
  readonly #take: TakeEntries;
  /** null: lists of addresses are not possible here. */
  readonly #mentions: NameMentions | null;
  readonly #done: (end: EndDraft) => void;
  readonly #labels = new Map<string, Set<string>>();
  readonly #lists = new Set<string>();
  #hasList = false;
  #keys = 0;

  constructor(
    reader: DocumentReader,
    take: TakeEntries,
    mentions: NameMentions | null,
    done: (end: EndDraft) => void,
  ) {
    this.#reader = reader;
    this.#take = take;
    this.#mentions = mentions;
    this.#done = done;
  }

  key(name: string): Expectation | null {
    this.#keys++;
    if (name === reservedKey && this.#mentions !== null) {
      this.#hasList = true;
      return this.#expectValues("the name of an ipList, or any", (value) => {
        const problem = nameProblem(value, policyLimits.nameBytes);
        if (problem !== null) this.#reader.problem(`the name of an ipList ${problem}`);
        else {
          this.#lists.add(value);
          this.#mentions?.push({ path: this.#reader.path(), name: value });
        }
      });
    }
    const problem =
      name === reservedKey ? "only from and to of a rule can be lists of addresses" : labelKeyProblem(name);
    if (problem !== null) {
      this.#reader.problem(problem);
      return null;
    }
    const values = new Set<string>();
    this.#labels.set(name, values);
    return this.#expectValues("the value of a label (a text)", (value) => {
      const wrong = labelTextProblem(value);
      if (wrong === null) values.add(value);
      else this.#reader.problem(wrong);
    });
  }

  end(): void {
    if (!this.#hasList) {
      this.#done({ kind: "workloads", selector: selectorOf(this.#labels) });
      return;
    }
    if (this.#keys > 1) this.#reader.problem("ipList stands alone: addresses carry no labels");
    this.#done({ kind: "ip-lists", names: Array.from(this.#lists) });
  }

  #expectValues(what: string, add: (value: string) => void): Expectation {
    const one: Expectation = {
      what,
      text: (value) => {
        if (this.#take(1)) add(value);
      },
      number: (text) => this.#hint(text),
      boolean: (value) => this.#hint(String(value)),
    };
    return {
      ...one,
      what: `${what}, or a list of them`,
      list: () => ({
        item: one,
        end: (length) => {
          if (length === 0) this.#reader.problem("is empty; leave the key out to match every value");
        },
      }),
    };
  }

  #hint(text: string): void {
    this.#reader.problem(`${quote(text).slice(1, -1)} is not a text; write it in quotes: ${quote(text)}`);
  }
}
