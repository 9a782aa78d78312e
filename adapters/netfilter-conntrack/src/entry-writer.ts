import { AttributeWriter } from "@antenna/netlink";
import {
  addressAttribute,
  addressFamily,
  attribute,
  protocolAttribute,
  protocolInfoAttribute,
  tcpAttribute,
  tupleAttribute,
} from "./ctnetlink.js";
import type { MarkChange, NewEntry } from "./entry-change.js";
import type { EntryKey, TupleInput } from "./entry-key.js";

const icmp = 1;
const icmpv6 = 58;
/** TCP, UDP, DCCP, SCTP, UDP-Lite, and GRE, whose keys take the place of ports. */
const withPorts: ReadonlySet<number> = new Set([6, 17, 33, 47, 132, 136]);

/** Which entries a dump gives; what is left out does not narrow. The kernel compares, so little is copied. */
export interface DumpFilter {
  readonly family?: 4 | 6;
  /** Entries whose mark under `mask` is `value`. */
  readonly mark?: { readonly value: number; readonly mask: number };
}

/** Payloads of ctnetlink requests. Each is a view of one buffer, valid until the next one is written. */
export class EntryWriter {
  readonly #writer = new AttributeWriter();

  dump(filter: DumpFilter): Uint8Array {
    this.#begin(filter.family);
    if (filter.mark !== undefined) {
      this.#writer.be32(attribute.mark, filter.mark.value).be32(attribute.markMask, filter.mark.mask);
    }
    return this.#writer.view();
  }

  key(key: EntryKey): Uint8Array {
    this.#key(key);
    return this.#writer.view();
  }

  /** Of this very entry, and not of a later one of the same tuple (as far as ids tell them apart). */
  keyAndId(key: EntryKey, id: number): Uint8Array {
    this.#key(key);
    return this.#writer.be32(attribute.id, id).view();
  }

  markChange(change: MarkChange): Uint8Array {
    this.#key(change.key);
    // The kernel clears the bits of the mask and then adds all of the value, also what the mask leaves out (seen on 6.18).
    const value = (change.value & change.mask) >>> 0;
    return this.#writer.be32(attribute.mark, value).be32(attribute.markMask, change.mask).view();
  }

  create(entry: NewEntry): Uint8Array {
    const writer = this.#begin(entry.family);
    this.#tuple(attribute.tupleOriginal, entry.family, entry.protocol, entry.original);
    this.#tuple(attribute.tupleReply, entry.family, entry.protocol, entry.reply);
    this.#zone(entry.zone);
    writer.be32(attribute.status, entry.status).be32(attribute.timeout, entry.timeoutSeconds);
    if (entry.mark !== undefined && entry.mark !== 0) writer.be32(attribute.mark, entry.mark);
    if (entry.tcp !== undefined) this.#tcp(entry.tcp);
    return writer.view();
  }

  #begin(family: 4 | 6 | undefined): AttributeWriter {
    const number =
      family === undefined ? addressFamily.any : family === 4 ? addressFamily.inet : addressFamily.inet6;
    // struct nfgenmsg: family, version 0, resource id 0.
    return this.#writer.reset().putU8(number).putU8(0).putBe16(0);
  }

  #key(key: EntryKey): void {
    this.#begin(key.family);
    this.#tuple(attribute.tupleOriginal, key.family, key.protocol, key.tuple);
    this.#zone(key.zone);
  }

  #zone(zone: number | undefined): void {
    if (zone !== undefined && zone !== 0) this.#writer.be16(attribute.zone, zone);
  }

  #tuple(type: number, family: 4 | 6, protocol: number, tuple: TupleInput): void {
    const writer = this.#writer;
    const length = family === 4 ? 4 : 16;
    if (tuple.source.length !== length || tuple.destination.length !== length) {
      throw new TypeError(`an address of an IPv${family} tuple has ${length} bytes`);
    }
    const outer = writer.open(type);
    const address = writer.open(tupleAttribute.address);
    writer.bytes(family === 4 ? addressAttribute.source4 : addressAttribute.source6, tuple.source);
    writer.bytes(
      family === 4 ? addressAttribute.destination4 : addressAttribute.destination6,
      tuple.destination,
    );
    writer.close(address);
    const inner = writer.open(tupleAttribute.protocol);
    writer.u8(protocolAttribute.number, protocol);
    if (protocol === icmp) {
      writer.be16(protocolAttribute.icmpId, tuple.icmpId ?? 0);
      writer.u8(protocolAttribute.icmpType, tuple.icmpType ?? 0);
      writer.u8(protocolAttribute.icmpCode, tuple.icmpCode ?? 0);
    } else if (protocol === icmpv6) {
      writer.be16(protocolAttribute.icmpv6Id, tuple.icmpId ?? 0);
      writer.u8(protocolAttribute.icmpv6Type, tuple.icmpType ?? 0);
      writer.u8(protocolAttribute.icmpv6Code, tuple.icmpCode ?? 0);
    } else if (withPorts.has(protocol)) {
      writer.be16(protocolAttribute.sourcePort, tuple.sourcePort ?? 0);
      writer.be16(protocolAttribute.destinationPort, tuple.destinationPort ?? 0);
    }
    writer.close(inner);
    writer.close(outer);
  }

  #tcp(tcp: NonNullable<NewEntry["tcp"]>): void {
    const writer = this.#writer;
    const outer = writer.open(attribute.protocolInfo);
    const inner = writer.open(protocolInfoAttribute.tcp);
    writer.u8(tcpAttribute.state, tcp.state);
    if (tcp.windowScaleOriginal !== undefined && tcp.windowScaleReply !== undefined) {
      writer.u8(tcpAttribute.windowScaleOriginal, tcp.windowScaleOriginal);
      writer.u8(tcpAttribute.windowScaleReply, tcp.windowScaleReply);
    }
    // struct nf_ct_tcp_flags: the flags, then the mask of those to write.
    if (tcp.flagsOriginal !== undefined) {
      writer.bytes(tcpAttribute.flagsOriginal, Uint8Array.of(tcp.flagsOriginal, tcp.flagsOriginal));
    }
    if (tcp.flagsReply !== undefined) {
      writer.bytes(tcpAttribute.flagsReply, Uint8Array.of(tcp.flagsReply, tcp.flagsReply));
    }
    writer.close(inner);
    writer.close(outer);
  }
}
