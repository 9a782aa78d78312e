import { AddressSet } from "@antenna/sdk";
import { hostOf, ikeIdentity, type WorkloadFacts } from "./facts.js";
import { HeldAddresses } from "./held-addresses.js";
import type { LabelPlan, Selection } from "./label-plan.js";

/** One selection: the addresses everybody can reach, and those that only points of the same host can, by host. */
interface Group {
  readonly selection: Selection;
  readonly routable: HeldAddresses;
  readonly local: Map<string, HeldAddresses>;
}

/** What changed in the addresses of selections, by their indexes. */
export interface GroupChanges {
  readonly routable: ReadonlySet<number>;
  /** By host. */
  readonly local: ReadonlyMap<string, ReadonlySet<number>>;
}

/** The addresses of every selection of a label policy. */
export class AddressGroups {
  readonly #groups: readonly Group[];
  readonly #touched = new Set<number>();
  readonly #touchedLocal = new Map<string, Set<number>>();
  /** Made since the last change, by selections and host. */
  readonly #identities = new Map<string, ReadonlyMap<string, string>>();

  constructor(plan: LabelPlan) {
    this.#groups = plan.selections.map((selection) => ({
      selection,
      routable: new HeldAddresses(),
      local: new Map(),
    }));
  }

  add(facts: WorkloadFacts, selections: readonly number[]): void {
    this.#each(facts, selections, (held, address) => held.add(address, facts.id));
  }

  remove(facts: WorkloadFacts, selections: readonly number[]): void {
    this.#each(facts, selections, (held, address) => held.remove(address, facts.id));
  }

  /** Brings the sets up to date. `like`: sets of the same names, to be shared where they are equal. */
  renew(like: AddressGroups | null = null): GroupChanges {
    const routable = new Set<number>();
    for (const index of this.#touched) {
      const group = this.#group(index);
      const changed = group.routable.renew(like?.routable(group.selection.name));
      // Who answers at an address may change while the address stays.
      if (changed || group.selection.isSecure) routable.add(index);
    }
    const local = new Map<string, Set<number>>();
    for (const [host, indexes] of this.#touchedLocal) {
      const changed = Array.from(indexes).filter((index) => {
        const { local: hosts, selection } = this.#group(index);
        const changes = hosts.get(host)?.renew() === true || selection.isSecure;
        if (hosts.get(host)?.isEmpty === true) hosts.delete(host);
        return changes;
      });
      if (changed.length > 0) local.set(host, new Set(changed));
    }
    const indexes = [...this.#touched, ...Array.from(this.#touchedLocal.values()).flatMap((set) => [...set])];
    if (indexes.some((index) => this.#group(index).selection.isSecure)) this.#identities.clear();
    this.#touched.clear();
    this.#touchedLocal.clear();
    return { routable, local };
  }

  /** Of the selection with that name; undefined: there is none. */
  routable(name: string): AddressSet | undefined {
    return this.#groups.find(({ selection }) => selection.name === name)?.routable.set;
  }

  /** The sets of a selection by their names, as points of a host see them; null: without what is a host's own. */
  sets(index: number, host: string | null): readonly (readonly [string, AddressSet])[] {
    const { selection, routable, local } = this.#group(index);
    const own = host === null ? undefined : local.get(host);
    const all: [string, AddressSet][] = [[selection.name, routable.set]];
    if (own !== undefined) all.push([selection.localName, own.set]);
    return all;
  }

  /** Those of the selections that have addresses of the host's own. */
  localOf(selections: readonly number[], host: string): readonly number[] {
    return selections.filter((index) => this.#group(index).local.has(host));
  }

  /** Who answers at each address of the selections, in the order of addresses; `old` itself if that says the same. */
  identities(
    selections: readonly number[],
    host: string | null,
    old: ReadonlyMap<string, string> | null,
  ): ReadonlyMap<string, string> {
    const key = `${selections.join(",")}:${host ?? ""}`;
    const known = this.#identities.get(key);
    if (known !== undefined) return known;
    const made = this.#makeIdentities(selections, host);
    const identities = old !== null && sameEntries(old, made) ? old : made;
    this.#identities.set(key, identities);
    return identities;
  }

  #makeIdentities(selections: readonly number[], host: string | null): ReadonlyMap<string, string> {
    const held = selections.flatMap((index) => {
      const { routable, local } = this.#group(index);
      const own = host === null ? undefined : local.get(host);
      return own === undefined ? [routable] : [routable, own];
    });
    const identities = new Map<string, string>();
    // A set gives its members in the order of addresses, as a policy in normal form has them.
    for (const address of AddressSet.empty.union(...held.map(({ set }) => set)).strings()) {
      const holders = held.flatMap((addresses) => addresses.holder(address) ?? []).sort();
      if (holders[0] !== undefined) identities.set(address, ikeIdentity(holders[0]));
    }
    return identities;
  }

  #each(
    facts: WorkloadFacts,
    selections: readonly number[],
    act: (held: HeldAddresses, address: string) => void,
  ): void {
    const host = hostOf(facts);
    for (const index of selections) {
      const group = this.#group(index);
      for (const { address, scope } of facts.addresses) {
        switch (scope) {
          case "routable":
            this.#touched.add(index);
            act(group.routable, address);
            break;
          case "host":
            this.#touchLocal(host, index);
            act(ofHost(group, host), address);
            break;
          case "virtual":
            // Published ports enter rules, not sets; a source of such facts does not exist yet.
            break;
        }
      }
    }
  }

  #touchLocal(host: string, index: number): void {
    const touched = this.#touchedLocal.get(host);
    if (touched === undefined) this.#touchedLocal.set(host, new Set([index]));
    else touched.add(index);
  }

  #group(index: number): Group {
    return this.#groups[index] as Group;
  }
}

function ofHost(group: Group, host: string): HeldAddresses {
  const known = group.local.get(host);
  if (known !== undefined) return known;
  const held = new HeldAddresses();
  group.local.set(host, held);
  return held;
}

function sameEntries(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  if (a.size !== b.size) return false;
  for (const [key, value] of a) if (b.get(key) !== value) return false;
  return true;
}
