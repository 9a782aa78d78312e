import { type Packet, parseAddress } from "@antenna/sdk";

/** What a test says about a packet. `peer`: the other side; `local`: this one, default of the peer's family. */
export type PacketFields = Partial<Omit<Packet, "source" | "destination">> & {
  readonly peer?: string;
  readonly local?: string;
};

/** A new TCP connection from 10.0.1.10 to port 80 here, unless told otherwise. */
export function packetOf(fields: PacketFields = {}): Packet {
  const { peer = "10.0.1.10", direction = "in", destinationPort = 80, ...more } = fields;
  const { local = peer.includes(":") ? "fd00:9::9" : "10.0.9.9", ...rest } = more;
  const [remote, own] = [parseAddress(peer), parseAddress(local)];
  const [source, destination] = direction === "in" ? [remote, own] : [own, remote];
  return {
    direction,
    loopback: false,
    family: remote.length === 4 ? 4 : 6,
    protocol: 6,
    source,
    destination,
    sourcePort: 40_000,
    destinationPort,
    icmpType: null,
    icmpCode: null,
    hopLimit: 64,
    state: "new",
    reply: false,
    reset: false,
    cut: false,
    protected: false,
    originalDestination: destination,
    originalPort: destinationPort,
    ...rest,
  };
}
