import { AttributeReader, malformed } from "./codec/attribute-reader.js";
import { AttributeWriter } from "./codec/attribute-writer.js";
import { littleEndian } from "./codec/byte-order.js";
import { AF_INET, AF_INET6, NLM_F_DUMP } from "./constants.js";
import { NetlinkError } from "./netlink-error.js";
import type { Message, NetlinkTransport, TransactOptions } from "./transport.js";

/** Sources: linux/rtnetlink.h, linux/if_addr.h. */
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTNLGRP_IPV4_IFADDR = 5;
const RTNLGRP_IPV6_IFADDR = 9;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_FLAGS = 8;
const ifaddrmsgBytes = 8;
/** A dump that changed under the reader is read again so often. */
const mostTries = 10;

/** An address of an interface. */
export interface LocalAddress {
  readonly family: 4 | 6;
  /** 4 or 16 bytes in network order; the own end of a point-to-point link. */
  readonly address: Uint8Array;
  /** Length of the prefix in bits. On the loopback interface the whole IPv4 block is local (127.0.0.0/8). */
  readonly prefix: number;
  readonly interfaceIndex: number;
  /** IFA_F_… of linux/if_addr.h: tentative 0x40, duplicate found 0x08, temporary 0x01. */
  readonly flags: number;
}

/** The addresses of a network namespace, on a transport of NETLINK_ROUTE. */
export class LocalAddresses {
  readonly #transport: NetlinkTransport;

  constructor(transport: NetlinkTransport) {
    this.#transport = transport;
  }

  /** Every address of every interface, both families. */
  async list(options: TransactOptions = {}): Promise<readonly LocalAddress[]> {
    const payload = new AttributeWriter(ifaddrmsgBytes).putBytes(new Uint8Array(ifaddrmsgBytes)).view();
    for (let attempt = 1; ; attempt++) {
      const found: LocalAddress[] = [];
      try {
        await this.#transport.query(
          { type: RTM_GETADDR, flags: NLM_F_DUMP, payload, operation: "list addresses" },
          (message) => {
            const address = readAddress(message);
            if (address !== null) found.push(address);
          },
          options,
        );
        return found;
      } catch (error) {
        const again =
          error instanceof NetlinkError && (error.code === "dump-interrupted" || error.code === "overflow");
        if (!again || attempt >= mostTries) throw error;
      }
    }
  }

  /** Calls back whenever addresses came or went, or may have: then `list` tells. Until the result is disposed. */
  watch(onChange: () => void): Disposable {
    return this.#transport.listen([RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR], {
      message: ({ type }) => {
        if (type === RTM_NEWADDR || type === RTM_DELADDR) onChange();
      },
      overflow: onChange,
    });
  }
}

function readAddress({ bytes, type, start, end }: Message): LocalAddress | null {
  if (type !== RTM_NEWADDR) return null;
  if (end - start < ifaddrmsgBytes) throw malformed(`an address message of ${end - start} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, ifaddrmsgBytes);
  const family = view.getUint8(0) === AF_INET ? 4 : view.getUint8(0) === AF_INET6 ? 6 : null;
  if (family === null) return null;
  let address: Uint8Array | null = null;
  // The header has room for the lower eight only.
  let flags = view.getUint8(2);
  const attributes = new AttributeReader(bytes, start + ifaddrmsgBytes, end);
  while (attributes.next()) {
    // With a peer, IFA_ADDRESS is the peer's; without one, IPv6 has no IFA_LOCAL.
    if (attributes.type === IFA_LOCAL || (attributes.type === IFA_ADDRESS && address === null)) {
      address = attributes.copy(family === 4 ? 4 : 16);
    } else if (attributes.type === IFA_FLAGS) flags = attributes.u32();
  }
  return address === null
    ? null
    : { family, address, prefix: view.getUint8(1), interfaceIndex: view.getUint32(4, littleEndian), flags };
}
