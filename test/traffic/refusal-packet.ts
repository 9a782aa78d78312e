import type { Packet } from "@antenna/sdk";

const unreachable = {
  4: { protocol: 1, icmpType: 3, icmpCode: 3 },
  6: { protocol: 58, icmpType: 1, icmpCode: 4 },
} as const;

/**
 * What REJECT sends, as OUTPUT sees it: RELATED to what it answers and against its direction (nf_conntrack_attach). A
 * refusal of what the host itself sends goes to itself.
 */
export function refusalPacket(refused: Packet): Packet {
  const { family, source, destination, sourcePort, destinationPort } = refused;
  const tcp = refused.protocol === 6;
  const kind = tcp
    ? {
        protocol: 6,
        icmpType: null,
        icmpCode: null,
        sourcePort: destinationPort,
        destinationPort: sourcePort,
      }
    : { ...unreachable[family], sourcePort: null, destinationPort: null };
  return {
    ...kind,
    ...{ direction: "out", loopback: refused.direction === "out" || refused.loopback, family },
    ...{ source: destination, destination: source, hopLimit: 64, state: "related", reply: !refused.reply },
    ...{ reset: tcp, cut: false, protected: false },
    originalDestination: refused.originalDestination,
    originalPort: refused.originalPort,
  };
}
