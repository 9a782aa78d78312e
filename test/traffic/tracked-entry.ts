import type { AttributeWriter } from "@antenna/netlink";
import type { Nfnetlink } from "./nfnetlink.js";
import { nfgenmsg } from "./nfnetlink.js";

const IPCTNL_MSG_CT_NEW = 0x0100;
const IPCTNL_MSG_CT_DELETE = 0x0102;
const NLM_F_CREATE = 0x400;
const NLM_F_EXCL = 0x200;
const [CTA_TUPLE_ORIG, CTA_TUPLE_REPLY, CTA_STATUS, CTA_PROTOINFO, CTA_TIMEOUT, CTA_MARK] = [
  1, 2, 3, 4, 7, 8,
];
const [CTA_TUPLE_IP, CTA_TUPLE_PROTO] = [1, 2];
const [CTA_PROTO_NUM, CTA_PROTO_SRC_PORT, CTA_PROTO_DST_PORT] = [1, 2, 3];
/** Identifier, type and code, for ICMP and for ICMPv6. */
const icmpAttributes = { 1: [4, 5, 6], 58: [7, 8, 9] } as const;
const CTA_PROTOINFO_TCP = 1;
const [CTA_PROTOINFO_TCP_STATE, CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, CTA_PROTOINFO_TCP_FLAGS_REPLY] = [1, 4, 5];
const TCP_CONNTRACK_ESTABLISHED = 3;
const [IPS_SEEN_REPLY, IPS_ASSURED, IPS_CONFIRMED] = [2, 4, 8];

/** A flow as its opener sees it. */
export interface FlowTuple {
  readonly family: 4 | 6;
  readonly protocol: number;
  readonly source: Uint8Array;
  readonly destination: Uint8Array;
  /** 0 for protocols without ports; ICMP: the identifier of an echo in both. */
  readonly sourcePort: number;
  readonly destinationPort: number;
  /** ICMP only: the request's type, the type of its answer, and the code of both. */
  readonly icmp: { readonly request: number; readonly answer: number; readonly code: number } | null;
}

export interface EntryOptions {
  readonly tuple: FlowTuple;
  readonly mark: number;
  /** False: nothing came back yet, so that packets of the opener are still NEW. */
  readonly answered: boolean;
}

/** Enters a flow into connection tracking as if it had been seen. Gives an errno, 17 (EEXIST) when it is there. */
export function enter(netlink: Nfnetlink, options: EntryOptions): number {
  const { tuple, mark, answered } = options;
  const writer = nfgenmsg(tuple.family === 4 ? 2 : 10, 0);
  writer.nest(CTA_TUPLE_ORIG, () => writeTuple(writer, tuple, false));
  writer.nest(CTA_TUPLE_REPLY, () => writeTuple(writer, tuple, true));
  writer.be32(CTA_STATUS, answered ? IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED : IPS_CONFIRMED);
  writer.be32(CTA_TIMEOUT, 600);
  writer.be32(CTA_MARK, mark);
  if (tuple.protocol === 6) {
    writer.nest(CTA_PROTOINFO, () => {
      writer.nest(CTA_PROTOINFO_TCP, () => {
        writer.u8(CTA_PROTOINFO_TCP_STATE, TCP_CONNTRACK_ESTABLISHED);
        // IP_CT_TCP_FLAG_BE_LIBERAL and SACK_PERM: no window is known.
        writer.bytes(CTA_PROTOINFO_TCP_FLAGS_ORIGINAL, Uint8Array.of(0x0a, 0x0a));
        writer.bytes(CTA_PROTOINFO_TCP_FLAGS_REPLY, Uint8Array.of(0x0a, 0x0a));
      });
    });
  }
  return netlink.request(IPCTNL_MSG_CT_NEW, NLM_F_CREATE | NLM_F_EXCL, writer.copy());
}

/** Forgets every flow of the namespace. */
export function forgetAll(netlink: Nfnetlink): void {
  const errno = netlink.request(IPCTNL_MSG_CT_DELETE, 0, nfgenmsg(0, 0).copy());
  if (errno !== 0) throw new Error(`conntrack flush: errno ${errno}`);
}

function writeTuple(writer: AttributeWriter, tuple: FlowTuple, reply: boolean): void {
  const [source, destination] = reply ? [tuple.destination, tuple.source] : [tuple.source, tuple.destination];
  const [from, to] = reply
    ? [tuple.destinationPort, tuple.sourcePort]
    : [tuple.sourcePort, tuple.destinationPort];
  writer.nest(CTA_TUPLE_IP, () => {
    writer.bytes(tuple.family === 4 ? 1 : 3, source);
    writer.bytes(tuple.family === 4 ? 2 : 4, destination);
  });
  writer.nest(CTA_TUPLE_PROTO, () => {
    writer.u8(CTA_PROTO_NUM, tuple.protocol);
    if (tuple.icmp !== null) {
      const [id, type, code] = icmpAttributes[tuple.family === 4 ? 1 : 58];
      writer.be16(id, tuple.sourcePort);
      writer.u8(type, reply ? tuple.icmp.answer : tuple.icmp.request);
      writer.u8(code, tuple.icmp.code);
    } else {
      writer.be16(CTA_PROTO_SRC_PORT, from);
      writer.be16(CTA_PROTO_DST_PORT, to);
    }
  });
}
