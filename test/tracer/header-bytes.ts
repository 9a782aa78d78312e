import type { TracedPacket } from "./traced-packet.js";

/**
 * The headers of an IPv4 packet as bytes, for matches that read bytes: what the traced packet knows, zero elsewhere.
 * RFC 791, 3.1; RFC 792; RFC 9293, 3.1. Throws for IPv6, whose extension headers a traced packet does not keep.
 */
export function headerBytes(packet: TracedPacket): Uint8Array {
  if (packet.family !== 4) throw new Error("bytes of an IPv6 packet are not known");
  const bytes = new Uint8Array(48);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x45;
  view.setUint16(2, bytes.length);
  view.setUint16(6, packet.laterFragment ? 1 : 0);
  bytes[8] = packet.hopLimit;
  bytes[9] = packet.protocol;
  bytes.set(packet.source, 12);
  bytes.set(packet.destination, 16);
  const { sourcePort, destinationPort, tcpFlags } = packet.misread ?? packet;
  view.setUint16(20, sourcePort ?? 0);
  view.setUint16(22, destinationPort ?? 0);
  if (tcpFlags !== null) bytes[33] = tcpFlags;
  if (packet.icmpType !== null) bytes[20] = packet.icmpType;
  if (packet.icmpCode !== null) bytes[21] = packet.icmpCode;
  return bytes;
}
