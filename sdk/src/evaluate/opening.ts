import { icmp, icmpv6 } from "../policy/model.js";
import type { Packet } from "./packet.js";
import { opposite } from "./service.js";

/**
 * The packet taken in the direction in which its flow was opened: a reply is mirrored, every other packet is as it is.
 * Direction, addresses and ports change sides; an ICMP answer becomes its request.
 */
export function opening(packet: Packet): Packet {
  if (!packet.reply) return packet;
  return {
    ...packet,
    direction: opposite(packet.direction),
    source: packet.destination,
    destination: packet.source,
    sourcePort: packet.destinationPort,
    destinationPort: packet.sourcePort,
    icmpType: packet.icmpType === null ? null : openingType(packet.protocol, packet.icmpType),
  };
}

/** Requests and their answers: RFC 792, RFC 950; RFC 4443. What connection tracking pairs (nf_conntrack_proto_icmp.c). */
const answers: Readonly<Record<number, readonly (readonly [request: number, answer: number])[]>> = {
  [icmp]: [
    [8, 0],
    [13, 14],
    [15, 16],
    [17, 18],
  ],
  [icmpv6]: [[128, 129]],
};

/** The type that answers this one; null: none does, an error for example. */
export function answerType(protocol: number, request: number): number | null {
  return answers[protocol]?.find((pair) => pair[0] === request)?.[1] ?? null;
}

/** The type that this one answers; null: it is no answer. */
export function requestType(protocol: number, answer: number): number | null {
  return answers[protocol]?.find((pair) => pair[1] === answer)?.[0] ?? null;
}

/** A request cannot itself be a reply: then no type. What neither asks nor answers stays what it is. */
function openingType(protocol: number, type: number): number | null {
  const request = requestType(protocol, type);
  if (request !== null) return request;
  return answerType(protocol, type) === null ? type : null;
}
