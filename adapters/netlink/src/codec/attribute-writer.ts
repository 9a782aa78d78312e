import { NLA_F_NESTED, NLA_HEADER_BYTES } from "../constants.js";
import { littleEndian } from "./byte-order.js";

/** An attribute's length is a 16-bit number that counts its header. */
const longest = 0xffff;

/**
 * Writes the payload of a message: first the family's fixed struct (`put…`), then attributes, into one buffer that
 * grows and is used again after `reset()`. `u16`, `u32`, `u64` are in host order, `be…` in network order; netlink's
 * alignment of 4 bytes is kept. Source: linux/netlink.h, struct nlattr.
 */
export class AttributeWriter {
  #bytes: Uint8Array<ArrayBuffer>;
  #view: DataView;
  #length = 0;

  /** `capacityBytes`: what it begins with. */
  constructor(capacityBytes = 256) {
    this.#bytes = new Uint8Array(capacityBytes);
    this.#view = new DataView(this.#bytes.buffer);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#length;
  }

  /** Begins anew; views that were handed out will be overwritten. */
  reset(): this {
    this.#length = 0;
    return this;
  }

  /** What was written: a view, valid until the next write. */
  view(): Uint8Array {
    return this.#bytes.subarray(0, this.#length);
  }

  /** What was written, as bytes of its own. */
  copy(): Uint8Array {
    return this.#bytes.slice(0, this.#length);
  }

  /** Takes back everything after the first `length` bytes. */
  truncate(length: number): this {
    if (length < 0 || length > this.#length)
      throw new RangeError(`cannot truncate ${this.#length} bytes to ${length}`);
    this.#length = length;
    return this;
  }

  putU8(value: number): this {
    const at = this.#grow(1);
    this.#bytes[at] = value;
    return this;
  }

  putU16(value: number): this {
    this.#view.setUint16(this.#grow(2), value, littleEndian);
    return this;
  }

  putBe16(value: number): this {
    this.#view.setUint16(this.#grow(2), value, false);
    return this;
  }

  putU32(value: number): this {
    this.#view.setUint32(this.#grow(4), value, littleEndian);
    return this;
  }

  putBe32(value: number): this {
    this.#view.setUint32(this.#grow(4), value, false);
    return this;
  }

  putBytes(source: Uint8Array): this {
    const at = this.#grow(source.length);
    this.#bytes.set(source, at);
    return this;
  }

  u8(type: number, value: number): this {
    const at = this.#attribute(type, 1);
    this.#bytes[at] = value;
    return this;
  }

  u16(type: number, value: number): this {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value, littleEndian);
    return this;
  }

  u32(type: number, value: number): this {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value, littleEndian);
    return this;
  }

  u64(type: number, value: bigint): this {
    const at = this.#attribute(type, 8);
    this.#view.setBigUint64(at, value, littleEndian);
    return this;
  }

  be16(type: number, value: number): this {
    const at = this.#attribute(type, 2);
    this.#view.setUint16(at, value, false);
    return this;
  }

  be32(type: number, value: number): this {
    const at = this.#attribute(type, 4);
    this.#view.setUint32(at, value, false);
    return this;
  }

  be64(type: number, value: bigint): this {
    const at = this.#attribute(type, 8);
    this.#view.setBigUint64(at, value, false);
    return this;
  }

  /** An IPv6 address from four words at `index`, the most significant first. */
  be128(type: number, words: Uint32Array, index = 0): this {
    const at = this.#attribute(type, 16);
    for (let word = 0; word < 4; word++) this.#view.setUint32(at + word * 4, words[index + word] ?? 0, false);
    return this;
  }

  bytes(type: number, source: Uint8Array): this {
    const at = this.#attribute(type, source.length);
    this.#bytes.set(source, at);
    return this;
  }

  /** UTF-8 with the terminating NUL that the kernel's NLA_NUL_STRING wants; a NUL inside is refused. */
  string(type: number, text: string): this {
    if (text.includes("\0")) throw new RangeError("a string attribute cannot hold a NUL");
    const encoded = new TextEncoder().encode(text);
    const at = this.#attribute(type, encoded.length + 1);
    this.#bytes.set(encoded, at);
    return this;
  }

  /** An attribute without content. */
  flag(type: number): this {
    this.#attribute(type, 0);
    return this;
  }

  /** Opens a nested attribute; give what it returns to `close`. */
  open(type: number): number {
    const at = this.#grow(NLA_HEADER_BYTES);
    this.#view.setUint16(at + 2, type | NLA_F_NESTED, littleEndian);
    return at;
  }

  close(opened: number): this {
    const length = this.#length - opened;
    if (length > longest) throw new RangeError(`an attribute of ${length} bytes: the longest is ${longest}`);
    this.#view.setUint16(opened, length, littleEndian);
    return this;
  }

  nest(type: number, write: () => void): this {
    const opened = this.open(type);
    write();
    return this.close(opened);
  }

  /** Reserves an attribute and gives the place of its content; everything reserved is zero. */
  #attribute(type: number, length: number): number {
    if (length > longest - NLA_HEADER_BYTES) {
      throw new RangeError(`an attribute of ${length} bytes: the longest is ${longest - NLA_HEADER_BYTES}`);
    }
    const at = this.#grow(NLA_HEADER_BYTES + ((length + 3) & ~3));
    this.#view.setUint16(at, NLA_HEADER_BYTES + length, littleEndian);
    this.#view.setUint16(at + 2, type, littleEndian);
    return at + NLA_HEADER_BYTES;
  }

  #grow(length: number): number {
    const at = this.#length;
    const end = at + length;
    if (end > this.#bytes.length) {
      const larger = new Uint8Array(Math.max(end, this.#bytes.length * 2));
      larger.set(this.#bytes.subarray(0, at));
      this.#bytes = larger;
      this.#view = new DataView(larger.buffer);
    }
    // Padding and reserved fields must not show what an earlier message left here.
    this.#bytes.fill(0, at, end);
    this.#length = end;
    return at;
  }
}
