import { normaliseServices, policyLimits, type Service } from "@antenna/sdk";
import {
  compareNames,
  type DocumentReader,
  type Expectation,
  expectService,
  expectServices,
  nameProblem,
  type ProblemList,
  quote,
  type TakeEntries,
} from "@antenna/sdk/document";
import type { ServiceChoice } from "./model.js";

/** A list of services whose names are not yet known to exist. */
export interface ServiceDraft {
  /** By name: the path of its first mention. */
  readonly names: ReadonlyMap<string, string>;
  readonly inline: readonly Service[];
}

/** The named services of a label policy, and lists that mention them. */
export class NamedServices {
  readonly #reader: DocumentReader;
  readonly #take: TakeEntries;
  readonly #services = new Map<string, readonly Service[]>();
  /** Refused ones: whoever mentions them has no fault of its own. */
  readonly #refused = new Set<string>();

  constructor(reader: DocumentReader, take: TakeEntries) {
    this.#reader = reader;
    this.#take = take;
  }

  /** The map under `services`. */
  expectation(): Expectation {
    return {
      what: "a map of services",
      map: () => ({
        key: (name) => {
          const problem = nameProblem(name, policyLimits.nameBytes);
          this.#refused.add(name);
          if (problem !== null) this.#reader.problem(`the name of a service ${problem}`);
          if (problem !== null || !this.#take(1)) return null;
          return expectServices(this.#reader, this.#take, false, (services) => {
            this.#services.set(name, services);
            this.#refused.delete(name);
          });
        },
        end: () => {},
      }),
    };
  }

  /** A list of names and services. */
  expectChoice(mayBeEmpty: boolean, done: (draft: ServiceDraft) => void): Expectation {
    return {
      what: "a list of services",
      list: () => {
        const names = new Map<string, string>();
        const inline: Service[] = [];
        const item: Expectation = {
          ...expectService(this.#reader, this.#take, (service) => inline.push(service)),
          what: "the name of a service, or a service (a map)",
          text: (name) => {
            if (!names.has(name) && this.#take(1)) names.set(name, this.#reader.path());
          },
        };
        return {
          item,
          end: (length) => {
            if (length === 0 && !mayBeEmpty) this.#reader.problem("is empty; leave it out for every service");
            done({ names, inline: normaliseServices(inline) });
          },
        };
      },
    };
  }

  /** After the document: what a list stands for. Names that are none become problems. */
  resolve(draft: ServiceDraft, problems: ProblemList): ServiceChoice {
    const all = [...draft.inline];
    for (const [name, path] of draft.names) {
      const services = this.#services.get(name);
      if (services !== undefined) all.push(...services);
      else if (!this.#refused.has(name)) problems.add(path, `there is no service ${quote(name)}`);
    }
    return {
      names: Array.from(draft.names.keys()).sort(compareNames),
      inline: draft.inline,
      resolved: normaliseServices(all),
    };
  }
}
