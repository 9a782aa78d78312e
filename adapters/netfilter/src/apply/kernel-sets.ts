import type {
  CallOptions,
  Difference,
  Family,
  Installed,
  ProgramSet,
  SetChange,
  SetInstance,
} from "@antenna/sdk";
import { type IpsetDriver, isOfType, type NamedSet, type SetComparison } from "../ipset/ipset-driver.js";
import { KernelMembers } from "../ipset/kernel-members.js";
import { type MemberDifferences, setCorrection } from "../ipset/set-correction.js";
import { instanceName, kernelSetName } from "../render/set-condition.js";

const families: readonly Family[] = [4, 6];

/** After the sets of others were seen in a listing. */
const oneByOneChecks = 60;

/** Differing members that are put right one by one; beyond that the set is cheaper made anew. */
const mostCorrected = 1_000;

/** One kernel set, and what it has to hold. */
export interface MeantSet {
  readonly set: NamedSet;
  readonly content: ProgramSet;
  /** Members that the kernel counts in it. */
  readonly size: number;
}

/** Set instances as kernel sets: two each, one a family, both always there, so that an empty one matches nothing. */
export class KernelSets {
  readonly #driver: IpsetDriver;
  /** Checks that will not list the sets of others. */
  #oneByOne = 0;

  constructor(driver: IpsetDriver) {
    this.#driver = driver;
  }

  async create(instance: SetInstance, content: ProgramSet, options: CallOptions): Promise<void> {
    for (const family of families) {
      const creation = { ...namedSet(instance, family), capacity: instance.capacity[family] };
      await this.#driver.create(creation, content, options);
    }
  }

  async add(instance: SetInstance, members: ProgramSet, options: CallOptions): Promise<void> {
    for (const family of families) {
      if (new KernelMembers(members, family).size > 0) {
        await this.#driver.add(namedSet(instance, family), members, options);
      }
    }
  }

  async delete(instance: SetInstance, members: ProgramSet, options: CallOptions): Promise<void> {
    for (const family of families) {
      if (new KernelMembers(members, family).size > 0) {
        await this.#driver.delete(namedSet(instance, family), members, options);
      }
    }
  }

  /** Both families; what is not there is no error. */
  async destroy(instance: string, options: CallOptions = {}): Promise<void> {
    for (const family of families) await this.#driver.destroy(`${instance}-${family}`, options);
  }

  /** Names of our instances in the kernel, whole or half. */
  async instances(options: CallOptions = {}): Promise<ReadonlySet<string>> {
    const names = new Set<string>();
    for (const kernelSet of await this.#driver.names(options)) {
      const name = instanceName(kernelSet);
      if (name !== null) names.add(name);
    }
    return names;
  }

  /**
   * That every set is there, of its type, with the right number of members. The kernel walks all members for that. One
   * listing tells of all sets at once, those of others too: where there are such, ours are asked for one by one.
   */
  async countDifferences(
    meant: readonly MeantSet[],
    options: CallOptions = {},
  ): Promise<readonly Difference[]> {
    const all = this.#oneByOne > 0 ? null : await this.#driver.headers(options);
    if (all === null) this.#oneByOne--;
    else if ([...all.keys()].some((name) => instanceName(name) === null)) this.#oneByOne = oneByOneChecks;
    const found: Difference[] = [];
    for (const { set, size } of meant) {
      const header =
        all === null ? await this.#driver.header(set.name, options) : (all.get(set.name) ?? null);
      if (header === null) found.push(missing(set));
      else if (!isOfType(header, set)) found.push(otherType(set));
      else if (header.elements !== size) {
        found.push(changed(set, `${header.elements} members instead of ${size}`));
      }
    }
    return found;
  }

  /** What brings both kernel sets of an instance to their content; null: that cannot be told, see `differing`. */
  async correction(
    instance: SetInstance,
    content: ProgramSet,
    options: CallOptions = {},
  ): Promise<SetChange | null> {
    const found: MemberDifferences[] = [];
    for (const family of families) {
      const set = { ...namedSet(instance, family), capacity: instance.capacity[family] };
      const differing = await this.#driver.differing(set, content, mostCorrected, options);
      if (differing === null) return null;
      found.push({ family, ...differing });
    }
    return setCorrection(instance.kind, found);
  }

  /** Member by member. */
  async memberDifferences(meant: MeantSet, options: CallOptions = {}): Promise<readonly Difference[]> {
    const { set, content } = meant;
    const comparison: SetComparison = await this.#driver.compare(set, content, options);
    if (comparison.equal) return [];
    if (comparison.header === null) return [missing(set)];
    if (!comparison.sameType) return [otherType(set)];
    const examples = comparison.examples.length === 0 ? "" : `, like ${comparison.examples.join(" ")}`;
    return [changed(set, `${comparison.missing} members missing, ${comparison.extra} too many${examples}`)];
  }
}

/** Every kernel set of an installed program. */
export function meantSets(installed: Installed): readonly MeantSet[] {
  const sets: MeantSet[] = [];
  for (const [key, instance] of installed.instances) {
    const content = installed.program.sets.get(key);
    if (content === undefined) continue;
    for (const family of families) {
      const { size } = new KernelMembers(content, family);
      sets.push({ set: namedSet(instance, family), content, size });
    }
  }
  return sets;
}

function namedSet(instance: SetInstance, family: Family): NamedSet {
  return {
    name: kernelSetName(instance, family),
    family,
    kind: instance.kind,
    shape: instance.shapes[family],
  };
}

/** The object of a difference is the instance: that is what the reconciler replaces. */
function difference(kind: Difference["kind"], set: NamedSet, detail: string): Difference {
  return { kind, family: set.family, object: instanceName(set.name) ?? set.name, detail };
}

function missing(set: NamedSet): Difference {
  return difference("set-missing", set, `there is no set ${set.name}`);
}

function otherType(set: NamedSet): Difference {
  return difference("set-members", set, `${set.name} is another type of set`);
}

function changed(set: NamedSet, detail: string): Difference {
  return difference("set-members", set, `${set.name}: ${detail}`);
}
