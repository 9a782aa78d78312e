import { quote } from "./address.js";
import type { DocumentReader, Expectation, ListExpectation, MapExpectation } from "./document-reader.js";
import { policyLimits } from "./limits.js";
import { type Direction, type Rule, type RuleAction, ruleActions, type Service } from "./model.js";
import { normalisePeers } from "./normalise.js";
import { nameProblem } from "./printable.js";
import { expectServices, type TakeEntries } from "./service-expectation.js";
import { expectBoolean, expectOneOf } from "./word-expectation.js";

const directions: readonly Direction[] = ["in", "out"];

/** A rule whose peers are not yet known to exist: sets may follow the rules. */
export interface RuleDraft {
  readonly path: string;
  readonly rule: Rule;
  /** Peer by the index of its first mention. */
  readonly peers: ReadonlyMap<string, number>;
}

/** One rule. */
export class RuleExpectation implements MapExpectation {
  readonly known = ["id", "direction", "action", "peers", "services", "secure"];
  readonly #reader: DocumentReader;
  readonly #take: TakeEntries;
  /** Path of the rule that has an id, by id. */
  readonly #ids: Map<string, string>;
  readonly #done: (draft: RuleDraft) => void;
  readonly #given = new Set<string>();
  #id = "";
  #direction: Direction = "in";
  #action: RuleAction = "deny";
  #peers: ReadonlyMap<string, number> = new Map();
  #services: readonly Service[] | null = null;
  #secure = false;

  constructor(
    reader: DocumentReader,
    take: TakeEntries,
    ids: Map<string, string>,
    done: (draft: RuleDraft) => void,
  ) {
    this.#reader = reader;
    this.#take = take;
    this.#ids = ids;
    this.#done = done;
  }

  key(name: string): Expectation | null {
    this.#given.add(name);
    switch (name) {
      case "id":
        return { what: "an id (a text)", text: (id) => this.#takeId(id) };
      case "direction":
        return expectOneOf(this.#reader, directions, (direction) => {
          this.#direction = direction;
        });
      case "action":
        return expectOneOf(this.#reader, ruleActions, (action) => {
          this.#action = action;
        });
      case "peers":
        return this.#expectPeers();
      case "services":
        return expectServices(this.#reader, this.#take, false, (services) => {
          this.#services = services;
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
    for (const key of ["id", "direction", "action", "peers"]) {
      if (!this.#given.has(key)) this.#reader.problem("is missing", key);
    }
    if (this.#secure && this.#action !== "allow" && this.#given.has("action")) {
      this.#reader.problem(`stands on allow rules only, not on ${this.#action}`, "secure");
    }
    if (!this.#take(1)) return;
    const rule: Rule = {
      id: this.#id,
      direction: this.#direction,
      action: this.#action,
      peers: normalisePeers(this.#peers.keys()),
      services: this.#services,
      secure: this.#secure,
    };
    this.#done({ path: this.#reader.path(), rule, peers: this.#peers });
  }

  #takeId(id: string): void {
    const problem = nameProblem(id, policyLimits.nameBytes);
    const first = this.#ids.get(id);
    if (problem !== null) this.#reader.problem(`an id ${problem}`);
    else if (first !== undefined) this.#reader.problem(`${quote(id)} is the id of ${first} already`);
    else this.#ids.set(id, this.#reader.path().replace(/\.id$/, ""));
    this.#id = id;
  }

  #expectPeers(): Expectation {
    return {
      what: "a list of names of sets",
      list: (): ListExpectation => {
        const peers = new Map<string, number>();
        let index = 0;
        const add = (name: string) => {
          if (!peers.has(name) && this.#take(1)) peers.set(name, index);
          index++;
        };
        return {
          item: { what: "the name of a set, or any", text: add },
          end: (length) => {
            if (length === 0) this.#reader.problem("is empty; name a set, or any");
            this.#peers = peers;
          },
        };
      },
    };
  }
}
