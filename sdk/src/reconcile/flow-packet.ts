import type { Packet } from "../evaluate/packet.js";
import type { TrackedFlow, Tuple } from "../ports.js";

const tcp = 6;
const udp = 17;

/**
 * The packet that would open this flow now, as its namespace would see it; null when nobody judges it: forwarded, or
 * both ends local.
 *
 * Contract, "Addresses and ports": source is the original source; destination and port are the reply's source; it is
 * `in` if its reply source is local. Where tracking began after the flow did, the kernel's original direction is only
 * that of the first packet seen: a listening local end makes the flow inbound, anything else outbound.
 */
export function flowPacket(flow: TrackedFlow, isInbound: (flow: TrackedFlow) => boolean): Packet | null {
  if (flow.direction === "forwarded" || flow.direction === "local") return null;
  let direction = flow.direction;
  let { original, reply } = flow;
  if (!flow.openingSeen && (flow.protocol === tcp || flow.protocol === udp)) {
    const opened = isInbound(flow) ? "in" : "out";
    if (opened !== direction) {
      direction = opened;
      [original, reply] = [reply, original];
    }
  }
  return {
    direction,
    loopback: false,
    family: flow.family,
    protocol: flow.protocol,
    source: original.source,
    destination: reply.source,
    sourcePort: original.sourcePort,
    destinationPort: reply.sourcePort,
    icmpType: flow.icmpType,
    icmpCode: flow.icmpCode,
    // Unknown of a flow. Only neighbour discovery asks, which is never tracked.
    hopLimit: 255,
    state: "new",
    reply: false,
    reset: false,
    cut: false,
    protected: false,
    originalDestination: original.destination,
    originalPort: original.destinationPort,
  };
}

/** A copy that outlives the batch the flow came in. */
export function copyFlow(flow: TrackedFlow): TrackedFlow {
  return { ...flow, original: copyTuple(flow.original), reply: copyTuple(flow.reply) };
}

function copyTuple(tuple: Tuple): Tuple {
  return { ...tuple, source: tuple.source.slice(), destination: tuple.destination.slice() };
}
