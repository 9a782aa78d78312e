import { setTimeout } from "node:timers/promises";
import {
  AttributeReader,
  type Message,
  NetlinkError,
  type NetlinkTransport,
  type Request,
  type TransactOptions,
} from "@antenna/netlink";
import { AntennaError, type CallOptions, type ProgramSet } from "@antenna/sdk";
import { ipsetError } from "./ipset-error.js";
import {
  createRequest,
  destroyRequest,
  listRequest,
  memberRequests,
  readListing,
  type SetHeader,
  swapRequest,
  typeRequest,
} from "./ipset-messages.js";
import {
  commands,
  IPSET_ATTR_DATA,
  IPSET_ATTR_REVISION,
  IPSET_ATTR_REVISION_MIN,
  IPSET_ERR_BUSY,
  IPSET_FLAG_LIST_HEADER,
  IPSET_FLAG_LIST_SETNAME,
} from "./ipset-protocol.js";
import { type KernelMember, KernelMembers } from "./kernel-members.js";
import { MemberComparison } from "./member-comparison.js";
import { hashSize, knowsPorts, newestRevision, type SetType, typeName } from "./set-type.js";

const ENOENT = 2;
const EINVAL = 22;
const nfgenmsgBytes = 4;
/** nft drops its references to a set some time after the rules are gone (a work queue of the kernel). */
const busyRetryMs = 10;
const busyPatienceMs = 2000;
/** A listing that was interrupted by a change is read again so often. */
const mostTries = 5;

/** Asked every second; whoever sends it lays it out, and nobody writes into it. */
const allHeaders = listRequest(null, IPSET_FLAG_LIST_HEADER);

/** A kernel set: its name (at most 31 bytes) and what it is. */
export interface NamedSet extends SetType {
  readonly name: string;
}

export interface SetCreation extends NamedSet {
  /** Members it can ever hold. */
  readonly capacity: number;
}

/** How a kernel set differs from what is meant. */
export interface SetComparison {
  /** null: there is no such set. */
  readonly header: SetHeader | null;
  /** False: another type of set stands under the name; then nothing was counted. */
  readonly sameType: boolean;
  readonly missing: number;
  readonly extra: number;
  /** A few of them: `+10.0.0.1` stands and is not meant, `-10.0.0.2,6:80` is missing. */
  readonly examples: readonly string[];
  /** True: nothing differs. */
  readonly equal: boolean;
}

/**
 * ipset over netlink: no process, many members to a message. Rejects with AntennaError: `kernel-refused` (detail: the
 * kernel's reason, and the member), `unsupported`, `not-permitted`, `aborted`, `closed`.
 */
export class IpsetDriver {
  readonly #transport: NetlinkTransport;
  readonly #revisions = new Map<string, number>();
  /** Of headers, which are looked at again and again; each message is read in one go. */
  readonly #readers = { attributes: new AttributeReader(), inner: new AttributeReader() };

  /** A transport of NETLINK_NETFILTER; it stays the caller's. */
  constructor(transport: NetlinkTransport) {
    this.#transport = transport;
  }

  /** Makes a set and fills it. When a member is refused, the set is taken away again. */
  async create(creation: SetCreation, content: ProgramSet, options: CallOptions = {}): Promise<void> {
    const { name } = creation;
    const operation = `ipset create ${name}`;
    const members = this.#members(creation, content, operation);
    const revision = await this.#revision(creation, options);
    const made = { type: creation, revision, members: members.size, capacity: roomOf(creation) };
    await this.#transact([createRequest(name, made)], operation, null, options);
    try {
      await this.#transact(memberRequests("add", name, members), operation, members, options);
    } catch (error) {
      await this.destroy(name).catch(() => undefined);
      throw error;
    }
  }

  /** Adds members to a set; those that are there already are no error. */
  async add(set: NamedSet, content: ProgramSet, options: CallOptions = {}): Promise<void> {
    const operation = `ipset add ${set.name}`;
    const members = this.#members(set, content, operation);
    await this.#transact(memberRequests("add", set.name, members), operation, members, options);
  }

  /** Deletes members of a set; those that are not there are no error. */
  async delete(set: NamedSet, content: ProgramSet, options: CallOptions = {}): Promise<void> {
    const operation = `ipset del ${set.name}`;
    const members = this.#members(set, content, operation);
    await this.#transact(memberRequests("delete", set.name, members), operation, members, options);
  }

  /** Exchanges the contents of two sets of one type, at one instant for every packet. */
  async swap(name: string, other: string, options: CallOptions = {}): Promise<void> {
    await this.#transact([swapRequest(name, other)], `ipset swap ${name} ${other}`, null, options);
  }

  /** False: there was no such set. A set that rules have just let go of is waited for. */
  async destroy(name: string, options: CallOptions = {}): Promise<boolean> {
    const operation = `ipset destroy ${name}`;
    for (let waited = 0; ; waited += busyRetryMs) {
      const [result] = await this.#attempt([destroyRequest(name)], operation, options);
      if (result === null || result === undefined) return true;
      if (result.errno === ENOENT) return false;
      if (result.errno !== IPSET_ERR_BUSY || waited >= busyPatienceMs) throw ipsetError(result, operation);
      await setTimeout(busyRetryMs);
    }
  }

  /** Names of all sets of the namespace, whosesoever; costs nothing per member. */
  async names(options: CallOptions = {}): Promise<readonly string[]> {
    const names: string[] = [];
    const attributes = new AttributeReader();
    const inner = new AttributeReader();
    await this.#list(listRequest(null, IPSET_FLAG_LIST_SETNAME), options, {
      begin: () => names.splice(0),
      message: ({ bytes, start, end }) => {
        names.push(readListing(attributes.reset(bytes, start + nfgenmsgBytes, end), inner).name);
      },
    });
    return names;
  }

  /** Type, counts and references of a set; null: there is none. The kernel walks all members to count them. */
  async header(name: string, options: CallOptions = {}): Promise<SetHeader | null> {
    let header: SetHeader | null = null;
    const { attributes, inner } = this.#readers;
    const found = await this.#list(listRequest(name, IPSET_FLAG_LIST_HEADER), options, {
      begin: () => {
        header = null;
      },
      message: ({ bytes, start, end }) => {
        const listing = readListing(attributes.reset(bytes, start + nfgenmsgBytes, end), inner);
        if (listing.name === name && listing.header !== null) header = listing.header;
      },
    });
    return found ? header : null;
  }

  /** The headers of all sets of the namespace, whosesoever, in one listing; costs what all of their members cost. */
  async headers(options: CallOptions = {}): Promise<ReadonlyMap<string, SetHeader>> {
    const headers = new Map<string, SetHeader>();
    const { attributes, inner } = this.#readers;
    await this.#list(allHeaders, options, {
      begin: () => headers.clear(),
      message: ({ bytes, start, end }) => {
        const { name, header } = readListing(attributes.reset(bytes, start + nfgenmsgBytes, end), inner);
        if (header !== null) headers.set(name, header);
      },
    });
    return headers;
  }

  /** Reads every member of a set and compares. Reads in slices: other events have their turn between them. */
  async compare(set: NamedSet, expected: ProgramSet, options: CallOptions = {}): Promise<SetComparison> {
    const members = this.#members(set, expected, `ipset list ${set.name}`);
    const { header, comparison } = await this.#read(set, members, 0, options);
    const { missing, extra } = comparison;
    const sameType = header === null || isOfType(header, set);
    return {
      header,
      sameType,
      missing,
      extra,
      examples: header === null || !sameType ? [] : comparison.examples(),
      equal: header !== null && sameType && missing === 0 && extra === 0,
    };
  }

  /**
   * Which members a set lacks and which it has too much, up to `most` of them; null: more, or the set is gone, is not as
   * `create` makes it, or holds what cannot be taken out member by member. Reads in slices as `compare`.
   */
  async differing(
    set: SetCreation,
    expected: ProgramSet,
    most: number,
    options: CallOptions = {},
  ): Promise<{ readonly missing: readonly KernelMember[]; readonly extra: readonly KernelMember[] } | null> {
    const members = this.#members(set, expected, `ipset list ${set.name}`);
    const { header, comparison } = await this.#read(set, members, most, options);
    return header !== null && isAsMade(header, set) ? comparison.differing() : null;
  }

  async #read(
    set: NamedSet,
    members: KernelMembers,
    mostDiffering: number,
    options: CallOptions,
  ): Promise<{ readonly header: SetHeader | null; readonly comparison: MemberComparison }> {
    const [attributes, inner, member, address] = Array.from({ length: 4 }, () => new AttributeReader()) as [
      AttributeReader,
      AttributeReader,
      AttributeReader,
      AttributeReader,
    ];
    let header: SetHeader | null = null;
    let comparison = new MemberComparison(members, mostDiffering);
    let view: DataView = new DataView(new ArrayBuffer(0));
    await this.#list(listRequest(set.name, 0), options, {
      begin: () => {
        header = null;
        comparison = new MemberComparison(members, mostDiffering);
      },
      message: ({ bytes, start, end }) => {
        const listing = readListing(attributes.reset(bytes, start + nfgenmsgBytes, end), inner);
        if (listing.name !== set.name) return;
        header = listing.header ?? header;
        if (!listing.hasMembers) return;
        if (view.buffer !== bytes.buffer || view.byteOffset !== bytes.byteOffset) {
          view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
        }
        inner.reset(bytes, comparison.addPlain(view, attributes.start, attributes.end), attributes.end);
        while (inner.next()) if (inner.type === IPSET_ATTR_DATA) comparison.add(inner.enter(member), address);
      },
    });
    return { header, comparison };
  }

  #members(set: SetType, content: ProgramSet, operation: string): KernelMembers {
    if (content.kind !== set.kind) {
      throw new AntennaError({
        code: "internal",
        operation,
        message: `${content.kind} do not fit into a set of ${set.kind}`,
      });
    }
    const portless =
      content.kind === "pairs" ? content.parts.find((part) => !knowsPorts(part.protocol)) : undefined;
    if (portless !== undefined) {
      throw new AntennaError({
        code: "unsupported",
        operation,
        message: `ipset knows no ports of protocol ${portless.protocol}: it would keep the pair without its port`,
      });
    }
    return new KernelMembers(content, set.family);
  }

  /** The revision of a type to ask for, as ipset(8) chooses it; the kernel loads the type's module when it is asked. */
  async #revision(type: SetType, options: CallOptions): Promise<number> {
    const key = `${typeName(type)} ${type.family}`;
    const known = this.#revisions.get(key);
    if (known !== undefined) return known;
    const operation = `ipset type ${typeName(type)}`;
    let newest = 0;
    let oldest = 0;
    const attributes = new AttributeReader();
    try {
      await this.#transport.query(
        typeRequest(type),
        ({ bytes, start, end }) => {
          attributes.reset(bytes, start + nfgenmsgBytes, end);
          while (attributes.next()) {
            if (attributes.type === IPSET_ATTR_REVISION) newest = attributes.u8();
            else if (attributes.type === IPSET_ATTR_REVISION_MIN) oldest = attributes.u8();
          }
        },
        transactOptions(options),
      );
    } catch (error) {
      // Without the module ip_set nobody answers for the subsystem, and nfnetlink says EINVAL.
      if (!(error instanceof NetlinkError && error.code === "refused" && error.errno === EINVAL)) {
        throw ipsetError(error, operation);
      }
      throw new AntennaError({
        code: "unsupported",
        operation,
        message: `the kernel has no ipset: modules ip_set and ip_set_${typeName(type).replace(":", "_").replace(",", "")} are needed`,
        detail: error.message,
        cause: error,
      });
    }
    const revision = Math.min(newest, newestRevision(type));
    if (revision < oldest) {
      throw new AntennaError({
        code: "unsupported",
        operation,
        message: `the kernel has revisions ${oldest} to ${newest}, known here are those up to ${newestRevision(type)}`,
      });
    }
    this.#revisions.set(key, revision);
    return revision;
  }

  async #attempt(
    requests: Iterable<Request>,
    operation: string,
    options: CallOptions,
  ): Promise<readonly (NetlinkError | null)[]> {
    try {
      return await this.#transport.transact(requests, transactOptions(options));
    } catch (error) {
      throw ipsetError(error, operation);
    }
  }

  async #transact(
    requests: Iterable<Request>,
    operation: string,
    members: KernelMembers | null,
    options: CallOptions,
  ): Promise<void> {
    const results = await this.#attempt(requests, operation, options);
    const refused = results.find((result) => result !== null);
    if (refused !== undefined) throw ipsetError(refused, operation, members);
  }

  /** False: there is no such set. Reads again when the table changed under the reader; `begin` starts anew. */
  async #list(
    request: Request,
    options: CallOptions,
    reader: { begin(): void; message(message: Message): void },
  ): Promise<boolean> {
    for (let attempt = 1; ; attempt++) {
      reader.begin();
      try {
        await this.#transport.query(
          request,
          (message) => {
            if (message.type === commands.list) reader.message(message);
          },
          transactOptions(options),
        );
        return true;
      } catch (error) {
        if (error instanceof NetlinkError) {
          if (error.code === "refused" && error.errno === ENOENT) return false;
          const again = error.code === "dump-interrupted" || error.code === "overflow";
          if (again && attempt < mostTries) continue;
        }
        throw ipsetError(error, request.operation ?? "ipset list");
      }
    }
  }
}

export function isOfType(header: SetHeader, set: SetType): boolean {
  if (header.timeout || header.options) return false;
  return header.typeName === typeName(set) && header.family === set.family;
}

/** A hash may have grown with the members; beyond this it was made so by somebody else. */
const mostGrowth = 4;

/** Not the set of somebody else, exchanged for ours. */
function isAsMade(header: SetHeader, creation: SetCreation): boolean {
  const room = roomOf(creation);
  if (!isOfType(header, creation) || header.maxElements !== room) return false;
  return header.hashSize <= mostGrowth * hashSize(room);
}

/** Members that the kernel is to make room for: a prefix of length 0 stands as two. */
function roomOf({ shape, capacity }: SetCreation): number {
  return Math.max(1, Math.min(shape === "blocks" ? capacity * 2 : capacity, 0xffffffff));
}

function transactOptions({ signal }: CallOptions): TransactOptions {
  return signal === undefined ? {} : { signal };
}
