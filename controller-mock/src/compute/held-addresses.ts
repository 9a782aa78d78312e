import { AddressSet, setRoot } from "@antenna/sdk";

/** The addresses of a group of workloads as one set, changed by address and renewed once after many changes. */
export class HeldAddresses {
  /** Who holds an address; admission sees to it that this is one, but for addresses of a host's own. */
  readonly #holders = new Map<string, Set<string>>();
  readonly #touched = new Set<string>();
  #set = AddressSet.empty;

  get set(): AddressSet {
    return this.#set;
  }

  get isEmpty(): boolean {
    return this.#holders.size === 0;
  }

  add(address: string, workload: string): void {
    const holders = this.#holders.get(address);
    if (holders === undefined) this.#holders.set(address, new Set([workload]));
    else holders.add(workload);
    this.#touched.add(address);
  }

  remove(address: string, workload: string): void {
    const holders = this.#holders.get(address);
    if (holders?.delete(workload) !== true) return;
    if (holders.size === 0) this.#holders.delete(address);
    this.#touched.add(address);
  }

  /** The first, in the order of ids, of those who hold it. */
  holder(address: string): string | null {
    let first: string | null = null;
    for (const workload of this.#holders.get(address) ?? []) {
      if (first === null || workload < first) first = workload;
    }
    return first;
  }

  /** Brings the set up to date. True: its members changed. `like`: a set to share if it is equal. */
  renew(like?: AddressSet): boolean {
    const before = this.#set;
    const [added, removed] = [AddressSet.builder(), AddressSet.builder()];
    for (const address of this.#touched) {
      if (this.#holders.has(address)) added.addText(address);
      else removed.addText(address);
    }
    this.#touched.clear();
    const after = before.with(added.build(), removed.build());
    if (after.equals(before)) return false;
    this.#set = like?.equals(after) === true ? like : after;
    // While the one before is known, the digest costs what differs.
    setRoot(this.#set, before);
    return true;
  }
}
