import { NLMSG_HEADER_BYTES } from "../constants.js";
import type { Message } from "../transport.js";
import { malformed } from "./attribute-reader.js";
import { littleEndian } from "./byte-order.js";

const nothing = new Uint8Array(0);

/**
 * A cursor over the messages of a datagram, and itself the message it stands on. A length that leaves the datagram
 * gives NetlinkError `malformed`. Source: linux/netlink.h, struct nlmsghdr.
 */
export class MessageReader implements Message {
  #bytes: Uint8Array = nothing;
  #view: DataView = new DataView(nothing.buffer);
  #next = 0;
  #limit = 0;
  #start = 0;
  #end = 0;
  #type = 0;
  #flags = 0;
  #sequence = 0;
  #portId = 0;

  constructor(bytes: Uint8Array = nothing, start = 0, end: number = bytes.length) {
    this.reset(bytes, start, end);
  }

  reset(bytes: Uint8Array, start = 0, end: number = bytes.length): this {
    if (!(start >= 0 && start <= end && end <= bytes.length)) {
      throw malformed(`messages from ${start} to ${end} of ${bytes.length} bytes`);
    }
    if (bytes !== this.#bytes) {
      this.#bytes = bytes;
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    }
    this.#next = start;
    this.#limit = end;
    return this;
  }

  next(): boolean {
    const at = this.#next;
    const rest = this.#limit - at;
    if (rest < NLMSG_HEADER_BYTES) return false;
    const view = this.#view;
    const length = view.getUint32(at, littleEndian);
    if (length < NLMSG_HEADER_BYTES || length > rest) {
      throw malformed(`a message says it has ${length} bytes, ${rest} are there`);
    }
    this.#type = view.getUint16(at + 4, littleEndian);
    this.#flags = view.getUint16(at + 6, littleEndian);
    this.#sequence = view.getUint32(at + 8, littleEndian);
    this.#portId = view.getUint32(at + 12, littleEndian);
    this.#start = at + NLMSG_HEADER_BYTES;
    this.#end = at + length;
    this.#next = at + Math.ceil(length / 4) * 4;
    return true;
  }

  get bytes(): Uint8Array {
    return this.#bytes;
  }

  get type(): number {
    return this.#type;
  }

  get flags(): number {
    return this.#flags;
  }

  get sequence(): number {
    return this.#sequence;
  }

  get portId(): number {
    return this.#portId;
  }

  get start(): number {
    return this.#start;
  }

  get end(): number {
    return this.#end;
  }
}
