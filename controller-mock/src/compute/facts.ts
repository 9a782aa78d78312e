import type { AddressScope } from "@antenna/sdk";
import type { Labels } from "../policy/label.js";

/** An address that was admitted for a workload: withheld ones are no facts. */
export interface AdmittedAddress {
  readonly address: string;
  readonly scope: AddressScope;
}

/** What policies are computed from, of one workload. */
export interface WorkloadFacts {
  readonly id: string;
  readonly labels: Labels;
  readonly addresses: readonly AdmittedAddress[];
  /** Id of the workload that is its host, of a container; null: it is a host itself. */
  readonly host: string | null;
}

/** Where agents reach the controller. Whoever holds one of the addresses gets the port inbound. */
export interface ControllerFacts {
  readonly addresses: readonly string[];
  readonly port: number;
}

/** The host that a workload runs on, itself or another. */
export function hostOf({ id, host }: WorkloadFacts): string {
  return host ?? id;
}

/** Who answers at the addresses of a workload inside IPsec: its IKE identity. */
export function ikeIdentity(workload: string): string {
  return `${workload}.antenna`;
}
