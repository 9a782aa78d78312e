import {
  AddressSet,
  AntennaError,
  type Essential,
  type EssentialFacts,
  type Policy,
  type PolicyDocument,
  type Problem,
  policyFrom,
  protocolName,
} from "@antenna/sdk";
import type { Configuration } from "../config/keys.js";
import type { Narrowed, OperatorAllowance } from "../config/network-value.js";

/** What always passes on this host, as far as the configuration and the resolvers decide it. */
export function essentialFacts(
  values: Pick<Configuration, "essentials.dns" | "essentials.ntp" | "essentials.allow">,
  resolvers: readonly string[],
): EssentialFacts {
  return {
    dns: narrowed(values["essentials.dns"]),
    ntp: narrowed(values["essentials.ntp"]),
    resolvers: AddressSet.from(resolvers),
    operator: operatorEssentials(values["essentials.allow"]),
  };
}

function narrowed(value: Narrowed): boolean | AddressSet {
  return typeof value === "boolean" ? value : AddressSet.from(value);
}

/**
 * The operator's list as essentials. It is written with the grammar of policies, so it is read as one: an allow rule
 * and a set for each entry. Rejects with `input-refused`, with paths into the configuration.
 */
export function operatorEssentials(allowances: readonly OperatorAllowance[]): readonly Essential[] {
  if (allowances.length === 0) return [];
  const document = {
    mode: "full",
    sets: Object.fromEntries(allowances.map(({ addresses }, index) => [`e${index}`, addresses])),
    rules: allowances.map(({ direction, services }, index) => ({
      id: `e${index}`,
      direction,
      action: "allow",
      peers: [`e${index}`],
      ...(services === null ? {} : { services: services.map(plain) }),
    })),
  };
  let policy: Policy;
  try {
    policy = policyFrom(document as PolicyDocument);
  } catch (reason) {
    const error = AntennaError.from(reason, "read essentials.allow");
    if (error.code !== "input-refused") throw error;
    throw new AntennaError({
      code: "input-refused",
      operation: "read essentials.allow",
      message: "what the operator lists is not valid",
      problems: error.problems.map(inConfiguration),
      cause: error,
    });
  }
  return policy.rules.flatMap((rule) => ruleEssentials(policy, rule.id));
}

function ruleEssentials(policy: Policy, id: string): readonly Essential[] {
  const rule = policy.rules.find((candidate) => candidate.id === id);
  if (rule === undefined) return [];
  const services = rule.services ?? [{ protocol: null, ports: null, icmpType: null }];
  return services.map((service) => ({
    name: service.protocol === null ? "operator" : `operator (${protocolName(service.protocol)})`,
    direction: rule.direction,
    family: null,
    protocol: service.protocol,
    peers: policy.sets.get(rule.peers[0] ?? "") ?? null,
    sourcePorts: null,
    destinationPorts: service.ports,
    icmpTypes: service.icmpType === null ? null : [{ from: service.icmpType, to: service.icmpType }],
    hopLimit: null,
    originalDestination: false,
  }));
}

/** `rules[3].services[0]` and `sets.e3[1]` of the policy → `essentials.allow[3]…` of the configuration. */
function inConfiguration({ path, problem }: Problem): Problem {
  const mapped = path
    .replace(/^rules\[(\d+)\]/, "essentials.allow[$1]")
    .replace(/^sets(?:\.e|\["?e)(\d+)(?:"?\])?/, "essentials.allow[$1].addresses");
  return { path: mapped, problem };
}

/** The maps of YAML as objects; what does not fit is refused by the policy's own reader. */
function plain(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(plain);
  if (!(value instanceof Map)) return value;
  return Object.fromEntries([...value].map(([name, inner]) => [String(name), plain(inner)]));
}
