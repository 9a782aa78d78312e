import { AttributeWriter, KernelSocket, MessageReader } from "@antenna/netlink";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const NETLINK_NETFILTER = 12;
const NLMSG_ERROR = 2;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const slotBytes = 65536;

/**
 * A netfilter netlink socket used one step after the other: requests are acknowledged before the call returns, what
 * arrives unasked is read by `drain`. A test has nothing else to do meanwhile.
 */
export class Nfnetlink implements Disposable {
  readonly #socket: KernelSocket;
  readonly #bytes = new Uint8Array(slotBytes * 16);
  readonly #lengths = new Int32Array(16);
  #sequence = 1;

  constructor(namespace: string) {
    this.#socket = KernelSocket.open({
      family: AF_NETLINK,
      type: SOCK_RAW,
      protocol: NETLINK_NETFILTER,
      namespace,
    });
    const address = new Uint8Array(12);
    address[0] = AF_NETLINK;
    this.#socket.bind(address);
    this.#socket.setReceiveBuffer(8 << 20);
  }

  /** Gives the errno of the kernel's answer, 0 for success. `type`: subsystem and message, as in nlmsg_type. */
  request(type: number, flags: number, payload: Uint8Array): number {
    const message = new Uint8Array(16 + payload.length);
    const view = new DataView(message.buffer);
    this.#sequence += 1;
    view.setUint32(0, message.length, true);
    view.setUint16(4, type, true);
    view.setUint16(6, flags | NLM_F_REQUEST | NLM_F_ACK, true);
    view.setUint32(8, this.#sequence, true);
    message.set(payload, 16);
    this.#socket.send(message);
    let answer: number | null = null;
    // The kernel answers inside the send; what is not there now never comes.
    while (answer === null) {
      const read = this.#read((reader) => {
        if (reader.type !== NLMSG_ERROR || reader.sequence !== this.#sequence) return;
        answer = -new DataView(reader.bytes.buffer, reader.bytes.byteOffset).getInt32(reader.start, true);
      });
      if (!read) throw new Error("netlink did not answer");
    }
    return answer;
  }

  /** Hands over every message that is waiting. */
  drain(onMessage: (reader: MessageReader) => void): void {
    while (this.#read(onMessage));
  }

  [Symbol.dispose](): void {
    this.#socket.close();
  }

  #read(onMessage: (reader: MessageReader) => void): boolean {
    const count = this.#socket.receive(this.#bytes, slotBytes, this.#lengths);
    if (count === -11) return false;
    if (count < 0) throw new Error(`netlink receive: errno ${-count}`);
    for (let slot = 0; slot < count; slot++) {
      const length = this.#lengths[slot] ?? 0;
      if (length <= 0) throw new Error("a netlink message that did not fit");
      const reader = new MessageReader(this.#bytes, slot * slotBytes, slot * slotBytes + length);
      while (reader.next()) onMessage(reader);
    }
    return true;
  }
}

/** A payload that begins with struct nfgenmsg. */
export function nfgenmsg(family: number, resource: number): AttributeWriter {
  return new AttributeWriter().putU8(family).putU8(0).putBe16(resource);
}
