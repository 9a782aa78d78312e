const magic = Uint8Array.of(0xa7, 0x3e, 0xb1, 0x9c);
const blocks = 6;
const firstSequence = 0x1000_0000;

/** Payload that carries a number again and again, so that any fragment and any quotation of the packet shows it. */
export function payloadOf(id: number): Uint8Array {
  const payload = new Uint8Array(blocks * 8);
  const view = new DataView(payload.buffer);
  for (let at = 0; at < payload.length; at += 8) {
    payload.set(magic, at);
    view.setUint32(at + 4, id);
  }
  return payload;
}

/** Sequence and acknowledgement number of a TCP segment, so that the reset which answers it shows whom it answers. */
export function sequenceOf(id: number): number {
  return firstSequence + id * 256;
}

/** The number that a packet, or a packet quoted inside it, carries, or that a TCP reset answers; null: none. */
export function idOf(packet: Uint8Array): number | null {
  for (let at = 0; at + 8 <= packet.length; at++) {
    if (magic.every((byte, index) => packet[at + index] === byte)) {
      return new DataView(packet.buffer, packet.byteOffset + at + 4, 4).getUint32(0);
    }
  }
  return idOfReset(packet);
}

/** RFC 9293, 3.5.2: without ACK the reset acknowledges what it answers, else it takes its acknowledgement as sequence. */
function idOfReset(packet: Uint8Array): number | null {
  const at = (packet[0] ?? 0) >> 4 === 4 ? 20 : 40;
  if (packet.length !== at + 20 || ![packet[9], packet[6]].includes(6)) return null;
  const view = new DataView(packet.buffer, packet.byteOffset + at, 20);
  const flags = view.getUint8(13);
  if ((flags & 4) === 0) return null;
  const number = view.getUint32((flags & 0x10) === 0 ? 4 : 8) - firstSequence;
  return number < 0 ? null : number >> 8;
}
