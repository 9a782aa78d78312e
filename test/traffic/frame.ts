/** What follows the network header. Checksums are computed unless `broken` says otherwise. */
export type Upper =
  | {
      readonly kind: "tcp";
      readonly sourcePort: number;
      readonly destinationPort: number;
      /** FIN 1, SYN 2, RST 4, PSH 8, ACK 16, URG 32. */
      readonly flags: number;
      readonly sequence: number;
      readonly acknowledgement: number;
    }
  | {
      readonly kind: "udp" | "udplite" | "sctp" | "dccp";
      readonly sourcePort: number;
      readonly destinationPort: number;
      /** True: connection tracking calls it invalid: a wrong length, or of SCTP a chunk that opens nothing. */
      readonly broken?: boolean;
    }
  | {
      readonly kind: "icmp";
      readonly type: number;
      readonly code: number;
      /** The second word of the header: identifier and sequence of an echo. */
      readonly rest: number;
      /** True: a checksum that is wrong. */
      readonly broken?: boolean;
    }
  | { readonly kind: "other"; readonly protocol: number };

export type ExtensionHeader = "hop-by-hop" | "destination" | "routing" | "authentication";

export interface FrameSpec {
  readonly family: 4 | 6;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  readonly hopLimit: number;
  /** TOS byte or traffic class; the test stand gives some values a meaning. */
  readonly trafficClass: number;
  readonly upper: Upper;
  readonly payload: Uint8Array;
  /** IPv6 only, in this order. */
  readonly extensions?: readonly ExtensionHeader[];
  /** Only bytes from `offset` (in units of eight) on; null or absent: the whole packet. */
  readonly fragment?: Fragment | null;
}

interface Fragment {
  readonly identification: number;
  readonly offset: number;
  /** In bytes, a multiple of eight; null: to the end, and no more fragments follow. */
  readonly length: number | null;
}

const protocols = { tcp: 6, udp: 17, udplite: 136, sctp: 132, dccp: 33 } as const;

export function protocolOf(upper: Upper, family: 4 | 6): number {
  switch (upper.kind) {
    case "icmp":
      return family === 4 ? 1 : 58;
    case "other":
      return upper.protocol;
    default:
      return protocols[upper.kind];
  }
}

/** The bytes of an IP packet, from the network header on. */
export function buildPacket(spec: FrameSpec): Uint8Array {
  const whole = buildUpper(spec);
  const { fragment } = spec;
  if (fragment === null || fragment === undefined) return network(spec, whole, null);
  const from = fragment.offset * 8;
  const to = fragment.length === null ? whole.length : from + fragment.length;
  return network(spec, whole.subarray(from, to), fragment);
}

function network(spec: FrameSpec, body: Uint8Array, fragment: Fragment | null): Uint8Array {
  return spec.family === 4 ? ipv4(spec, body, fragment) : ipv6(spec, body, fragment);
}

/** RFC 791, 3.1. */
function ipv4(spec: FrameSpec, body: Uint8Array, fragment: Fragment | null): Uint8Array {
  const packet = new Uint8Array(20 + body.length);
  const view = new DataView(packet.buffer);
  packet[0] = 0x45;
  packet[1] = spec.trafficClass;
  view.setUint16(2, packet.length);
  view.setUint16(4, (fragment?.identification ?? 0) & 0xffff);
  view.setUint16(6, fragment === null ? 0 : fragment.offset | (fragment.length === null ? 0 : 0x2000));
  packet[8] = spec.hopLimit;
  packet[9] = protocolOf(spec.upper, 4);
  packet.set(spec.source, 12);
  packet.set(spec.destination, 16);
  view.setUint16(10, checksum(packet.subarray(0, 20)));
  packet.set(body, 20);
  return packet;
}

/** RFC 8200, 3 and 4. */
function ipv6(spec: FrameSpec, body: Uint8Array, fragment: Fragment | null): Uint8Array {
  const upper = protocolOf(spec.upper, 6);
  const kinds = spec.extensions ?? [];
  const numbers = kinds.map((kind) => extensionNumbers[kind]);
  const chain = [...numbers, ...(fragment === null ? [] : [44]), upper];
  const headers = kinds.map((kind, index) => extension(kind, chain[index + 1] ?? upper));
  if (fragment !== null) headers.push(fragmentHeader(fragment, upper));
  const length = headers.reduce((sum, header) => sum + header.length, body.length);
  const packet = new Uint8Array(40 + length);
  const view = new DataView(packet.buffer);
  view.setUint32(0, 0x60000000 | (spec.trafficClass << 20));
  view.setUint16(4, length);
  packet[6] = chain[0] ?? upper;
  packet[7] = spec.hopLimit;
  packet.set(spec.source, 8);
  packet.set(spec.destination, 24);
  let at = 40;
  for (const part of [...headers, body]) {
    packet.set(part, at);
    at += part.length;
  }
  return packet;
}

const extensionNumbers: Readonly<Record<ExtensionHeader, number>> = {
  "hop-by-hop": 0,
  destination: 60,
  routing: 43,
  authentication: 51,
};

function extension(kind: ExtensionHeader, next: number): Uint8Array {
  switch (kind) {
    case "hop-by-hop":
    case "destination":
      // One PadN option fills the eight bytes.
      return Uint8Array.of(next, 0, 1, 4, 0, 0, 0, 0);
    case "routing":
      // Type 4 with no segment left, so that nobody routes by it.
      return Uint8Array.of(next, 0, 253, 0, 0, 0, 0, 0);
    case "authentication":
      // RFC 4302, 2: the length counts words less two.
      return Uint8Array.of(next, 4, 0, 0, 0, 0, 1, 2, 0, 0, 0, 1, ...new Uint8Array(12));
  }
}

function fragmentHeader(fragment: Fragment, next: number): Uint8Array {
  const header = new Uint8Array(8);
  const view = new DataView(header.buffer);
  header[0] = next;
  view.setUint16(2, (fragment.offset << 3) | (fragment.length === null ? 0 : 1));
  view.setUint32(4, fragment.identification);
  return header;
}

function buildUpper(spec: FrameSpec): Uint8Array {
  const { upper, payload } = spec;
  switch (upper.kind) {
    case "tcp": {
      const segment = new Uint8Array(20 + payload.length);
      const view = new DataView(segment.buffer);
      view.setUint16(0, upper.sourcePort);
      view.setUint16(2, upper.destinationPort);
      view.setUint32(4, upper.sequence);
      view.setUint32(8, upper.acknowledgement);
      segment[12] = 0x50;
      segment[13] = upper.flags;
      view.setUint16(14, 64000);
      segment.set(payload, 20);
      view.setUint16(16, transportChecksum(spec, segment));
      return segment;
    }
    case "udp":
    case "udplite": {
      const datagram = new Uint8Array(8 + payload.length);
      const view = new DataView(datagram.buffer);
      view.setUint16(0, upper.sourcePort);
      view.setUint16(2, upper.destinationPort);
      // A length beyond the packet's end; for UDP-Lite the coverage, RFC 3828, 3.1.
      view.setUint16(4, datagram.length + (upper.broken === true ? 1000 : 0));
      datagram.set(payload, 8);
      view.setUint16(6, transportChecksum(spec, datagram) || 0xffff);
      return datagram;
    }
    case "sctp": {
      // RFC 9260: the common header and an INIT chunk, alone as it must be; the payload rides as an unknown parameter.
      const parameter = payload.length + 4;
      const chunk = 20 + parameter;
      const packet = new Uint8Array(12 + chunk + ((4 - (chunk % 4)) % 4));
      const view = new DataView(packet.buffer);
      view.setUint16(0, upper.sourcePort);
      view.setUint16(2, upper.destinationPort);
      // DATA opens nothing.
      packet[12] = upper.broken === true ? 0 : 1;
      view.setUint16(14, chunk);
      view.setUint32(16, 0x01020304);
      view.setUint32(20, 64000);
      view.setUint16(24, 1);
      view.setUint16(26, 1);
      view.setUint16(32, 0x8001);
      view.setUint16(34, parameter);
      packet.set(payload, 36);
      view.setUint32(8, crc32c(packet), true);
      return packet;
    }
    case "dccp": {
      // RFC 4340, 5.1: a DCCP-Request with long sequence numbers.
      const packet = new Uint8Array(20 + payload.length);
      const view = new DataView(packet.buffer);
      view.setUint16(0, upper.sourcePort);
      view.setUint16(2, upper.destinationPort);
      packet[4] = 5;
      packet[8] = 0x01;
      packet.set(payload, 20);
      view.setUint16(6, transportChecksum(spec, packet));
      return packet;
    }
    case "icmp": {
      const message = new Uint8Array(8 + payload.length);
      const view = new DataView(message.buffer);
      message[0] = upper.type;
      message[1] = upper.code;
      view.setUint32(4, upper.rest);
      message.set(payload, 8);
      const sum = spec.family === 4 ? checksum(message) : transportChecksum(spec, message);
      view.setUint16(2, upper.broken === true ? sum ^ 0x5555 : sum);
      return message;
    }
    case "other":
      return payload;
  }
}

/** RFC 1071 over the pseudo header (RFC 9293, 3.1; RFC 8200, 8.1) and the segment. */
function transportChecksum(spec: FrameSpec, segment: Uint8Array): number {
  const pseudo = new Uint8Array(spec.source.length * 2 + 8);
  pseudo.set(spec.source, 0);
  pseudo.set(spec.destination, spec.source.length);
  const view = new DataView(pseudo.buffer);
  view.setUint32(pseudo.length - 8, segment.length);
  view.setUint32(pseudo.length - 4, protocolOf(spec.upper, spec.family));
  return checksum(pseudo, segment);
}

function checksum(...parts: readonly Uint8Array[]): number {
  let sum = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) sum += ((part[i] ?? 0) << 8) | (part[i + 1] ?? 0);
  }
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** RFC 9260, appendix A. */
function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}
