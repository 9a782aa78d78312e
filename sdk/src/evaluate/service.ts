import type { Direction, PortRange, Service } from "../policy/model.js";

/** The part of a packet that services look at. */
export interface ServicePoint {
  readonly protocol: number;
  readonly destinationPort: number | null;
  readonly icmpType: number | null;
  readonly icmpCode: number | null;
}

/** True when every field of the service that is not null holds. A field that the packet does not carry holds for none. */
export function matchesService(service: Service, packet: ServicePoint): boolean {
  if (service.protocol !== packet.protocol) return false;
  if (service.ports !== null && !containsPort(service.ports, packet.destinationPort)) return false;
  if (service.icmpType !== null && service.icmpType !== packet.icmpType) return false;
  return service.icmpCode === null || service.icmpCode === packet.icmpCode;
}

export function containsPort(ranges: readonly PortRange[], port: number | null): boolean {
  return port !== null && ranges.some((range) => range.from <= port && port <= range.to);
}

export function opposite(direction: Direction): Direction {
  return direction === "in" ? "out" : "in";
}
