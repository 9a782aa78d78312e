import {
  AF_INET,
  AF_INET6,
  type AttributeReader,
  AttributeWriter,
  NLA_F_NET_BYTEORDER,
  NLM_F_CREATE,
  NLM_F_DUMP,
  NLM_F_EXCL,
  type Request,
} from "@antenna/netlink";
import type { Family } from "@antenna/sdk";
import {
  commands,
  IPSET_ATTR_ADT,
  IPSET_ATTR_BITMASK,
  IPSET_ATTR_CADT_FLAGS,
  IPSET_ATTR_CIDR,
  IPSET_ATTR_DATA,
  IPSET_ATTR_ELEMENTS,
  IPSET_ATTR_FAMILY,
  IPSET_ATTR_FLAGS,
  IPSET_ATTR_HASHSIZE,
  IPSET_ATTR_IP,
  IPSET_ATTR_IPADDR_IPV4,
  IPSET_ATTR_IPADDR_IPV6,
  IPSET_ATTR_LINENO,
  IPSET_ATTR_MARKMASK,
  IPSET_ATTR_MAXELEM,
  IPSET_ATTR_MEMSIZE,
  IPSET_ATTR_NETMASK,
  IPSET_ATTR_PORT,
  IPSET_ATTR_PROTO,
  IPSET_ATTR_PROTOCOL,
  IPSET_ATTR_REFERENCES,
  IPSET_ATTR_REVISION,
  IPSET_ATTR_SETNAME,
  IPSET_ATTR_SETNAME2,
  IPSET_ATTR_TIMEOUT,
  IPSET_ATTR_TYPENAME,
  IPSET_PROTOCOL,
  longestName,
} from "./ipset-protocol.js";
import type { KernelMembers } from "./kernel-members.js";
import { hashSize, type SetType, typeName } from "./set-type.js";

/** A nested attribute counts its length in 16 bits; one member takes at most 60 bytes. */
const longestAdt = 0xffff - 64;

/** ipset's numbers are in network order and say so. */
const big = NLA_F_NET_BYTEORDER;

export function familyNumber(family: Family): number {
  return family === 4 ? AF_INET : AF_INET6;
}

/** struct nfgenmsg, the protocol, and the name; libipset always says AF_INET in the header. */
function begin(writer: AttributeWriter, name: string | null): AttributeWriter {
  writer.reset().putU8(AF_INET).putU8(0).putU16(0).u8(IPSET_ATTR_PROTOCOL, IPSET_PROTOCOL);
  if (name === null) return writer;
  if (name.length === 0 || name.length > longestName) {
    throw new RangeError(`${name}: a set's name has 1 to ${longestName} bytes`);
  }
  return writer.string(IPSET_ATTR_SETNAME, name);
}

export function typeRequest(type: SetType): Request {
  const payload = begin(new AttributeWriter(), null)
    .string(IPSET_ATTR_TYPENAME, typeName(type))
    .u8(IPSET_ATTR_FAMILY, familyNumber(type.family))
    .view();
  return { type: commands.type, flags: 0, payload, operation: `ipset type ${typeName(type)}` };
}

export interface Creation {
  readonly type: SetType;
  readonly revision: number;
  /** Members to make room for at once. */
  readonly members: number;
  /** Members it can ever hold. */
  readonly capacity: number;
}

export function createRequest(name: string, { type, revision, members, capacity }: Creation): Request {
  const writer = begin(new AttributeWriter(), name)
    .string(IPSET_ATTR_TYPENAME, typeName(type))
    .u8(IPSET_ATTR_REVISION, revision)
    .u8(IPSET_ATTR_FAMILY, familyNumber(type.family));
  writer.nest(IPSET_ATTR_DATA, () => {
    writer.be32(IPSET_ATTR_HASHSIZE | big, hashSize(members)).be32(IPSET_ATTR_MAXELEM | big, capacity);
  });
  return {
    type: commands.create,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    payload: writer.view(),
    operation: `ipset create ${name}`,
  };
}

/**
 * Adds or deletes members, as many to a message as fit; a member that is there (is not there) already is no error.
 * Line n of a message is member n-1: the kernel names the line that it refuses.
 */
export function* memberRequests(
  command: "add" | "delete",
  name: string,
  members: KernelMembers,
): Iterable<Request> {
  const writer = new AttributeWriter(longestAdt + 128);
  const whole = members.family === 4 ? 32 : 128;
  const operation = `ipset ${command === "add" ? "add" : "del"} ${name}`;
  const request = (): Request => ({ type: commands[command], flags: 0, payload: writer.view(), operation });
  let adt = -1;
  for (const { blocks, protocol, ports, first } of members.parts) {
    const { address, prefix, width } = blocks;
    for (let block = 0; block < prefix.length; block++) {
      for (let port = 0; port < ports.length; port++) {
        if (adt < 0) {
          begin(writer, name).be32(IPSET_ATTR_LINENO | big, 1);
          adt = writer.open(IPSET_ATTR_ADT);
        }
        const data = writer.open(IPSET_ATTR_DATA);
        const ip = writer.open(IPSET_ATTR_IP);
        if (width === 1) {
          writer.be32(IPSET_ATTR_IPADDR_IPV4 | big, address[block] as number);
        } else {
          writer.be128(IPSET_ATTR_IPADDR_IPV6 | big, address, block * 4);
        }
        writer.close(ip);
        if (prefix[block] !== whole) writer.u8(IPSET_ATTR_CIDR, prefix[block] as number);
        if (protocol !== 0) {
          writer.be16(IPSET_ATTR_PORT | big, ports[port] as number).u8(IPSET_ATTR_PROTO, protocol);
        }
        writer.be32(IPSET_ATTR_LINENO | big, first + block * ports.length + port + 1);
        writer.close(data);
        if (writer.length - adt > longestAdt) {
          writer.close(adt);
          adt = -1;
          yield request();
        }
      }
    }
  }
  if (adt < 0) return;
  writer.close(adt);
  yield request();
}

export function swapRequest(name: string, other: string): Request {
  const payload = begin(new AttributeWriter(), name).string(IPSET_ATTR_SETNAME2, other).view();
  return { type: commands.swap, flags: 0, payload, operation: `ipset swap ${name} ${other}` };
}

export function destroyRequest(name: string): Request {
  return {
    type: commands.destroy,
    // Without it newer kernels say yes to a set that is not there.
    flags: NLM_F_EXCL,
    payload: begin(new AttributeWriter(), name).view(),
    operation: `ipset destroy ${name}`,
  };
}

/** `name` null: every set; `flag`: IPSET_FLAG_LIST_*, 0: with the members. */
export function listRequest(name: string | null, flag: number): Request {
  const writer = begin(new AttributeWriter(), name);
  if (flag !== 0) writer.be32(IPSET_ATTR_FLAGS | big, flag);
  return {
    type: commands.list,
    flags: NLM_F_DUMP,
    payload: writer.view(),
    operation: name === null ? "ipset list" : `ipset list ${name}`,
  };
}

/** What a listing says of a set before its members. */
export interface SetHeader {
  readonly name: string;
  /** `hash:net`… */
  readonly typeName: string;
  readonly family: Family | null;
  readonly revision: number;
  readonly hashSize: number;
  readonly maxElements: number;
  readonly elements: number;
  /** Rules (and other sets) that name it. */
  readonly references: number;
  readonly memoryBytes: number;
  /** True: its members come with a time to live, so it is none of ours. */
  readonly timeout: boolean;
  /** True: it was made with another option that none of ours has: a mask of addresses, counters, comments… */
  readonly options: boolean;
}

/**
 * Reads the attributes of one message of a listing up to the members; what `adt` stands on afterwards are the members
 * (null: there are none in this message). A long listing has the header in its first message only: null then.
 */
export function readListing(
  attributes: AttributeReader,
  inner: AttributeReader,
): { readonly name: string; readonly header: SetHeader | null; readonly hasMembers: boolean } {
  let name = "";
  let type = "";
  let family: Family | null = null;
  let revision = 0;
  let header: SetHeader | null = null;
  while (attributes.next()) {
    switch (attributes.type) {
      case IPSET_ATTR_SETNAME:
        name = attributes.string();
        break;
      case IPSET_ATTR_TYPENAME:
        type = attributes.string();
        break;
      case IPSET_ATTR_REVISION:
        revision = attributes.u8();
        break;
      case IPSET_ATTR_FAMILY:
        family = attributes.u8() === AF_INET ? 4 : attributes.u8() === AF_INET6 ? 6 : null;
        break;
      case IPSET_ATTR_DATA:
        header = readHeader(attributes.enter(inner), { name, typeName: type, family, revision });
        break;
      case IPSET_ATTR_ADT:
        return { name, header, hasMembers: true };
      default:
        break;
    }
  }
  return { name, header, hasMembers: false };
}

function readHeader(
  data: AttributeReader,
  known: Pick<SetHeader, "name" | "typeName" | "family" | "revision">,
): SetHeader {
  let [hashSize, maxElements, elements, references, memoryBytes] = [0, 0, 0, 0, 0];
  let timeout = false;
  let options = false;
  while (data.next()) {
    if (data.type === IPSET_ATTR_TIMEOUT) timeout = true;
    if (optional.has(data.type)) options = true;
    if (data.length !== 4) continue;
    switch (data.type) {
      case IPSET_ATTR_HASHSIZE:
        hashSize = data.be32();
        break;
      case IPSET_ATTR_MAXELEM:
        maxElements = data.be32();
        break;
      case IPSET_ATTR_ELEMENTS:
        elements = data.be32();
        break;
      case IPSET_ATTR_REFERENCES:
        references = data.be32();
        break;
      case IPSET_ATTR_MEMSIZE:
        memoryBytes = data.be32();
        break;
      default:
        break;
    }
  }
  return { ...known, hashSize, maxElements, elements, references, memoryBytes, timeout, options };
}

const optional: ReadonlySet<number> = new Set([
  IPSET_ATTR_CADT_FLAGS,
  IPSET_ATTR_MARKMASK,
  IPSET_ATTR_BITMASK,
  IPSET_ATTR_NETMASK,
]);
