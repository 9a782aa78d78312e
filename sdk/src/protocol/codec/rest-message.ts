import type { antenna } from "#antenna.v1";
import type { PolicyRest } from "../../policy/format.js";
import { policyLimits } from "../../policy/limits.js";
import {
  type Direction,
  type EnforcementMode,
  enforcementModes,
  type PortRange,
  type RuleAction,
  ruleActions,
  type VisibilityLevel,
  visibilityLevels,
} from "../../policy/model.js";
import type { RuleDocument, ServiceDocument } from "../../policy/policy-document.js";
import { formatPorts, readPorts } from "../../policy/ports.js";
import { protocolNumber } from "../../policy/protocol.js";
import type { FieldReader } from "./field-reader.js";

/**
 * Everything of a policy but its sets and version. `rest` is valid: it comes of a policy.
 *
 * @throws TypeError for a service that no policy has.
 */
export function writeRest(rest: PolicyRest): antenna.v1.PolicyRest.$Properties {
  const { identities } = rest;
  return {
    mode: rest.mode,
    visibility: rest.visibility ?? "blocked+allowed",
    reject: rest.reject ?? false,
    rules: (rest.rules ?? []).map(writeRule),
    enforce: (rest.enforce ?? []).map(writeService),
    identities: identities instanceof Map ? Object.fromEntries(identities) : { ...identities },
  };
}

/**
 * A document, whose rules the policy's own reader still has to judge: here it gets its types, and lists their bounds, so that
 * nothing larger than a policy may be is made.
 */
export function readRest(
  reader: FieldReader,
  path: string,
  value: antenna.v1.PolicyRest.$Properties,
): PolicyRest {
  const budget = new EntryBudget(reader, path);
  const identities = Object.entries(value.identities ?? {});
  if (identities.length > policyLimits.identities)
    reader.refuse(`${path}.identities`, `more than ${policyLimits.identities} identities`);
  return {
    mode: reader.oneOf(`${path}.mode`, value.mode, modes),
    visibility: reader.oneOf(`${path}.visibility`, value.visibility, levels),
    reject: value.reject === true,
    rules: reader.list(`${path}.rules`, value.rules, policyLimits.rules, (rule, at) =>
      readRule(reader, at, rule, budget),
    ),
    enforce: reader.list(`${path}.enforce`, value.enforce, policyLimits.entries, (service, at) =>
      readService(reader, at, service, budget),
    ),
    identities: new Map(identities),
  };
}

/** Peers, services and ports of all rules together. */
class EntryBudget {
  readonly #reader: FieldReader;
  readonly #path: string;
  #left: number = policyLimits.entries;

  constructor(reader: FieldReader, path: string) {
    this.#reader = reader;
    this.#path = path;
  }

  take<Item>(items: readonly Item[] | null | undefined): readonly Item[] {
    const list = items ?? [];
    const before = this.#left;
    this.#left -= list.length;
    if (this.#left >= 0) return list;
    if (before >= 0)
      this.#reader.refuse(this.#path, `has more than ${policyLimits.entries} peers, services and ports`);
    return [];
  }
}

function writeRule(rule: RuleDocument): antenna.v1.Rule.$Properties {
  const { id, direction, action, peers, services, secure } = rule;
  return {
    id,
    direction,
    action,
    peers: [...peers],
    services: (services ?? []).map(writeService),
    secure: secure ?? false,
  };
}

function readRule(
  reader: FieldReader,
  path: string,
  value: antenna.v1.Rule.$Properties,
  budget: EntryBudget,
): RuleDocument {
  const services = budget.take(value.services);
  return {
    id: value.id ?? "",
    direction: reader.oneOf(`${path}.direction`, value.direction, directions),
    action: reader.oneOf(`${path}.action`, value.action, actions),
    peers: budget.take(value.peers),
    ...(services.length === 0
      ? {}
      : {
          services: services.map((service, index) =>
            readService(reader, `${path}.services[${index}]`, service, budget),
          ),
        }),
    secure: value.secure === true,
  };
}

function writeService(service: ServiceDocument): antenna.v1.Service.$Properties {
  const { protocol, ports, type, code } = service;
  const number = typeof protocol === "number" ? protocol : protocolNumber(protocol);
  if (number === null) throw new TypeError(`${protocol} is no protocol`);
  return {
    protocol: number,
    ports: (ports ?? []).map(writePorts),
    ...(type === undefined ? {} : { icmpType: type }),
    ...(code === undefined ? {} : { icmpCode: code }),
  };
}

function writePorts(ports: number | string): PortRange {
  const range = readPorts(String(ports));
  if (typeof range === "string") throw new TypeError(range);
  return range;
}

function readService(
  reader: FieldReader,
  path: string,
  value: antenna.v1.Service.$Properties,
  budget: EntryBudget,
): ServiceDocument {
  const ports = budget.take(value.ports);
  const { icmpType, icmpCode } = value;
  return {
    protocol: reader.count(`${path}.protocol`, value.protocol, 1, 255),
    ...(ports.length === 0
      ? {}
      : { ports: ports.map((range, index) => readRange(reader, `${path}.ports[${index}]`, range)) }),
    ...(icmpType === null || icmpType === undefined
      ? {}
      : { type: reader.count(`${path}.type`, icmpType, 0, 255) }),
    ...(icmpCode === null || icmpCode === undefined
      ? {}
      : { code: reader.count(`${path}.code`, icmpCode, 0, 255) }),
  };
}

function readRange(
  reader: FieldReader,
  path: string,
  value: antenna.v1.PortRange.$Properties,
): number | string {
  const from = reader.count(`${path}.from`, value.from, 1, 65_535);
  const to = reader.count(`${path}.to`, value.to, from, 65_535);
  return from === to ? from : formatPorts({ from, to });
}

const modes: readonly [EnforcementMode, ...EnforcementMode[]] = ["idle", ...enforcementModes];
const levels: readonly [VisibilityLevel, ...VisibilityLevel[]] = ["off", ...visibilityLevels];
const directions: readonly [Direction, ...Direction[]] = ["in", "out"];
const actions: readonly [RuleAction, ...RuleAction[]] = ["override-deny", ...ruleActions];
