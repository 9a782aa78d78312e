import type { AddressSet } from "../policy/address-set.js";

/**
 * How heavy a set is, coarsely: both figures are powers of two, rounded up. A layout chosen by them stays the same while
 * members come and go, and depends on nothing but the policy.
 */
export interface SetWeight {
  readonly members: number;
  /** Distinct prefix lengths of the family that has more. */
  readonly prefixLengths: number;
}

const weights = new WeakMap<AddressSet, SetWeight>();

export function weighSet(set: AddressSet): SetWeight {
  let weight = weights.get(set);
  if (weight === undefined) {
    const lengths = Math.max(set.prefixLengths(4).length, set.prefixLengths(6).length);
    weight = { members: roundUp(set.size), prefixLengths: roundUp(lengths) };
    weights.set(set, weight);
  }
  return weight;
}

function roundUp(count: number): number {
  return count <= 1 ? count : 2 ** Math.ceil(Math.log2(count));
}
