import type { ExplainQuestion } from "../agent-calls.js";
import type { Packet } from "../evaluate/packet.js";
import { icmpv6 } from "../policy/model.js";

/** The new packet that a question is about. The near end is unspecified: nothing that decides asks for it. */
export function explainedPacket(question: ExplainQuestion): Packet {
  const { direction, peer, port } = question;
  const near = new Uint8Array(peer.length);
  const destination = direction === "in" ? near : peer;
  return {
    direction,
    loopback: question.loopback === true || isLoopback(peer),
    family: peer.length === 4 ? 4 : 6,
    protocol: question.protocol,
    source: direction === "in" ? peer : near,
    destination,
    sourcePort: question.sourcePort ?? null,
    destinationPort: port,
    icmpType: question.icmpType ?? null,
    icmpCode: question.icmpCode ?? null,
    // Neighbour discovery is asked about as it is sent: RFC 4861, 7.1.
    hopLimit: question.protocol === icmpv6 ? 255 : 64,
    state: "new",
    reply: false,
    reset: false,
    cut: false,
    protected: question.protected ?? false,
    originalDestination: destination,
    originalPort: port,
  };
}

/** 127.0.0.0/8 (RFC 1122, 3.2.1.3) and ::1 (RFC 4291, 2.5.3). */
function isLoopback(address: Uint8Array): boolean {
  if (address.length === 4) return address[0] === 127;
  return address.every((byte, index) => byte === (index === 15 ? 1 : 0));
}
