import { AddressReader, formatWords, peerProblem } from "./address.js";
import { type AddressSet, AddressSetBuilder } from "./address-set.js";
import type { DocumentReader, Expectation } from "./document-reader.js";
import { policyLimits } from "./limits.js";
import { compareNames } from "./normalise.js";
import { nameProblem } from "./printable.js";

/** Sets of addresses by name, as `sets` of a policy holds them; `any` is built in. */
export class NamedSetsExpectation {
  readonly #reader: DocumentReader;
  readonly #one: string;
  readonly #many: string;
  readonly #address = new AddressReader();
  readonly #sets = new Map<string, AddressSet>();
  /** Names of sets that were refused, so that rules may name them without a second problem. */
  readonly #refused = new Set<string>();
  #members = 0;

  /** `one`, `many`: for messages, `a set` and `sets`. */
  constructor(reader: DocumentReader, one: string, many: string) {
    this.#reader = reader;
    this.#one = one;
    this.#many = many;
  }

  /** True for names that were refused, too. */
  has(name: string): boolean {
    return this.#sets.has(name) || this.#refused.has(name);
  }

  /** In the order of names. */
  sorted(): ReadonlyMap<string, AddressSet> {
    return new Map(Array.from(this.#sets).sort(([a], [b]) => compareNames(a, b)));
  }

  expectation(): Expectation {
    return {
      what: `a map of ${this.#many}`,
      map: () => ({
        key: (name) => {
          const problem =
            name === "any"
              ? "is built in and means everyone; choose another name"
              : nameProblem(name, policyLimits.nameBytes);
          if (problem !== null) this.#reader.problem(`the name of ${this.#one} ${problem}`);
          if (this.#sets.size === policyLimits.sets)
            this.#reader.problem(`more than ${policyLimits.sets} ${this.#many}`);
          const refused = problem !== null || this.#sets.size >= policyLimits.sets;
          if (refused && this.#refused.size < policyLimits.sets) this.#refused.add(name);
          return refused ? null : this.#expectMembers(name);
        },
        end: () => {},
      }),
    };
  }

  #expectMembers(name: string): Expectation {
    // A list that is refused leaves the name behind: rules that name it have no fault of their own.
    this.#refused.add(name);
    const reader = this.#address;
    return {
      what: "a list of addresses and blocks",
      list: () => {
        const builder = new AddressSetBuilder();
        const item: Expectation = {
          what: "an address or a block, in quotes",
          bytes: (bytes, start, end) => {
            const problem = reader.readBlock(bytes, start, end) ?? peerProblemOf(reader);
            if (problem !== null) this.#reader.problem(problem);
            else if (++this.#members <= policyLimits.members)
              builder.addWords(reader.family, reader.words, reader.prefix);
            else if (this.#members === policyLimits.members + 1) {
              this.#reader.problem(`more than ${policyLimits.members} members`);
            }
          },
        };
        return {
          item,
          end: () => {
            this.#sets.set(name, builder.build());
            this.#refused.delete(name);
          },
        };
      },
    };
  }
}

/** Why nobody can be a peer under the block that was read last; null: fine. */
export function peerProblemOf({ family, words, prefix }: AddressReader): string | null {
  const problem = peerProblem(family, words, prefix);
  return problem === null ? null : `"${formatWords(family, words, 0, prefix)}" ${problem}`;
}
