import { compareNames } from "@antenna/sdk/document";
import type { Labels } from "./label.js";

/**
 * What labels a workload must carry: by key, in the order of keys, the values of which one must be there (sorted, unique).
 * Without keys it selects every workload. A key without values selects none.
 */
export type Selector = ReadonlyMap<string, readonly string[]>;

export const everyWorkload: Selector = new Map();

/** In normal form; `entries` may come in any order. */
export function selectorOf(entries: Iterable<readonly [string, Iterable<string>]>): Selector {
  return new Map(
    Array.from(entries, ([key, values]): [string, readonly string[]] => [
      key,
      Array.from(new Set(values)).sort(compareNames),
    ]).sort(([a], [b]) => compareNames(a, b)),
  );
}

/** True when the workload carries all labels of the selector. */
export function selects(selector: Selector, labels: Labels): boolean {
  for (const [key, values] of selector) {
    const value = labels.get(key);
    if (value === undefined || !values.includes(value)) return false;
  }
  return true;
}

/** Selects what both select. */
export function narrow(selector: Selector, scope: Selector): Selector {
  if (scope.size === 0) return selector;
  const both = new Map(selector);
  for (const [key, values] of scope) {
    const others = selector.get(key);
    both.set(key, others === undefined ? values : values.filter((value) => others.includes(value)));
  }
  return selectorOf(both);
}

/** True when no workload can ever be selected. */
export function isHopeless(selector: Selector): boolean {
  return Array.from(selector.values()).some((values) => values.length === 0);
}

/** One text for equal selectors: `app=shop role=app|web`. */
export function selectorText(selector: Selector): string {
  if (selector.size === 0) return "all workloads";
  return Array.from(selector, ([key, values]) => `${key}=${values.join("|")}`).join(" ");
}
