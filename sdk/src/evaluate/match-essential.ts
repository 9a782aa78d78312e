import type { Address } from "../policy/model.js";
import type { Essential } from "./essential.js";
import type { Packet } from "./packet.js";
import { containsPort } from "./service.js";

/**
 * True when every field of the essential that is not null holds.
 *
 * @param peers The peers to go by, when they are not those of the essential.
 */
export function matchesEssential(
  essential: Essential,
  packet: Packet,
  peers: Essential["peers"] = essential.peers,
): boolean {
  if (essential.direction !== packet.direction) return false;
  if (essential.family !== null && essential.family !== packet.family) return false;
  if (essential.protocol !== null && essential.protocol !== packet.protocol) return false;
  if (essential.hopLimit !== null && essential.hopLimit !== packet.hopLimit) return false;
  if (essential.sourcePorts !== null && !containsPort([essential.sourcePorts], packet.sourcePort))
    return false;
  if (essential.icmpTypes !== null && !containsPort(essential.icmpTypes, packet.icmpType)) return false;

  if (packet.direction === "in") return reaches(essential, peers, packet.source, packet.destinationPort);
  if (reaches(essential, peers, packet.destination, packet.destinationPort)) return true;
  return (
    essential.originalDestination &&
    packet.originalDestination !== null &&
    reaches(essential, peers, packet.originalDestination, packet.originalPort)
  );
}

function reaches(
  essential: Essential,
  peers: Essential["peers"],
  peer: Address,
  port: number | null,
): boolean {
  if (essential.destinationPorts !== null && !containsPort(essential.destinationPorts, port)) return false;
  return peers === null || peers.has(peer);
}
