import type { Policy } from "@antenna/sdk";
import type { FleetPolicies } from "../compute/fleet-policies.js";
import type { LabelPolicy } from "../policy/model.js";

/** What a label policy would change for one workload; the same object twice: nothing. */
export interface PreviewedWorkload {
  readonly workload: string;
  readonly from: Policy;
  readonly to: Policy;
}

/** What a label policy would make of every workload, without making it so. */
export function previewLabelPolicy(fleet: FleetPolicies, policy: LabelPolicy): readonly PreviewedWorkload[] {
  const next = fleet.withLabelPolicy(policy);
  return Array.from(fleet.workloads()).flatMap((workload) => {
    const [from, to] = [fleet.policyOf(workload), next.policyOf(workload)];
    return from === null || to === null ? [] : [{ workload, from, to }];
  });
}
