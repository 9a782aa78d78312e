import type { SocketInfo } from "@antenna/netlink";
import { endpointKey, isUnspecified } from "./address-key.js";

/** Inclusive range of net.ipv4.ip_local_port_range: ports that the kernel gives to clients. Holds for IPv6 too. */
export interface EphemeralPorts {
  readonly from: number;
  readonly to: number;
}

/**
 * Where servers of this namespace can be reached: TCP ports that listen, and UDP ports that are bound outside the
 * ephemeral range (a UDP socket has no other sign of being a server).
 */
export class ListeningPorts {
  readonly #ephemeral: EphemeralPorts;
  readonly #tcp = new PortTable();
  readonly #udp = new PortTable();

  constructor(ephemeral: EphemeralPorts) {
    this.#ephemeral = ephemeral;
  }

  add(
    socket: Pick<SocketInfo, "family" | "ipv6Socket" | "localAddress" | "localPort">,
    protocol: "tcp" | "udp",
  ): void {
    (protocol === "tcp" ? this.#tcp : this.#udp).add(
      socket.localAddress,
      socket.localPort,
      socket.ipv6Socket,
    );
  }

  listensTcp(address: Uint8Array, port: number): boolean {
    return this.#tcp.has(address, port);
  }

  servesUdp(address: Uint8Array, port: number): boolean {
    if (port >= this.#ephemeral.from && port <= this.#ephemeral.to) return false;
    return this.#udp.has(address, port);
  }
}

class PortTable {
  readonly #any4 = new Set<number>();
  readonly #any6 = new Set<number>();
  readonly #bound = new Set<number | string>();

  add(address: Uint8Array, port: number, ipv6Socket: boolean): void {
    if (!isUnspecified(address)) {
      this.#bound.add(endpointKey(address, port));
      return;
    }
    if (!ipv6Socket) this.#any4.add(port);
    else {
      this.#any6.add(port);
      // A socket on :: takes IPv4 too, unless IPV6_V6ONLY; then whoever listens on 0.0.0.0 has its own.
      this.#any4.add(port);
    }
  }

  has(address: Uint8Array, port: number): boolean {
    return (
      (address.length === 4 ? this.#any4 : this.#any6).has(port) ||
      this.#bound.has(endpointKey(address, port))
    );
  }
}
