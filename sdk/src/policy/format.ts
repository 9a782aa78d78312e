import type { AddressSet } from "./address-set.js";
import type { Policy, Rule, Service } from "./model.js";
import type { PolicyDocument, RuleDocument, ServiceDocument } from "./policy-document.js";
import { formatPorts } from "./ports.js";
import { protocolName } from "./protocol.js";
import { formatVersion } from "./version.js";

/** Everything of a policy but its sets and its version, as a document. */
export type PolicyRest = Omit<PolicyDocument, "sets" | "version">;

/**
 * The normalised policy as a JSON text in the form of the contract, section 1, in pieces of about 64 KiB: reading it gives an
 * equal policy with an equal digest.
 */
export function* policyChunks(policy: Policy): Generator<string, void, undefined> {
  const { version } = policy;
  yield `{${version === null ? "" : `"version":${JSON.stringify(formatVersion(version))},`}"mode":"${policy.mode}",`;
  yield `"visibility":"${policy.visibility}","reject":${policy.reject},"sets":{`;
  let separator = "";
  for (const [name, set] of policy.sets) {
    yield `${separator}${JSON.stringify(name)}:[`;
    yield* joined(membersAsJson(set));
    yield "]";
    separator = ",";
  }
  yield '},"rules":[';
  yield* joined(mapped(policy.rules, (rule) => JSON.stringify(ruleDocument(rule))));
  yield '],"enforce":[';
  yield* joined(mapped(policy.enforce, (service) => JSON.stringify(serviceDocument(service))));
  yield '],"identities":{';
  yield* joined(
    mapped(
      policy.identities,
      ([address, identity]) => `${JSON.stringify(address)}:${JSON.stringify(identity)}`,
    ),
  );
  yield "}}\n";
}

/** The document without sets and version, as a value that JSON can hold; small enough to be held whole. */
export function policyDocumentWithoutSets(policy: Policy): PolicyRest {
  return {
    mode: policy.mode,
    visibility: policy.visibility,
    reject: policy.reject,
    rules: policy.rules.map(ruleDocument),
    enforce: policy.enforce.map(serviceDocument),
    identities: Object.fromEntries(policy.identities),
  };
}

export function ruleDocument(rule: Rule): RuleDocument {
  const { id, direction, action, peers, services, secure } = rule;
  return {
    id,
    direction,
    action,
    peers,
    ...(services === null ? {} : { services: services.map(serviceDocument) }),
    secure,
  };
}

export function serviceDocument(service: Service): ServiceDocument {
  const name = protocolName(service.protocol);
  return {
    protocol: name === String(service.protocol) ? service.protocol : name,
    ...(service.ports === null
      ? {}
      : { ports: service.ports.map((range) => (range.from === range.to ? range.from : formatPorts(range))) }),
    ...(service.icmpType === null ? {} : { type: service.icmpType }),
    ...(service.icmpCode === null ? {} : { code: service.icmpCode }),
  };
}

/** How large a policy is, for budgets. */
export interface PolicyCounts {
  readonly rules: number;
  readonly sets: number;
  readonly members: number;
  readonly members4: number;
  readonly members6: number;
}

export function countPolicy(policy: Policy): PolicyCounts {
  let [members4, members6] = [0, 0];
  for (const set of policy.sets.values()) {
    members4 += set.size4;
    members6 += set.size6;
  }
  const { rules, sets } = policy;
  return { rules: rules.length, sets: sets.size, members: members4 + members6, members4, members6 };
}

/** Addresses need no escapes. */
function* membersAsJson(set: AddressSet): Generator<string, void, undefined> {
  for (const member of set.strings()) yield `"${member}"`;
}

function* mapped<In>(items: Iterable<In>, make: (item: In) => string): Generator<string, void, undefined> {
  for (const item of items) yield make(item);
}

const chunkLength = 65_536;

/** With commas between the items, gathered into pieces. */
function* joined(items: Iterable<string>): Generator<string, void, undefined> {
  let piece = "";
  let separator = "";
  for (const item of items) {
    piece += separator + item;
    separator = ",";
    if (piece.length < chunkLength) continue;
    yield piece;
    piece = "";
  }
  if (piece !== "") yield piece;
}
