import { AttributeReader, NetlinkError } from "@antenna/netlink";
import {
  addressAttribute,
  addressFamily,
  attribute,
  counterAttribute,
  headerLength,
  protocolAttribute,
  protocolInfoAttribute,
  sctpAttribute,
  tcpAttribute,
  tupleAttribute,
} from "./ctnetlink.js";
import type { Entry, EntryCounters, EntryTcp, EntryTuple } from "./entry.js";

/** Address storage of one end: the record's property is one of the two views. */
interface AddressSlot {
  readonly v4: Uint8Array;
  readonly v6: Uint8Array;
}

interface TupleSlot {
  readonly source: AddressSlot;
  readonly destination: AddressSlot;
}

/**
 * Reads ctnetlink messages into one record, without an allocation per message.
 *
 * A length that leaves what encloses it, a value that is too short, a missing tuple or two tuples of different
 * protocols give NetlinkError `malformed`. Attributes that are not known are skipped, so that newer kernels can be read.
 */
export class EntryParser {
  readonly #outer = new AttributeReader();
  readonly #middle = new AttributeReader();
  readonly #inner = new AttributeReader();
  readonly #original = tupleSlot();
  readonly #reply = tupleSlot();
  readonly #tcp: EntryTcp;
  readonly #counters: EntryCounters;
  readonly #entry: Entry;
  #bytes: Uint8Array = new Uint8Array(0);

  constructor() {
    this.#tcp = { state: 0, flagsOriginal: 0, flagsReply: 0, windowScaleOriginal: 0, windowScaleReply: 0 };
    this.#counters = { packetsOriginal: 0, bytesOriginal: 0, packetsReply: 0, bytesReply: 0 };
    this.#entry = {
      family: 4,
      protocol: 0,
      original: emptyTuple(this.#original),
      reply: emptyTuple(this.#reply),
      id: 0,
      zone: 0,
      status: 0,
      mark: 0,
      timeout: null,
      tcp: null,
      sctpState: null,
      counters: null,
    };
  }

  /** Reads the payload of one message (`start`: the first byte after the netlink header). Valid until the next call. */
  parse(bytes: Uint8Array, start: number, end: number): Entry {
    if (end - start < headerLength) throw malformed("no room for struct nfgenmsg");
    const family = bytes[start];
    if (family !== addressFamily.inet && family !== addressFamily.inet6) {
      throw malformed(`address family ${family} is neither IPv4 nor IPv6`);
    }
    this.#bytes = bytes;
    this.#reset(family === addressFamily.inet ? 4 : 6);
    this.#readEntry(this.#outer.reset(bytes, start + headerLength, end));
    return this.#entry;
  }

  #reset(family: 4 | 6): void {
    const entry = this.#entry;
    entry.family = family;
    resetTuple(entry.original, this.#original, family);
    resetTuple(entry.reply, this.#reply, family);
    entry.protocol = -1;
    entry.id = 0;
    entry.zone = 0;
    entry.status = 0;
    entry.mark = 0;
    entry.timeout = null;
    entry.tcp = null;
    entry.sctpState = null;
    entry.counters = null;
  }

  #readEntry(reader: AttributeReader): void {
    const entry = this.#entry;
    let tuples = 0;
    let zone = -1;
    while (reader.next()) {
      switch (reader.type) {
        case attribute.tupleOriginal: {
          const originalZone = this.#readTuple(reader, entry.original);
          if (zone < 0) entry.zone = originalZone;
          tuples |= 1;
          break;
        }
        case attribute.tupleReply:
          this.#readTuple(reader, entry.reply);
          tuples |= 2;
          break;
        case attribute.status:
          entry.status = reader.be32();
          break;
        case attribute.timeout:
          entry.timeout = reader.be32();
          break;
        case attribute.mark:
          entry.mark = reader.be32();
          break;
        case attribute.id:
          entry.id = reader.be32();
          break;
        case attribute.zone:
          zone = reader.be16();
          entry.zone = zone;
          break;
        case attribute.protocolInfo:
          this.#readProtocolInfo(reader);
          break;
        case attribute.countersOriginal:
          this.#readCounters(reader, true);
          break;
        case attribute.countersReply:
          this.#readCounters(reader, false);
          break;
      }
    }
    if (tuples !== 3) throw malformed("an entry without both of its tuples");
  }

  /** Gives the tuple's own zone, which it has where the entry's zone holds for one direction only. */
  #readTuple(outer: AttributeReader, tuple: EntryTuple): number {
    const reader = outer.enter(this.#middle);
    let parts = 0;
    let zone = 0;
    while (reader.next()) {
      switch (reader.type) {
        case tupleAttribute.address:
          this.#readAddresses(reader, tuple);
          parts |= 1;
          break;
        case tupleAttribute.protocol:
          this.#readProtocol(reader, tuple);
          parts |= 2;
          break;
        case tupleAttribute.zone:
          zone = reader.be16();
          break;
      }
    }
    if (parts !== 3) throw malformed("a tuple without addresses or protocol");
    return zone;
  }

  #readAddresses(outer: AttributeReader, tuple: EntryTuple): void {
    const reader = outer.enter(this.#inner);
    const four = this.#entry.family === 4;
    const source = four ? addressAttribute.source4 : addressAttribute.source6;
    const destination = four ? addressAttribute.destination4 : addressAttribute.destination6;
    let ends = 0;
    while (reader.next()) {
      if (reader.type === source) {
        this.#copyAddress(reader, tuple.source);
        ends |= 1;
      } else if (reader.type === destination) {
        this.#copyAddress(reader, tuple.destination);
        ends |= 2;
      }
    }
    if (ends !== 3) throw malformed("a tuple without both addresses");
  }

  /** Byte by byte: a view of the source would be an allocation. */
  #copyAddress(reader: AttributeReader, target: Uint8Array): void {
    if (reader.length !== target.length) throw malformed(`an address of ${reader.length} bytes`);
    const start = reader.start;
    for (let index = 0; index < target.length; index += 1) target[index] = this.#bytes[start + index] ?? 0;
  }

  #readProtocol(outer: AttributeReader, tuple: EntryTuple): void {
    const reader = outer.enter(this.#inner);
    let protocol = -1;
    while (reader.next()) {
      switch (reader.type) {
        case protocolAttribute.number:
          protocol = reader.u8();
          break;
        case protocolAttribute.sourcePort:
          tuple.sourcePort = reader.be16();
          break;
        case protocolAttribute.destinationPort:
          tuple.destinationPort = reader.be16();
          break;
        case protocolAttribute.icmpId:
        case protocolAttribute.icmpv6Id:
          tuple.icmpId = reader.be16();
          break;
        case protocolAttribute.icmpType:
        case protocolAttribute.icmpv6Type:
          tuple.icmpType = reader.u8();
          break;
        case protocolAttribute.icmpCode:
        case protocolAttribute.icmpv6Code:
          tuple.icmpCode = reader.u8();
          break;
      }
    }
    const entry = this.#entry;
    if (protocol < 0) throw malformed("a tuple without protocol number");
    if (entry.protocol >= 0 && entry.protocol !== protocol) throw malformed("tuples of different protocols");
    entry.protocol = protocol;
  }

  #readProtocolInfo(outer: AttributeReader): void {
    const reader = outer.enter(this.#middle);
    while (reader.next()) {
      if (reader.type === protocolInfoAttribute.tcp) this.#readTcp(reader);
      else if (reader.type === protocolInfoAttribute.sctp) this.#readSctp(reader);
    }
  }

  #readTcp(outer: AttributeReader): void {
    const reader = outer.enter(this.#inner);
    const tcp = this.#tcp;
    tcp.state = 0;
    tcp.flagsOriginal = 0;
    tcp.flagsReply = 0;
    tcp.windowScaleOriginal = 0;
    tcp.windowScaleReply = 0;
    while (reader.next()) {
      switch (reader.type) {
        case tcpAttribute.state:
          tcp.state = reader.u8();
          break;
        case tcpAttribute.windowScaleOriginal:
          tcp.windowScaleOriginal = reader.u8();
          break;
        case tcpAttribute.windowScaleReply:
          tcp.windowScaleReply = reader.u8();
          break;
        // struct nf_ct_tcp_flags: the flags, then their mask.
        case tcpAttribute.flagsOriginal:
          tcp.flagsOriginal = reader.u8();
          break;
        case tcpAttribute.flagsReply:
          tcp.flagsReply = reader.u8();
          break;
      }
    }
    this.#entry.tcp = tcp;
  }

  #readSctp(outer: AttributeReader): void {
    const reader = outer.enter(this.#inner);
    while (reader.next()) {
      if (reader.type === sctpAttribute.state) this.#entry.sctpState = reader.u8();
    }
  }

  #readCounters(outer: AttributeReader, original: boolean): void {
    const reader = outer.enter(this.#middle);
    const counters = this.#counters;
    if (this.#entry.counters === null) {
      counters.packetsOriginal = 0;
      counters.bytesOriginal = 0;
      counters.packetsReply = 0;
      counters.bytesReply = 0;
      this.#entry.counters = counters;
    }
    while (reader.next()) {
      if (reader.type === counterAttribute.packets) {
        if (original) counters.packetsOriginal = reader.be64Number();
        else counters.packetsReply = reader.be64Number();
      } else if (reader.type === counterAttribute.bytes) {
        if (original) counters.bytesOriginal = reader.be64Number();
        else counters.bytesReply = reader.be64Number();
      }
    }
  }
}

function addressSlot(): AddressSlot {
  const storage = new ArrayBuffer(16);
  return { v4: new Uint8Array(storage, 0, 4), v6: new Uint8Array(storage) };
}

function tupleSlot(): TupleSlot {
  return { source: addressSlot(), destination: addressSlot() };
}

function emptyTuple(slot: TupleSlot): EntryTuple {
  return {
    source: slot.source.v4,
    destination: slot.destination.v4,
    sourcePort: 0,
    destinationPort: 0,
    icmpType: 0,
    icmpCode: 0,
    icmpId: 0,
  };
}

function resetTuple(tuple: EntryTuple, slot: TupleSlot, family: 4 | 6): void {
  tuple.source = family === 4 ? slot.source.v4 : slot.source.v6;
  tuple.destination = family === 4 ? slot.destination.v4 : slot.destination.v6;
  tuple.sourcePort = 0;
  tuple.destinationPort = 0;
  tuple.icmpType = 0;
  tuple.icmpCode = 0;
  tuple.icmpId = 0;
}

function malformed(message: string): NetlinkError {
  return new NetlinkError({ code: "malformed", operation: "read conntrack entry", message });
}
