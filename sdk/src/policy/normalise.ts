import type { PortRange, Service } from "./model.js";
import { normalisePorts } from "./ports.js";

/** Sorted and unique; `any` is everyone, so that nothing else counts beside it. */
export function normalisePeers(peers: Iterable<string>): readonly string[] {
  const unique = new Set(peers);
  return unique.has("any") ? ["any"] : Array.from(unique).sort(compareNames);
}

/** By UTF-16 code units, as RFC 8785 orders keys: the same everywhere, whatever the locale. */
export function compareNames(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/**
 * The same traffic in one way of writing: per protocol one service with all ports, or one per ICMP type and code; what
 * covers more absorbs what lies in it; sorted by protocol, type and code.
 */
export function normaliseServices(services: readonly Service[]): readonly Service[] {
  const byProtocol = new Map<number, Service[]>();
  for (const service of services) {
    const same = byProtocol.get(service.protocol);
    if (same === undefined) byProtocol.set(service.protocol, [service]);
    else same.push(service);
  }
  return Array.from(byProtocol)
    .sort(([a], [b]) => a - b)
    .flatMap(([protocol, same]) => normaliseProtocol(protocol, same));
}

function normaliseProtocol(protocol: number, services: readonly Service[]): readonly Service[] {
  const whole: Service = { protocol, ports: null, icmpType: null, icmpCode: null };
  if (services.some(({ ports, icmpType }) => ports === null && icmpType === null)) return [whole];
  const ports: PortRange[] = [];
  const messages = new Map<number, Service>();
  for (const service of services) {
    for (const range of service.ports ?? []) ports.push(range);
    if (service.icmpType === null) continue;
    const every = messages.get(messageKey(service.icmpType, null));
    if (every === undefined) messages.set(messageKey(service.icmpType, service.icmpCode), service);
  }
  if (ports.length > 0) return [{ ...whole, ports: normalisePorts(ports) }];
  return Array.from(messages)
    .filter(
      ([key, { icmpType }]) =>
        key === messageKey(icmpType, null) || !messages.has(messageKey(icmpType, null)),
    )
    .sort(([a], [b]) => a - b)
    .map(([, service]) => service);
}

/** Orders messages by type and code, a whole type first. */
function messageKey(type: number | null, code: number | null): number {
  return (type ?? 0) * 257 + (code === null ? 0 : code + 1);
}
