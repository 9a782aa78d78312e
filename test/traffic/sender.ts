import { KernelSocket, NetlinkError } from "@antenna/netlink";

const EPERM = 1;
const AF_INET = 2;
const AF_INET6 = 10;
const AF_PACKET = 17;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const IPPROTO_RAW = 255;
const SOL_SOCKET = 1;
const SO_BROADCAST = 6;
const SO_MARK = 36;
const IPPROTO_IP = 0;
const IP_NODEFRAG = 22;
const ETH_P_IP = 0x0800;
const ETH_P_IPV6 = 0x86dd;

/** Sends IP packets as they are, with whatever addresses and headers they have. */
export interface Sender extends Disposable {
  send(family: 4 | 6, packet: Uint8Array): void;
}

/** A neighbour: what it sends arrives at the other end of the link. packet(7), SOCK_DGRAM. */
export function openLinkSender(
  namespace: string,
  interfaceIndex: number,
  hardwareAddress: Uint8Array,
): Sender {
  const socket = KernelSocket.open({ family: AF_PACKET, type: SOCK_DGRAM, namespace });
  const addressFor = (protocol: number): Uint8Array => {
    const address = new Uint8Array(20);
    const view = new DataView(address.buffer);
    view.setUint16(0, AF_PACKET, true);
    view.setUint16(2, protocol);
    view.setInt32(4, interfaceIndex, true);
    address[11] = hardwareAddress.length;
    address.set(hardwareAddress, 12);
    return address;
  };
  const addresses = { 4: addressFor(ETH_P_IP), 6: addressFor(ETH_P_IPV6) };
  return {
    send: (family, packet) => {
      if (!socket.send(packet, packet.length, addresses[family])) throw new Error("the link is full");
    },
    [Symbol.dispose]: () => socket.close(),
  };
}

/**
 * The host itself: what it sends goes through OUTPUT. raw(7), IPPROTO_RAW. Fragments of IPv4 leave as they are
 * (IP_NODEFRAG), so that OUTPUT sees them. `mark`: SO_MARK, to tell them from what the host's own stack sends.
 */
export function openHostSender(namespace: string, interfaceIndex: number, mark: number): Sender {
  const options = { type: SOCK_RAW, protocol: IPPROTO_RAW, namespace };
  const ipv4 = KernelSocket.open({ ...options, family: AF_INET });
  const ipv6 = KernelSocket.open({ ...options, family: AF_INET6 });
  for (const socket of [ipv4, ipv6]) socket.setOption(SOL_SOCKET, SO_MARK, mark);
  ipv4.setOption(SOL_SOCKET, SO_BROADCAST, 1);
  ipv4.setOption(IPPROTO_IP, IP_NODEFRAG, 1);
  return {
    send: (family, packet) => {
      const socket = family === 4 ? ipv4 : ipv6;
      const address = family === 4 ? ipv4Address(packet) : ipv6Address(packet, interfaceIndex);
      try {
        if (!socket.send(packet, packet.length, address)) throw new Error("the socket is full");
      } catch (reason) {
        // What OUTPUT drops comes back as EPERM.
        if (!(reason instanceof NetlinkError && reason.errno === EPERM)) throw reason;
      }
    },
    [Symbol.dispose]: () => {
      ipv4.close();
      ipv6.close();
    },
  };
}

/** struct sockaddr_in of the packet's destination. */
function ipv4Address(packet: Uint8Array): Uint8Array {
  const address = new Uint8Array(16);
  new DataView(address.buffer).setUint16(0, AF_INET, true);
  address.set(packet.subarray(16, 20), 4);
  return address;
}

/** struct sockaddr_in6; link-local and multicast destinations need the interface. */
function ipv6Address(packet: Uint8Array, interfaceIndex: number): Uint8Array {
  const address = new Uint8Array(28);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_INET6, true);
  const destination = packet.subarray(24, 40);
  address.set(destination, 8);
  const scoped =
    destination[0] === 0xff || (destination[0] === 0xfe && ((destination[1] ?? 0) & 0xc0) === 0x80);
  if (scoped) view.setUint32(24, interfaceIndex, true);
  return address;
}
