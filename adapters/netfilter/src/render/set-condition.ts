import {
  AntennaError,
  type Direction,
  type Family,
  type Installed,
  type Match,
  type SetInstance,
} from "@antenna/sdk";
import { icmpReplyType, serviceConditions } from "./service-conditions.js";

/** An instance is two kernel sets, one a family. At most 26 characters of the kernel's 31. */
export function kernelSetName(instance: SetInstance, family: Family): string {
  return `${instance.name}-${family}`;
}

/** The instance behind a kernel set of ours; null: not ours. */
export function instanceName(kernelSet: string): string | null {
  return /^(ant-[a-z0-9-]{1,20})-[46]$/.exec(kernelSet)?.[1] ?? null;
}

/** Which side of a packet the conditions look at. */
export interface View {
  readonly direction: Direction;
  /** `reply`: packets that answer; the service's ports are their source ports. */
  readonly of: "original" | "reply";
  /** True: a condition on ports was met on the way here, so that no later fragment comes by. Default false. */
  readonly hasPorts?: boolean;
}

/**
 * The conditions that together stand for a match, each the text of one rule's matches; empty when no packet of the
 * family can match.
 */
export function matchConditions(
  match: Match,
  installed: Installed,
  family: Family,
  view: View,
): readonly string[] {
  const set = match.set === null ? "" : setCondition(match.set, installed, family, view);
  if (match.service === null) return [set];
  const service = seenService(match.service, view);
  if (service === null) return [];
  const end = view.of === "original" ? "destination" : "source";
  return serviceConditions(service, family, end, view.hasPorts).map((condition) => condition + set);
}

/** A service as the packets of the view show it: an answer to an echo request is an echo reply. */
function seenService(service: NonNullable<Match["service"]>, view: View): typeof service | null {
  if (view.of === "original" || service.icmpType === null) return service;
  const icmpType = icmpReplyType(service.protocol, service.icmpType);
  return icmpType === null ? null : { ...service, icmpType };
}

/** @throws AntennaError `internal` when the set stands in no instance. */
export function setCondition(
  key: NonNullable<Match["set"]>,
  installed: Installed,
  family: Family,
  view: View,
): string {
  const instance = installed.instances.get(key);
  if (instance === undefined) {
    throw new AntennaError({
      code: "internal",
      operation: "render rules",
      message: `the program names the set ${key}, which stands in no instance`,
    });
  }
  const peer = view.direction === "in" ? "src" : "dst";
  const port = view.of === "original" ? "dst" : "src";
  const flags = instance.kind === "pairs" ? `${peer},${port}` : peer;
  return `-m set --match-set ${kernelSetName(instance, family)} ${flags} `;
}
