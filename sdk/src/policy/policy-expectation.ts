import { AntennaError } from "../error.js";
import { AddressReader, formatWords, peerProblem, quote } from "./address.js";
import { type AddressSet, AddressSetBuilder } from "./address-set.js";
import type { DocumentReader, Expectation, MapExpectation } from "./document-reader.js";
import { policyLimits } from "./limits.js";
import {
  type EnforcementMode,
  enforcementModes,
  type Family,
  type Policy,
  type Service,
  type Version,
  type VisibilityLevel,
  visibilityLevels,
} from "./model.js";
import { compareNames } from "./normalise.js";
import { nameProblem } from "./printable.js";
import type { ProblemList } from "./problem-list.js";
import { type RuleDraft, RuleExpectation } from "./rule-expectation.js";
import { expectServices, type TakeEntries } from "./service-expectation.js";
import { readVersion } from "./version.js";
import { expectBoolean, expectOneOf } from "./word-expectation.js";

/** The document as a whole: what may stand in it, and the policy it makes. */
export class PolicyExpectation implements Expectation, MapExpectation {
  readonly what = "a policy (a map with the key `mode`)";
  readonly known: readonly string[];
  readonly #reader: DocumentReader;
  readonly #problems: ProblemList;
  /** Sets that are given from elsewhere; the document then has none, and no version. */
  readonly #given: ReadonlyMap<string, AddressSet> | null;
  readonly #address = new AddressReader();

  #version: Version | null = null;
  #mode: EnforcementMode | null = null;
  #hasMode = false;
  #visibility: VisibilityLevel = "blocked+allowed";
  #reject = false;
  readonly #sets = new Map<string, AddressSet>();
  /** Names of sets that were refused, so that rules may name them without a second problem. */
  readonly #refusedSets = new Set<string>();
  readonly #rules: RuleDraft[] = [];
  readonly #ids = new Map<string, string>();
  #enforce: readonly Service[] = [];
  readonly #identities = new Map<
    string,
    { readonly family: Family; readonly words: Uint32Array; identity: string }
  >();
  #entries = 0;
  #members = 0;

  constructor(reader: DocumentReader, problems: ProblemList, given: ReadonlyMap<string, AddressSet> | null) {
    this.#reader = reader;
    this.#problems = problems;
    this.#given = given;
    const keys = ["mode", "visibility", "reject", "rules", "enforce", "identities"];
    this.known = given === null ? ["version", "sets", ...keys] : keys;
  }

  map(): MapExpectation {
    return this;
  }

  key(name: string): Expectation | null {
    if (!this.known.includes(name)) return null;
    switch (name) {
      case "version":
        return this.#expectVersion();
      case "mode":
        this.#hasMode = true;
        return expectOneOf(this.#reader, enforcementModes, (mode) => {
          this.#mode = mode;
        });
      case "visibility":
        return expectOneOf(this.#reader, visibilityLevels, (level) => {
          this.#visibility = level;
        });
      case "reject":
        return expectBoolean((value) => {
          this.#reject = value;
        });
      case "sets":
        return this.#expectSets();
      case "rules":
        return this.#expectRules();
      case "enforce":
        return expectServices(this.#reader, this.#take, true, (services) => {
          this.#enforce = services;
        });
      default:
        return this.#expectIdentities();
    }
  }

  end(): void {
    if (!this.#hasMode) this.#reader.problem(`is missing; one of ${enforcementModes.join(", ")}`, "mode");
    if (this.#visibility === "off" && this.#mode !== null && this.#mode !== "full") {
      this.#reader.problem("a policy may ask for `off` only in mode full", "visibility");
    }
    const sets = this.#given ?? this.#sets;
    for (const { path, peers } of this.#rules) {
      for (const [name, index] of peers) {
        if (name === "any" || sets.has(name) || this.#refusedSets.has(name)) continue;
        this.#problems.add(`${path}.peers[${index}]`, `there is no set ${quote(name)}`);
      }
    }
  }

  /** The policy, after the document has ended without a problem. */
  policy(): Policy {
    if (this.#mode === null) {
      // Never a default: a document without a mode must not become a policy that enforces nothing.
      const message = "a document without a mode was not refused; please report this";
      throw new AntennaError({ code: "internal", operation: "read a policy", message });
    }
    return {
      version: this.#version,
      mode: this.#mode,
      visibility: this.#visibility,
      reject: this.#reject,
      sets: this.#given ?? new Map(Array.from(this.#sets).sort(([a], [b]) => compareNames(a, b))),
      rules: this.#rules.map(({ rule }) => rule),
      enforce: this.#enforce,
      identities: new Map(
        Array.from(this.#identities)
          .sort(([, a], [, b]) => compareAddresses(a, b))
          .map(([address, { identity }]) => [address, identity]),
      ),
    };
  }

  readonly #take: TakeEntries = (count) => {
    const before = this.#entries;
    this.#entries += count;
    if (this.#entries <= policyLimits.entries) return true;
    if (before <= policyLimits.entries) {
      this.#reader.problem(
        `here are more than ${policyLimits.entries} peers, services and ports; the policy has too many`,
      );
    }
    return false;
  };

  #expectVersion(): Expectation {
    const take = (text: string) => {
      const reading = readVersion(text);
      if ("version" in reading) this.#version = reading.version;
      else this.#reader.problem(reading.problem);
    };
    return {
      what: 'a sequence (7), or "epoch.sequence" in quotes',
      text: take,
      number: (text) => {
        if (!/[.eE]/.test(text)) take(text);
        else
          this.#reader.problem(
            `${text} is a fraction, in which 2.1 and 2.10 are the same; write it in quotes: "${text}"`,
          );
      },
    };
  }

  #expectSets(): Expectation {
    return {
      what: "a map of sets",
      map: () => ({
        key: (name) => {
          const problem =
            name === "any"
              ? "is built in and means everyone; choose another name"
              : nameProblem(name, policyLimits.nameBytes);
          if (problem !== null) this.#reader.problem(`the name of a set ${problem}`);
          if (this.#sets.size === policyLimits.sets)
            this.#reader.problem(`more than ${policyLimits.sets} sets`);
          const refused = problem !== null || this.#sets.size >= policyLimits.sets;
          if (refused && this.#refusedSets.size < policyLimits.sets) this.#refusedSets.add(name);
          return refused ? null : this.#expectMembers(name);
        },
        end: () => {},
      }),
    };
  }

  #expectMembers(name: string): Expectation {
    // A list that is refused leaves the name behind: rules that name it have no fault of their own.
    this.#refusedSets.add(name);
    const reader = this.#address;
    return {
      what: "a list of addresses and blocks",
      list: () => {
        const builder = new AddressSetBuilder();
        const item: Expectation = {
          what: "an address or a block, in quotes",
          bytes: (bytes, start, end) => {
            const problem = reader.readBlock(bytes, start, end) ?? this.#peerProblem();
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
            this.#refusedSets.delete(name);
          },
        };
      },
    };
  }

  /** Of the block that was read last. */
  #peerProblem(): string | null {
    const { family, words, prefix } = this.#address;
    const problem = peerProblem(family, words, prefix);
    return problem === null ? null : `"${formatWords(family, words, 0, prefix)}" ${problem}`;
  }

  #expectRules(): Expectation {
    return {
      what: "a list of rules",
      list: () => ({
        item: {
          what: "a rule (a map)",
          map: () =>
            new RuleExpectation(this.#reader, this.#take, this.#ids, (draft) => this.#rules.push(draft)),
        },
        end: (length) => {
          if (length > policyLimits.rules)
            this.#reader.problem(`has ${length} rules; ${policyLimits.rules} is the most`);
        },
      }),
    };
  }

  #expectIdentities(): Expectation {
    return {
      what: "a map of identities by address",
      map: () => ({
        key: (name) => {
          const bytes = Buffer.from(name, "utf8");
          const problem = this.#address.readAddress(bytes, 0, bytes.length) ?? this.#peerProblem();
          const address = formatWords(this.#address.family, this.#address.words, 0, this.#address.prefix);
          if (problem !== null) this.#reader.problem(problem);
          else if (this.#identities.has(address)) this.#reader.problem(`is ${address}, which is there twice`);
          else if (this.#identities.size === policyLimits.identities) {
            this.#reader.problem(`more than ${policyLimits.identities} identities`);
          } else return this.#expectIdentity(address);
          return null;
        },
        end: () => {},
      }),
    };
  }

  #expectIdentity(address: string): Expectation {
    const entry = { family: this.#address.family, words: this.#address.words.slice(), identity: "" };
    this.#identities.set(address, entry);
    return {
      what: "an IKE identity (a text)",
      text: (identity) => {
        const problem = nameProblem(identity, policyLimits.identityBytes);
        if (problem !== null) this.#reader.problem(`an identity ${problem}`);
        entry.identity = identity;
      },
    };
  }
}

function compareAddresses(
  a: { readonly family: Family; readonly words: Uint32Array },
  b: { readonly family: Family; readonly words: Uint32Array },
): number {
  if (a.family !== b.family) return a.family - b.family;
  for (let word = 0; word < 4; word++) {
    const difference = (a.words[word] as number) - (b.words[word] as number);
    if (difference !== 0) return difference;
  }
  return 0;
}
