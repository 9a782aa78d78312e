import { AddressSet, formatAddress, parseAddress, type WorkloadAddress } from "@antenna/sdk";
import type { ClaimRecord } from "../store-port.js";

/** What became of one claim, when that differs from before. */
export interface ClaimChange {
  readonly workload: string;
  readonly address: string;
  readonly state: ClaimRecord["state"];
  /** Why it is withheld; null: it is admitted. */
  readonly reason: string | null;
}

interface Holder {
  readonly ranges: AddressSet | null;
  readonly name: string;
  claims: readonly ClaimRecord[];
}

/** Addresses that no workload of a fleet can be reached at from elsewhere, or that belong to nobody. */
const neverPeers = AddressSet.from([
  ...["0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4"],
  ...["::/128", "::1/128", "fe80::/10", "ff00::/8"],
]);

/**
 * Who holds which address. A workload is believed only as far as its pairing key allows and nobody else is harmed: an address
 * has one holder, the first that claimed it, until it lets go; then the next in line has it. Addresses that others can't
 * reach (scope `host`, `virtual`) belong to their host alone and are nobody else's matter.
 */
export class AddressBook {
  readonly #holders = new Map<string, Holder>();
  /** Claimants of each address that are entitled to it, the holder first. */
  readonly #lines = new Map<string, string[]>();

  /** As it was stored: what was admitted stays so. */
  static load(
    workloads: Iterable<{
      readonly id: string;
      readonly name: string;
      readonly ranges: readonly string[];
      readonly claims: readonly ClaimRecord[];
    }>,
  ): AddressBook {
    const book = new AddressBook();
    const all = Array.from(workloads);
    for (const { id, name, ranges, claims } of all) {
      book.#holders.set(id, { name, ranges: rangesOf(ranges), claims: [] });
      for (const { address, scope, state } of claims) {
        const isFree = scope === "routable" && state === "admitted" && !book.#lines.has(address);
        if (isFree) book.#lines.set(address, [id]);
      }
    }
    for (const { id, claims } of all) book.#take(id, claims);
    return book;
  }

  claims(workload: string): readonly ClaimRecord[] {
    return this.#holders.get(workload)?.claims ?? [];
  }

  /** What others' sets may hold of it. */
  admitted(workload: string): readonly ClaimRecord[] {
    return this.claims(workload).filter(({ state }) => state === "admitted");
  }

  /** A workload that may claim; `ranges`: blocks of its pairing key, none: anywhere. */
  enter(workload: string, name: string, ranges: readonly string[]): void {
    const claims = this.claims(workload);
    this.#holders.set(workload, { name, ranges: rangesOf(ranges), claims });
  }

  /** What the workload says its addresses are, all of them. Gives what became of whose claims, its own and others'. */
  claim(workload: string, addresses: readonly WorkloadAddress[]): readonly ClaimChange[] {
    const before = new Map(this.claims(workload).map((claim) => [claim.address, claim]));
    const told = dedupe(addresses);
    const gone = Array.from(before.keys()).filter((address) => told.get(address)?.scope !== "routable");
    const heirs = gone.flatMap((address) => this.#letGo(workload, address));
    this.#take(workload, Array.from(told.values()));
    const own = this.claims(workload).filter((claim) => {
      const old = before.get(claim.address);
      return old?.state !== claim.state || old.reason !== claim.reason || old.scope !== claim.scope;
    });
    return [...own.map((claim) => changeOf(workload, claim)), ...this.#refresh(heirs)];
  }

  /** Lets everything go: the identity ended. */
  leave(workload: string): readonly ClaimChange[] {
    const heirs = this.claims(workload).flatMap(({ address }) => this.#letGo(workload, address));
    this.#holders.delete(workload);
    return this.#refresh(heirs);
  }

  #take(workload: string, addresses: readonly WorkloadAddress[]): void {
    const holder = this.#holders.get(workload);
    if (holder === undefined) throw new TypeError(`nobody entered ${workload}`);
    holder.claims = addresses.map((claim) => {
      const reason = this.#judge(workload, holder, claim);
      const { address, prefix, interface: name, scope } = claim;
      return {
        address,
        prefix,
        interface: name,
        scope,
        state: reason === null ? "admitted" : "withheld",
        reason,
      };
    });
  }

  /** Puts the workload in line, when it is entitled; null: it holds the address. */
  #judge(workload: string, { ranges }: Holder, { address, scope }: WorkloadAddress): string | null {
    const bytes = parseAddress(address);
    if (neverPeers.has(bytes)) return "it is not a unicast address that others can reach";
    if (scope !== "routable") return null;
    if (ranges !== null && !ranges.has(bytes)) return "it lies outside the addresses of its pairing key";
    const line = this.#lines.get(address) ?? [];
    if (!line.includes(workload)) line.push(workload);
    this.#lines.set(address, line);
    const [first = workload] = line;
    if (first === workload) return null;
    return `${first} (${this.#holders.get(first)?.name ?? "unknown"}) holds it`;
  }

  /** Who stands in line for it afterwards. */
  #letGo(workload: string, address: string): readonly string[] {
    const line = (this.#lines.get(address) ?? []).filter((each) => each !== workload);
    if (line.length === 0) this.#lines.delete(address);
    else this.#lines.set(address, line);
    return line;
  }

  #refresh(workloads: readonly string[]): readonly ClaimChange[] {
    return [...new Set(workloads)].flatMap((workload) => {
      const before = new Map(this.claims(workload).map((claim) => [claim.address, claim]));
      this.#take(workload, this.claims(workload));
      return this.claims(workload)
        .filter(({ address, state }) => before.get(address)?.state !== state)
        .map((claim) => changeOf(workload, claim));
    });
  }
}

function changeOf(workload: string, { address, state, reason }: ClaimRecord): ClaimChange {
  return { workload, address, state, reason };
}

/** One claim per address, in canonical text: the first counts. */
function dedupe(addresses: readonly WorkloadAddress[]): ReadonlyMap<string, WorkloadAddress> {
  const claims = new Map<string, WorkloadAddress>();
  for (const claim of addresses) {
    const address = formatAddress(parseAddress(claim.address));
    if (!claims.has(address)) claims.set(address, { ...claim, address });
  }
  return claims;
}

function rangesOf(ranges: readonly string[]): AddressSet | null {
  return ranges.length === 0 ? null : AddressSet.from(ranges);
}
