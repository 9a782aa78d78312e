import { uniteSets } from "../evaluate/unite-sets.js";
import { AddressSet } from "../policy/address-set.js";
import type { Policy } from "../policy/model.js";
import type { PairPart, PairSet, PeerSet, ProgramSet, SetKey } from "./program.js";
import type { SetRecipe } from "./set-catalogue.js";

/**
 * Makes the sets of a program from those of the policy. The same parts give the same objects: what did not change between
 * two versions is equal by reference, and no member is copied unless sets are united.
 */
export function fillSets(recipes: ReadonlyMap<SetKey, SetRecipe>, policy: Policy): Map<SetKey, ProgramSet> {
  const sets = new Map<SetKey, ProgramSet>();
  for (const [key, recipe] of recipes) {
    sets.set(key, recipe.kind === "union" ? peerSet(unionOf(recipe.names, policy)) : pairSet(recipe, policy));
  }
  return sets;
}

export function unionOf(names: readonly string[], policy: Policy): AddressSet {
  return uniteSets(names.map((name) => policy.sets.get(name) ?? AddressSet.empty));
}

/** One object for the same members. */
export function peerSet(members: AddressSet): PeerSet {
  const known = peerSets.get(members);
  if (known !== undefined) return known;
  const set: PeerSet = { kind: "peers", members };
  peerSets.set(members, set);
  return set;
}

const peerSets = new WeakMap<AddressSet, PeerSet>();

/** The last set made from a recipe: one version of it, for as long as the recipe is in use. */
const pairSets = new WeakMap<SetRecipe, PairSet>();

function pairSet(recipe: SetRecipe & { readonly kind: "pairs" }, policy: Policy): PairSet {
  const parts = recipe.parts.map(
    ({ names, protocol, ports }): PairPart => ({ members: unionOf(names, policy), protocol, ports }),
  );
  const last = pairSets.get(recipe);
  if (last?.parts.every((part, index) => part.members === parts[index]?.members)) return last;
  const set: PairSet = { kind: "pairs", parts };
  pairSets.set(recipe, set);
  return set;
}
