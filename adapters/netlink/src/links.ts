import { AttributeReader, malformed } from "./codec/attribute-reader.js";
import { AttributeWriter } from "./codec/attribute-writer.js";
import { littleEndian } from "./codec/byte-order.js";
import { NLM_F_DUMP } from "./constants.js";
import type { Message, NetlinkTransport, TransactOptions } from "./transport.js";

/** Sources: linux/rtnetlink.h, linux/if_link.h, linux/if.h. */
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTNLGRP_LINK = 1;
const IFLA_IFNAME = 3;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_INFO_KIND = 1;
const IFF_LOOPBACK = 0x8;
const ifinfomsgBytes = 16;

/** A network interface. */
export interface Link {
  readonly index: number;
  readonly name: string;
  readonly loopback: boolean;
  /** `bridge`, `veth`, `tun`…; null: a device of hardware, or one that does not say. */
  readonly kind: string | null;
  /** Index of the bridge or bond it is a port of; null: of none. */
  readonly master: number | null;
}

/** The interfaces of a network namespace, on a transport of NETLINK_ROUTE. */
export class Links {
  readonly #transport: NetlinkTransport;

  constructor(transport: NetlinkTransport) {
    this.#transport = transport;
  }

  async list(options: TransactOptions = {}): Promise<readonly Link[]> {
    const payload = new AttributeWriter(ifinfomsgBytes).putBytes(new Uint8Array(ifinfomsgBytes)).view();
    const found: Link[] = [];
    await this.#transport.query(
      { type: RTM_GETLINK, flags: NLM_F_DUMP, payload, operation: "list interfaces" },
      (message) => {
        const link = readLink(message);
        if (link !== null) found.push(link);
      },
      options,
    );
    return found;
  }

  /** Calls back whenever interfaces came, went or changed, or may have: then `list` tells. Until the result is disposed. */
  watch(onChange: () => void): Disposable {
    return this.#transport.listen([RTNLGRP_LINK], {
      message: ({ type }) => {
        if (type === RTM_NEWLINK || type === RTM_DELLINK) onChange();
      },
      overflow: onChange,
    });
  }
}

function readLink({ bytes, type, start, end }: Message): Link | null {
  if (type !== RTM_NEWLINK) return null;
  if (end - start < ifinfomsgBytes) throw malformed(`an interface message of ${end - start} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset + start, ifinfomsgBytes);
  let [name, kind, master]: [string, string | null, number | null] = ["", null, null];
  const attributes = new AttributeReader(bytes, start + ifinfomsgBytes, end);
  while (attributes.next()) {
    if (attributes.type === IFLA_IFNAME) name = attributes.string();
    else if (attributes.type === IFLA_MASTER) master = attributes.u32();
    else if (attributes.type === IFLA_LINKINFO) {
      const inner = attributes.enter();
      while (inner.next()) if (inner.type === IFLA_INFO_KIND) kind = inner.string();
    }
  }
  return {
    index: view.getInt32(4, littleEndian),
    name,
    loopback: (view.getUint32(8, littleEndian) & IFF_LOOPBACK) !== 0,
    kind,
    master,
  };
}
