import { createHash } from "node:crypto";
import type { CostModel } from "./cost-model.js";
import type { SetKey } from "./program.js";
import type { SetWeight } from "./set-weight.js";

/** How a set of the program is made from the sets of the policy. */
export type SetRecipe =
  | { readonly kind: "union"; readonly names: readonly string[] }
  | { readonly kind: "pairs"; readonly parts: readonly PairRecipe[] };

/** Every member of the named sets with every one of the ports. */
export interface PairRecipe {
  readonly names: readonly string[];
  readonly protocol: number;
  readonly ports: readonly number[];
}

/**
 * The sets that a layout uses. A named set is used as it is, under a key of its own, wherever it occurs; unions and pairs
 * repeat members and draw on an allowance, so that the kernel never holds more than the host admits.
 */
export class SetCatalogue {
  readonly recipes = new Map<SetKey, SetRecipe>();
  readonly #weights: ReadonlyMap<string, SetWeight>;
  readonly #costs: CostModel;
  #allowance: number;

  constructor(weights: ReadonlyMap<string, SetWeight>, costs: CostModel, maxMembers: number) {
    this.#weights = weights;
    this.#costs = costs;
    const plain = this.members([...weights.keys()]);
    this.#allowance = Math.max(0, Math.min(maxMembers - plain, Math.max(plain, leastAllowance)));
  }

  /** Members that may still be repeated. */
  get allowance(): number {
    return this.#allowance;
  }

  /** The union of the names, of one name its set. */
  use(names: readonly string[]): SetKey {
    const key = unionKey(names);
    if (!this.recipes.has(key)) {
      this.recipes.set(key, { kind: "union", names });
      if (names.length > 1) this.#allowance -= this.members(names);
    }
    return key;
  }

  /** True when the union is there already, or may still be made. */
  affords(names: readonly string[]): boolean {
    return names.length === 1 || this.members(names) <= this.#allowance || this.recipes.has(unionKey(names));
  }

  usePairs(key: SetKey, parts: readonly PairRecipe[]): SetKey {
    this.recipes.set(key, { kind: "pairs", parts });
    this.#allowance -= this.pairs(parts);
    return key;
  }

  /** Members of the sets together, at most. */
  members(names: readonly string[]): number {
    let sum = 0;
    for (const name of names) sum += this.#weigh(name).members;
    return sum;
  }

  pairs(parts: readonly PairRecipe[]): number {
    return parts.reduce((sum, part) => sum + this.members(part.names) * part.ports.length, 0);
  }

  /** What one lookup in the union costs. */
  lookupNs(names: readonly string[]): number {
    let lengths = 1;
    for (const name of names) lengths = Math.max(lengths, this.#weigh(name).prefixLengths);
    return this.#costs.lookupNs + (lengths - 1) * this.#costs.prefixLengthNs;
  }

  #weigh(name: string): SetWeight {
    return this.#weights.get(name) ?? { members: 0, prefixLengths: 0 };
  }
}

/** However small the policy is, this many members more do no harm: 0.2 s of an apply, 2 MB of the kernel. */
const leastAllowance = 65_536;

/** A key tells what a set is for, never what it holds: members may change and rules stay. */
export function unionKey(names: readonly string[]): SetKey {
  if (names.length === 1) return `set:${names[0]}`;
  return `union:${createHash("sha256").update(JSON.stringify(names)).digest("hex").slice(0, 24)}`;
}
