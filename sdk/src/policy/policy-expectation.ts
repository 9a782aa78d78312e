import { AntennaError } from "../error.js";
import { AddressReader, formatWords, quote } from "./address.js";
import type { AddressSet } from "./address-set.js";
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
import { NamedSetsExpectation, peerProblemOf } from "./named-sets-expectation.js";
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
  readonly #sets: NamedSetsExpectation;
  readonly #rules: RuleDraft[] = [];
  readonly #ids = new Map<string, string>();
  #enforce: readonly Service[] = [];
  readonly #identities = new Map<
    string,
    { readonly family: Family; readonly words: Uint32Array; identity: string }
  >();
  #entries = 0;

  constructor(reader: DocumentReader, problems: ProblemList, given: ReadonlyMap<string, AddressSet> | null) {
    this.#reader = reader;
    this.#problems = problems;
    this.#given = given;
    this.#sets = new NamedSetsExpectation(reader, "a set", "sets");
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
        return this.#sets.expectation();
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
    for (const { path, peers } of this.#rules) {
      for (const [name, index] of peers) {
        if (name === "any" || (this.#given ?? this.#sets).has(name)) continue;
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
      sets: this.#given ?? this.#sets.sorted(),
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
          const problem = this.#address.readAddress(bytes, 0, bytes.length) ?? peerProblemOf(this.#address);
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
