import type { Packet } from "@antenna/sdk";
import type { TracedPacket, Tracking } from "../tracer/traced-packet.js";
import type { Random } from "../unit/random.js";
import { cutMark } from "./kernel-model.js";

const portProtocols: readonly number[] = [6, 17, 33, 132, 136];
const flagsWithoutReset = [0x02, 0x10, 0x18, 0x12, 0x11, 0x00, 0x06, 0x05, 0x3f];

/**
 * A packet as `evaluate` knows it, as the kernel would show it: everything that `evaluate` is not told is chosen so that
 * it is hardest. Two answers where the backends differ: `legacy` and `nft`.
 */
export function tracedVariants(packet: Packet, random: Random): readonly TracedPacket[] {
  const name = packet.loopback ? "lo" : random.pick(["eth0", "eth1", "lo0"]);
  const incoming = packet.direction === "in";
  const laterFragment = isLaterFragment(packet);
  const base: TracedPacket = {
    hook: incoming ? "INPUT" : "OUTPUT",
    family: packet.family,
    inInterface: incoming ? name : "",
    outInterface: incoming ? "" : name,
    source: packet.source,
    destination: packet.destination,
    protocol: packet.protocol,
    authentication: false,
    behind: null,
    laterFragment,
    misread: null,
    sourcePort: packet.sourcePort,
    destinationPort: packet.destinationPort,
    icmpType: packet.icmpType,
    icmpCode: packet.icmpCode,
    tcpFlags: packet.protocol === 6 && !laterFragment ? tcpFlags(packet, random) : null,
    hopLimit: packet.hopLimit,
    tracking: trackingOf(packet, random),
    ipsec: packet.protected,
  };
  if (laterFragment) {
    const ports = [0, 22, 53, 67, 68, 80, 123, 443, 500, 546, 547, 8443];
    const misread = {
      sourcePort: random.pick(ports),
      destinationPort: random.pick(ports),
      tcpFlags: random.pick([0x04, 0x02, 0x10]),
    };
    return [base, { ...base, misread }];
  }
  if (packet.family === 6 && packet.protocol === 51) {
    // For iptables-legacy AH is a header on the way; nothing follows it here (59).
    return [
      { ...base, authentication: true, protocol: 59 },
      { ...base, authentication: true, behind: { ...base, protocol: 59 } },
    ];
  }
  return [base];
}

export function isLaterFragment(packet: Packet): boolean {
  if (portProtocols.includes(packet.protocol)) return packet.destinationPort === null;
  return packet.protocol === (packet.family === 4 ? 1 : 58) && packet.icmpType === null;
}

function tcpFlags(packet: Packet, random: Random): number {
  return packet.reset ? random.pick([0x04, 0x14]) : random.pick(flagsWithoutReset);
}

function trackingOf(packet: Packet, random: Random): Tracking {
  if (packet.state === "untracked" || packet.state === "invalid") return { kind: packet.state };
  const owners = random.pick([0, 0, 1, 0x0fffffff, 0xefffffff]);
  const icmp = packet.icmpType === null ? 0 : (packet.icmpType << 8) | (packet.icmpCode ?? 0);
  const answered = packet.state !== "new";
  return {
    kind: "entry",
    state: ({ new: "NEW", established: "ESTABLISHED", related: "RELATED" } as const)[packet.state],
    direction: packet.reply ? "REPLY" : "ORIGINAL",
    mark: ((owners & ~cutMark) | (packet.cut ? cutMark : 0)) >>> 0,
    status: new Set(answered ? ["SEEN_REPLY", "ASSURED", "CONFIRMED"] : []),
    originalDestination: packet.originalDestination ?? packet.destination,
    originalDestinationPort: packet.originalPort ?? icmp,
  };
}
