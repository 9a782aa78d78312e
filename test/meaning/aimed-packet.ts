import { answerType, type Essential, type Packet, type Policy } from "@antenna/sdk";
import { nearMember, randomPacket } from "../unit/arbitrary-policy.js";
import type { Random } from "../unit/random.js";

const portProtocols: readonly number[] = [6, 17, 33, 132, 136];
const own = { 4: 1, 6: 58 } as const;
const broadcast = Uint8Array.of(255, 255, 255, 255);
const allNodes = Uint8Array.of(0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1);

/**
 * A packet that a kernel could show, near the edges of the policy; every fourth is turned into one of the special
 * kinds that chance alone meets too seldom.
 */
export function aimedPacket(random: Random, policy: Policy, essentials: readonly Essential[]): Packet {
  const packet = stateless(randomPacket(random, policy, essentials));
  if (!random.chance(0.25)) return packet;
  switch (random.below(9)) {
    case 0:
      return withoutPorts(packet, { ...relatedError(random, packet) });
    case 1:
      return { ...ownReset(packet) };
    case 2: {
      // Type 255 is a type like others here, and every type for iptables.
      const icmpType = random.pick([255, 0, 254]);
      return withoutPorts(packet, { protocol: own[packet.family], icmpType, icmpCode: random.below(2) });
    }
    case 3:
      return discovery(random, packet);
    case 4:
      return dhcp(random, packet);
    case 5:
    case 8:
      return translated(random, packet, essentials);
    case 6:
      // The other family's ICMP is a protocol without types.
      return withoutPorts(packet, {
        protocol: own[packet.family === 4 ? 6 : 4],
        icmpType: null,
        icmpCode: null,
      });
    default:
      return {
        ...withoutPorts(packet, {
          protocol: random.pick([47, 50, 51, 2, 255]),
          icmpType: null,
          icmpCode: null,
        }),
      };
  }
}

/** Tracked fragments are put together before any rule sees them: what is left of them is invalid or untracked. */
function stateless(packet: Packet): Packet {
  const carries = portProtocols.includes(packet.protocol);
  const fragment =
    (carries && packet.destinationPort === null) ||
    (packet.protocol === own[packet.family] && packet.icmpType === null);
  if (!fragment || packet.state === "untracked") return { ...packet, reset: packet.reset && !fragment };
  return {
    ...{ ...packet, state: "invalid", reply: false, cut: false, reset: false },
    ...{ originalDestination: null, originalPort: null },
  };
}

function withoutPorts(packet: Packet, changes: Partial<Packet>): Packet {
  const originalPort = null;
  return { ...packet, sourcePort: null, destinationPort: null, reset: false, originalPort, ...changes };
}

function relatedError(random: Random, packet: Packet): Partial<Packet> {
  const types = packet.family === 4 ? [3, 3, 4, 5, 11, 12, 8] : [1, 2, 3, 4, 4, 100, 128];
  return {
    protocol: own[packet.family],
    icmpType: random.pick(types),
    icmpCode: random.below(3),
    state: "related",
    originalDestination: packet.originalDestination ?? packet.destination,
  };
}

/** What REJECT sends for us, or what only looks like it. */
function ownReset(packet: Packet): Packet {
  const ports = packet.destinationPort === null ? { sourcePort: 443, destinationPort: 40000 } : {};
  const original = packet.originalDestination ?? packet.destination;
  return {
    ...{ ...packet, ...ports, protocol: 6, reset: true, state: "related", icmpType: null, icmpCode: null },
    originalDestination: original,
    originalPort: packet.originalPort ?? 443,
  };
}

function discovery(random: Random, packet: Packet): Packet {
  if (packet.family === 4) return packet;
  const icmpType = random.pick([129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 142, 143, 144]);
  const hopLimit = random.pick([255, 255, 254, 64, 1]);
  const destination = packet.direction === "out" && random.chance(0.5) ? allNodes : packet.destination;
  const tracked = { state: "untracked", reply: false, cut: false, originalDestination: null } as const;
  return withoutPorts(packet, { protocol: 58, icmpType, icmpCode: 0, hopLimit, destination, ...tracked });
}

/** On its way to an essential, until the host's own DNAT sent it elsewhere; or the other way round. */
function translated(random: Random, packet: Packet, essentials: readonly Essential[]): Packet {
  const known = essentials.filter((essential) => essential.originalDestination && essential.peers !== null);
  if (known.length === 0 || packet.state === "untracked" || packet.state === "invalid") return packet;
  const essential = random.pick(known);
  const protocol = essential.protocol ?? 6;
  const ported = portProtocols.includes(protocol);
  const icmp = protocol === own[packet.family];
  const request = essential.icmpTypes?.[0]?.from ?? 8;
  const icmpType = packet.reply ? (answerType(protocol, request) ?? request) : request;
  const flow = {
    ...{ protocol, reset: false },
    ...{ icmpType: icmp ? icmpType : null, icmpCode: icmp ? 0 : null },
  };
  const [service] = essential.destinationPorts ?? [];
  const port = Math.min(65_535, (service?.from ?? 1) + random.pick([0, 0, 0, 1]));
  const before = nearMember(random, essential.peers, packet.family);
  const after = nearMember(random, null, packet.family);
  const originals = { originalDestination: before, originalPort: ported ? port : null };
  const local = packet.direction === "out" ? packet.source : packet.destination;
  const localPort = ported ? 40_000 : null;
  const farPort = ported ? random.pick([53, 5353, 80, 8443]) : null;
  if (packet.reply) {
    const ends = { source: after, sourcePort: farPort, destination: local, destinationPort: localPort };
    return { ...packet, ...flow, ...originals, ...ends, direction: "in" };
  }
  const ends = { source: local, sourcePort: localPort, destination: after, destinationPort: farPort };
  return { ...packet, ...flow, ...originals, ...ends, direction: "out" };
}

function dhcp(random: Random, packet: Packet): Packet {
  const [client, server] = packet.family === 4 ? [68, 67] : [546, 547];
  const out = packet.direction === "out";
  const [source = 0, destination = 0] = out ? [client, server] : [server, client];
  const sourcePort = random.chance(0.8) ? source : source + 1;
  const destinationPort = random.chance(0.8) ? destination : destination - 1;
  const everyone = packet.family === 4 ? broadcast : allNodes;
  const tracked = packet.state === "new" || packet.state === "established" || packet.state === "related";
  const target = out && random.chance(0.5) ? everyone : packet.destination;
  return {
    ...{ ...packet, protocol: 17, icmpType: null, icmpCode: null, reset: false },
    ...{ sourcePort, destinationPort, destination: target },
    originalDestination: tracked ? target : null,
    originalPort: tracked ? destinationPort : null,
  };
}
