import { BlockList, isIPv6 } from "node:net";
import type { WorkloadFacts } from "@antenna/controller/internal/compute/facts.js";
import {
  controllerFacts,
  type LabelPolicyDocument,
  type LabelRuleDocument,
  type LabelServiceDocument,
  type SelectorDocument,
} from "./controller-fleet-arbitrary.js";

/** What opens a connection between a workload and an address. */
export interface Attempt {
  readonly direction: "in" | "out";
  readonly peer: string;
  readonly protocol: "tcp" | "udp" | "icmp";
  readonly port: number | null;
  readonly icmpType: number | null;
  readonly protected: boolean;
}

/**
 * What a label policy says of an attempt, read off its document, without sets, policies or normal forms: the meaning that the
 * computed policies are held against.
 */
export function labelVerdict(
  document: LabelPolicyDocument,
  fleet: readonly WorkloadFacts[],
  workload: WorkloadFacts,
  attempt: Attempt,
): "allowed" | "blocked" | "potentially-blocked" {
  const entry = document.enforcement.find(({ match }) => carries(workload, match));
  const mode = entry?.mode ?? "visibility";
  if (mode === "idle") return "allowed";
  const blocked = mode === "visibility" ? "potentially-blocked" : "blocked";
  const { direction, protocol, port } = attempt;
  const holdsController = workload.addresses.some(({ address }) =>
    controllerFacts.addresses.includes(address),
  );
  if (holdsController && direction === "in" && protocol === "tcp" && port === controllerFacts.port)
    return "allowed";

  const covering = document.rulesets.flatMap(({ scope = {}, rules }) =>
    rules.filter((rule) => covers(rule, scope)),
  );
  if (!attempt.protected && covering.some(({ secure }) => secure === true)) return blocked;
  if (covering.some(({ action }) => action === "override-deny")) return blocked;
  if (covering.some(({ action = "allow" }) => action === "allow")) return "allowed";
  if (covering.some(({ action }) => action === "deny")) return blocked;
  if (mode !== "selective") return blocked;
  const isGuarded = entry?.enforce?.some((service) => serves(service)) === true;
  return direction === "in" && isGuarded ? blocked : "allowed";

  function covers(rule: LabelRuleDocument, scope: SelectorDocument): boolean {
    const [own, other] = direction === "in" ? [rule.to, rule.from] : [rule.from, rule.to];
    if ("ipList" in own || !carries(workload, own) || !carries(workload, scope)) return false;
    if (rule.services !== undefined && !rule.services.some((service) => serves(service))) return false;
    if ("ipList" in other) return valuesOf(other.ipList).some((name) => name === "any" || isIn(name));
    return fleet.some(
      (peer) => carries(peer, other) && carries(peer, scope) && reaches(peer, workload, attempt.peer),
    );
  }

  function isIn(name: string): boolean {
    const list = new BlockList();
    for (const block of document.ipLists[name] ?? []) {
      const [address = "", prefix] = block.split("/");
      const family = isIPv6(address) ? "ipv6" : "ipv4";
      list.addSubnet(address, Number(prefix ?? (family === "ipv6" ? 128 : 32)), family);
    }
    return list.check(attempt.peer, isIPv6(attempt.peer) ? "ipv6" : "ipv4");
  }

  function serves(service: string | LabelServiceDocument): boolean {
    if (typeof service === "string") return (document.services[service] ?? []).some((each) => serves(each));
    if (service.protocol !== protocol) return false;
    if (service.type !== undefined) return service.type === attempt.icmpType;
    return service.ports === undefined || service.ports.some((range) => holds(range, port));
  }
}

function carries({ labels }: WorkloadFacts, selector: SelectorDocument): boolean {
  return Object.entries(selector).every(([key, values]) => valuesOf(values).includes(labels.get(key) ?? ""));
}

function valuesOf(values: string | readonly string[] | undefined): readonly string[] {
  return values === undefined ? [] : typeof values === "string" ? [values] : values;
}

/** The peer answers at the address, as the workload sees it. */
function reaches(peer: WorkloadFacts, workload: WorkloadFacts, address: string): boolean {
  const onOneHost = (peer.host ?? peer.id) === (workload.host ?? workload.id);
  return peer.addresses.some(
    (held) => held.address === address && (held.scope === "routable" || (held.scope === "host" && onOneHost)),
  );
}

function holds(range: number | string, port: number | null): boolean {
  const [from = 0, to = from] = String(range).split("-").map(Number);
  return port !== null && from <= port && port <= to;
}
