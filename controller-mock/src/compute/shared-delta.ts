import { type Policy, type PolicyDelta, policyDelta } from "@antenna/sdk";

const deltas = new WeakMap<Policy, WeakMap<Policy, PolicyDelta>>();

/** As `policyDelta`, made once for all workloads that share the two policies; it has the version of `after`. */
export function deltaBetween(before: Policy, after: Policy): PolicyDelta {
  let known = deltas.get(before);
  if (known === undefined) {
    known = new WeakMap();
    deltas.set(before, known);
  }
  const delta = known.get(after) ?? policyDelta(before, after);
  known.set(after, delta);
  return delta;
}
