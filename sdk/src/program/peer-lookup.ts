import type { CostModel } from "./cost-model.js";
import type { SetKey } from "./program.js";
import type { SetCatalogue } from "./set-catalogue.js";

/**
 * How a peer is looked for in several sets: in one after another while that is cheap, else in their union, as long as the
 * host admits the members that a union repeats.
 */
export class PeerLookup {
  readonly #catalogue: SetCatalogue;
  readonly #costs: CostModel;

  constructor(catalogue: SetCatalogue, costs: CostModel) {
    this.#catalogue = catalogue;
    this.#costs = costs;
  }

  /** The sets to ask; a peer is in one of the named sets if it is in one of these. */
  keys(names: readonly string[]): readonly SetKey[] {
    if (this.unites(names)) return [this.#catalogue.use(names)];
    return names.map((name) => this.#catalogue.use([name]));
  }

  unites(names: readonly string[]): boolean {
    return (
      names.length > 1 && this.listNs(names) > this.#costs.listBudgetNs && this.#catalogue.affords(names)
    );
  }

  /** How many sets are asked. */
  count(names: readonly string[]): number {
    return this.unites(names) ? 1 : names.length;
  }

  ns(names: readonly string[]): number {
    return this.unites(names) ? this.#catalogue.lookupNs(names) : this.listNs(names);
  }

  /** One after another. */
  listNs(names: readonly string[]): number {
    let sum = 0;
    for (const name of names) sum += this.#catalogue.lookupNs([name]);
    return sum;
  }
}
