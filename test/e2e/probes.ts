import { type Direction, evaluate, type Packet, type Policy } from "@antenna/sdk";
import { packetOf } from "../unit/packet-fixture.js";
import { clientAddress, serverAddress } from "./arena.js";
import type { Probe } from "./traffic-protocol.js";

/** Addresses of the client and the server in the matrix of probes, the arena's own first ones among them. */
export const peers = {
  4: [clientAddress, "10.78.0.11", "10.78.0.12", "10.78.0.13"],
  6: ["fd00:78::1", "fd00:78::11", "fd00:78::12", "fd00:78::13"],
} as const;
const servers = { 4: serverAddress, 6: "fd00:78::2" } as const;
export const inPorts: readonly number[] = [7000, 7001, 7002, 7003];
export const outPorts: readonly number[] = [7100, 7101];

/** What the arena needs so that every probe has an address to come from. */
export const arenaAddresses = {
  clientAddresses: [
    ...peers[4].slice(1).map((address) => `${address}/24`),
    ...peers[6].map((address) => `${address}/64`),
  ],
  serverAddresses: [`${servers[6]}/64`],
};

export interface DirectedProbe extends Probe {
  /** As the server sees it, where the policy is. */
  readonly direction: Direction;
  readonly packet: Packet;
}

/** Every peer with every port, both directions and families. */
export const matrix: readonly DirectedProbe[] = ([4, 6] as const).flatMap((family) =>
  peers[family].flatMap((peer) => [
    ...inPorts.map((port) => probe("in", peer, servers[family], port)),
    ...outPorts.map((port) => probe("out", servers[family], peer, port)),
  ]),
);

function probe(direction: Direction, source: string, host: string, port: number): DirectedProbe {
  return {
    direction,
    tag: `${direction} ${direction === "in" ? source : host} ${port}`,
    source,
    host,
    port,
    packet: packetOf({
      direction,
      ...(direction === "in" ? { peer: source, local: host } : { peer: host, local: source }),
      protocol: 17,
      destinationPort: port,
    }),
  };
}

export type Expected = "passes" | "never" | "either";

/** What has to happen to a probe while the kernel means one of these policies, or is on its way between them. */
export function expectedUnder(policies: readonly Policy[], { packet }: DirectedProbe): Expected {
  const passes = policies.map((policy) => evaluate(policy, packet).verdict !== "blocked");
  if (passes.every((pass) => pass)) return "passes";
  return passes.some((pass) => pass) ? "either" : "never";
}
