import { NLA_F_NESTED, NLA_HEADER_BYTES, NLA_TYPE_MASK } from "../constants.js";
import { NetlinkError } from "../netlink-error.js";
import { littleEndian } from "./byte-order.js";

const nothing = new Uint8Array(0);

/**
 * A cursor over attributes: `while (reader.next()) switch (reader.type) …`. Every length is checked against what
 * encloses it before anything is read; bytes that are no attributes give NetlinkError `malformed`. Allocates nothing
 * where a reader is used again (`reset`) and children are read by a reader of their own (`enter`).
 * Source: linux/netlink.h, struct nlattr.
 */
export class AttributeReader {
  #bytes: Uint8Array = nothing;
  #view: DataView = new DataView(nothing.buffer);
  #next = 0;
  #limit = 0;
  #type = 0;
  #nested = false;
  #start = 0;
  #end = 0;

  constructor(bytes: Uint8Array = nothing, start = 0, end: number = bytes.length) {
    this.reset(bytes, start, end);
  }

  /** Begins before the first attribute of `bytes`, `start` to `end`. */
  reset(bytes: Uint8Array, start = 0, end: number = bytes.length): this {
    if (!(start >= 0 && start <= end && end <= bytes.length)) {
      throw malformed(`attributes from ${start} to ${end} of ${bytes.length} bytes`);
    }
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    this.#next = start;
    this.#limit = end;
    this.#type = 0;
    this.#nested = false;
    this.#start = start;
    this.#end = start;
    return this;
  }

  /** Goes to the next attribute; false at the end. Fewer bytes than a header are ignored, as the kernel does. */
  next(): boolean {
    const at = this.#next;
    const rest = this.#limit - at;
    if (rest < NLA_HEADER_BYTES) return false;
    const length = this.#view.getUint16(at, littleEndian);
    if (length < NLA_HEADER_BYTES || length > rest) {
      throw malformed(`an attribute says it has ${length} bytes, ${rest} are there`);
    }
    const type = this.#view.getUint16(at + 2, littleEndian);
    this.#type = type & NLA_TYPE_MASK;
    this.#nested = (type & NLA_F_NESTED) !== 0;
    this.#start = at + NLA_HEADER_BYTES;
    this.#end = at + length;
    this.#next = at + ((length + 3) & ~3);
    return true;
  }

  /** Without the flags NLA_F_NESTED and NLA_F_NET_BYTEORDER. */
  get type(): number {
    return this.#type;
  }

  /** Whether it says that it is nested; old families do not say it. */
  get nested(): boolean {
    return this.#nested;
  }

  /** Where the content begins and ends, and its length. */
  get start(): number {
    return this.#start;
  }

  get end(): number {
    return this.#end;
  }

  get length(): number {
    return this.#end - this.#start;
  }

  u8(): number {
    return this.#view.getUint8(this.#need(1));
  }

  u16(): number {
    return this.#view.getUint16(this.#need(2), littleEndian);
  }

  u32(): number {
    return this.#view.getUint32(this.#need(4), littleEndian);
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#need(8), littleEndian);
  }

  be16(): number {
    return this.#view.getUint16(this.#need(2), false);
  }

  be32(): number {
    return this.#view.getUint32(this.#need(4), false);
  }

  be64(): bigint {
    return this.#view.getBigUint64(this.#need(8), false);
  }

  /** A 64-bit counter as a number: exact up to 2^53, without the allocation of a bigint. */
  be64Number(): number {
    const at = this.#need(8);
    return this.#view.getUint32(at, false) * 0x1_0000_0000 + this.#view.getUint32(at + 4, false);
  }

  /** An IPv6 address into four words, the most significant first. */
  be128(words: Uint32Array): void {
    const at = this.#need(16);
    for (let word = 0; word < 4; word++) words[word] = this.#view.getUint32(at + word * 4, false);
  }

  /** UTF-8 up to the first NUL, or to the end. */
  string(): string {
    const content = this.#bytes.subarray(this.#start, this.#end);
    const nul = content.indexOf(0);
    return Buffer.from(content.buffer, content.byteOffset, nul < 0 ? content.length : nul).toString("utf8");
  }

  /** The content as a view: valid as long as what is read. */
  bytes(): Uint8Array {
    return this.#bytes.subarray(this.#start, this.#end);
  }

  /** The content as bytes of its own; `length` given: refused when it has another. */
  copy(length?: number): Uint8Array {
    if (length !== undefined && length !== this.length) {
      throw malformed(`attribute ${this.#type} has ${this.length} bytes, expected ${length}`);
    }
    return this.#bytes.slice(this.#start, this.#end);
  }

  /** Sets `child` before the first attribute inside this one. */
  enter(child: AttributeReader = new AttributeReader()): AttributeReader {
    return child.reset(this.#bytes, this.#start, this.#end);
  }

  #need(length: number): number {
    if (this.#end - this.#start < length) {
      throw malformed(`attribute ${this.#type} has ${this.#end - this.#start} bytes, expected ${length}`);
    }
    return this.#start;
  }
}

/** Bytes that no kernel sends. */
export function malformed(message: string): NetlinkError {
  return new NetlinkError({ code: "malformed", operation: "read", message });
}
