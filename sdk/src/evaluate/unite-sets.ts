import { AddressSet } from "../policy/address-set.js";

/**
 * The union of sets, the same object for the same sets: whoever compares by reference sees that nothing changed. Of one
 * set it is the set itself. An answer lives as long as the sets it was asked for.
 */
export function uniteSets(sets: readonly AddressSet[]): AddressSet {
  const [first, ...others] = sets;
  if (first === undefined) return AddressSet.empty;
  if (others.length === 0) return first;
  const node = others.reduce((path, set) => childOf(path.next, set), childOf(roots, first));
  node.union ??= first.union(...others);
  return node.union;
}

/** A trie over the order in which the sets are given. */
interface Path {
  union: AddressSet | null;
  readonly next: WeakMap<AddressSet, Path>;
}

const roots = new WeakMap<AddressSet, Path>();

function childOf(paths: WeakMap<AddressSet, Path>, set: AddressSet): Path {
  const known = paths.get(set);
  if (known !== undefined) return known;
  const path: Path = { union: null, next: new WeakMap() };
  paths.set(set, path);
  return path;
}
