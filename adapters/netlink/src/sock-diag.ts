import { AttributeReader, malformed } from "./codec/attribute-reader.js";
import { AttributeWriter } from "./codec/attribute-writer.js";
import { littleEndian } from "./codec/byte-order.js";
import { AF_INET, AF_INET6, NLM_F_DUMP } from "./constants.js";
import { ENOENT, ESTALE } from "./errno.js";
import { NetlinkError } from "./netlink-error.js";
import type { Message, NetlinkTransport, QueryOptions, Request, TransactOptions } from "./transport.js";

/** Sources: linux/sock_diag.h, linux/inet_diag.h, linux/tcp.h, net/tcp_states.h. */
const SOCK_DIAG_BY_FAMILY = 20;
const SOCK_DESTROY = 21;
const INET_DIAG_INFO = 2;
const INET_DIAG_NOCOOKIE = 0xffffffff;
const TCPI_OPT_WSCALE = 4;
const inetDiagMessageBytes = 72;

export const IPPROTO_TCP = 6;
export const IPPROTO_UDP = 17;

/** States of a socket, by the kernel's numbers; a UDP socket is `established` when connected, else `close`. */
export const socketStates = {
  established: 1,
  synSent: 2,
  synReceived: 3,
  finWait1: 4,
  finWait2: 5,
  timeWait: 6,
  close: 7,
  closeWait: 8,
  lastAck: 9,
  listen: 10,
  closing: 11,
  newSynReceived: 12,
} as const;

export type SocketState = keyof typeof socketStates;

/** The two ends of a socket. Addresses are 4 or 16 bytes in network order, an unbound one is all zero. */
export interface SocketTuple {
  readonly family: 4 | 6;
  readonly protocol: typeof IPPROTO_TCP | typeof IPPROTO_UDP;
  readonly localAddress: Uint8Array;
  readonly localPort: number;
  readonly remoteAddress: Uint8Array;
  readonly remotePort: number;
}

/** A TCP or UDP socket. */
export interface SocketInfo extends SocketTuple {
  /** null: a state that this version does not know. */
  readonly state: SocketState | null;
  /** Owner's user id. */
  readonly uid: number;
  /** Inode of the socket as in /proc/PID/fd; 0: no process has it any more. */
  readonly inode: number;
  /** The kernel's name of this very socket, never used twice. */
  readonly cookie: bigint;
  /** Bound to this interface; 0: to none. */
  readonly interfaceIndex: number;
  /** True: an IPv6 socket, though `family` may be 4 (an IPv4-mapped address on a dual-stack socket). */
  readonly ipv6Socket: boolean;
  /** Shifts of the TCP window that were agreed on; null: none were, or they were not asked for. */
  readonly windowScale: { readonly send: number; readonly receive: number } | null;
}

export interface DumpOptions extends QueryOptions {
  readonly family: 4 | 6;
  readonly protocol: typeof IPPROTO_TCP | typeof IPPROTO_UDP;
  /** Default: every state. */
  readonly states?: readonly SocketState[];
  /** Default false: TCP's window scales cost the kernel some more work. */
  readonly windowScales?: boolean;
}

/**
 * The TCP and UDP sockets of a network namespace (sock_diag(7)), on a transport of NETLINK_SOCK_DIAG.
 * Reading needs no privilege; destroying needs CAP_NET_ADMIN and a kernel with CONFIG_INET_DIAG_DESTROY.
 */
export class SockDiag {
  readonly #transport: NetlinkTransport;
  readonly #attributes = new AttributeReader();

  constructor(transport: NetlinkTransport) {
    this.#transport = transport;
  }

  /**
   * Hands out every socket of a family and protocol. IPv4 connections of dual-stack sockets are among the IPv6 ones,
   * told with `family: 4` and unmapped addresses: for all of IPv4 ask for both families.
   */
  async dump(options: DumpOptions, onSocket: (socket: SocketInfo) => void): Promise<void> {
    const { family, protocol, states, windowScales = false } = options;
    const mask =
      states === undefined
        ? 0xffffffff
        : states.reduce((bits, state) => bits | (1 << socketStates[state]), 0);
    const payload = new AttributeWriter(56)
      .putU8(family === 4 ? AF_INET : AF_INET6)
      .putU8(protocol)
      .putU8(windowScales ? 1 << (INET_DIAG_INFO - 1) : 0)
      .putU8(0)
      .putU32(mask >>> 0)
      .putBytes(new Uint8Array(48))
      .view();
    await this.#transport.query(
      { type: SOCK_DIAG_BY_FAMILY, flags: NLM_F_DUMP, payload, operation: "sock_diag dump" },
      (message) => {
        if (message.type === SOCK_DIAG_BY_FAMILY) onSocket(this.#read(message, protocol));
      },
      options,
    );
  }

  /**
   * The connected socket with exactly these two ends; null: there is none. (The kernel answers with the listener, or
   * for UDP with the unconnected socket, where none is connected: such an answer is no answer here.)
   */
  async find(
    tuple: SocketTuple,
    options: TransactOptions & { readonly windowScales?: boolean } = {},
  ): Promise<SocketInfo | null> {
    // udp_dump_one() takes the two ends the other way round, "for historical reasons".
    const swapped = tuple.protocol === IPPROTO_UDP;
    const payload = new AttributeWriter(56);
    writeRequest(payload, tuple, { swapped, cookie: null, windowScales: options.windowScales ?? false });
    let found: SocketInfo | null = null;
    try {
      await this.#transport.query(
        { type: SOCK_DIAG_BY_FAMILY, flags: 0, payload: payload.view(), operation: "sock_diag find" },
        (message) => {
          if (message.type === SOCK_DIAG_BY_FAMILY) found = this.#read(message, tuple.protocol);
        },
        options.signal === undefined ? {} : { signal: options.signal },
      );
    } catch (error) {
      if (error instanceof NetlinkError && error.code === "refused" && error.errno === ENOENT) return null;
      throw error;
    }
    return found !== null && sameTuple(found, tuple) ? found : null;
  }

  /**
   * Destroys exactly these sockets, by cookie: their processes get ECONNABORTED, the peers of TCP a reset; a UDP socket
   * is disconnected and stays bound. Resolves in order: true, or false where the socket was gone already; rejects at another refusal once all were tried.
   * A socket without a remote end (a listener) is refused with TypeError.
   */
  async destroy(sockets: readonly SocketInfo[], options: TransactOptions = {}): Promise<readonly boolean[]> {
    for (const socket of sockets) {
      if (socket.remotePort === 0 || socket.state === "listen")
        throw new TypeError("only connected sockets can be destroyed");
    }
    const results = await this.#transport.transact(destroyRequests(sockets), options);
    const refused = results.find(
      (result) => result !== null && result.errno !== ENOENT && result.errno !== ESTALE,
    );
    if (refused !== undefined && refused !== null) throw refused;
    return results.map((result) => result === null);
  }

  #read({ bytes, start, end }: Message, protocol: SocketTuple["protocol"]): SocketInfo {
    if (end - start < inetDiagMessageBytes) throw malformed(`an inet_diag message of ${end - start} bytes`);
    const view = new DataView(bytes.buffer, bytes.byteOffset + start, inetDiagMessageBytes);
    const ipv6Socket = view.getUint8(0) === AF_INET6;
    if (!ipv6Socket && view.getUint8(0) !== AF_INET)
      throw malformed(`an inet_diag message of family ${view.getUint8(0)}`);
    const state = view.getUint8(1);
    const address = (at: number, length: number): Uint8Array => bytes.slice(start + at, start + at + length);
    const mapped = ipv6Socket && isMapped(view, 8) && isMapped(view, 24);
    const skip = mapped ? 12 : 0;
    const length = ipv6Socket && !mapped ? 16 : 4;
    return {
      family: length === 16 ? 6 : 4,
      protocol,
      localAddress: address(8 + skip, length),
      localPort: view.getUint16(4, false),
      remoteAddress: address(24 + skip, length),
      remotePort: view.getUint16(6, false),
      state: stateNames.get(state) ?? null,
      uid: view.getUint32(64, littleEndian),
      inode: view.getUint32(68, littleEndian),
      cookie: (BigInt(view.getUint32(48, littleEndian)) << 32n) | BigInt(view.getUint32(44, littleEndian)),
      interfaceIndex: view.getUint32(40, littleEndian),
      ipv6Socket,
      windowScale: this.#windowScale(bytes, start + inetDiagMessageBytes, end),
    };
  }

  #windowScale(bytes: Uint8Array, start: number, end: number): SocketInfo["windowScale"] {
    const attributes = this.#attributes.reset(bytes, start, end);
    while (attributes.next()) {
      if (attributes.type !== INET_DIAG_INFO || attributes.length < 7) continue;
      // struct tcp_info: options at 5; at 6 two bit fields of four, the first in the low half on these machines.
      const options = bytes[attributes.start + 5] ?? 0;
      const scales = bytes[attributes.start + 6] ?? 0;
      return (options & TCPI_OPT_WSCALE) === 0 ? null : { send: scales & 0xf, receive: scales >> 4 };
    }
    return null;
  }
}

const stateNames: ReadonlyMap<number, SocketState> = new Map(
  Object.entries(socketStates).map(([name, number]) => [number, name as SocketState]),
);

function* destroyRequests(sockets: readonly SocketInfo[]): Iterable<Request> {
  const payload = new AttributeWriter(56);
  for (const socket of sockets) {
    // Without the cookie the kernel would take the nearest match, which can be the listener.
    writeRequest(payload.reset(), socket, { swapped: false, cookie: socket.cookie, windowScales: false });
    yield { type: SOCK_DESTROY, flags: 0, payload: payload.view(), operation: "sock_diag destroy" };
  }
}

/** struct inet_diag_req_v2 */
function writeRequest(
  writer: AttributeWriter,
  tuple: SocketTuple & { readonly interfaceIndex?: number },
  options: { readonly swapped: boolean; readonly cookie: bigint | null; readonly windowScales: boolean },
): void {
  const ends = [
    { address: tuple.localAddress, port: tuple.localPort },
    { address: tuple.remoteAddress, port: tuple.remotePort },
  ] as const;
  const [first, second] = options.swapped ? [ends[1], ends[0]] : ends;
  writer
    .putU8(tuple.family === 4 ? AF_INET : AF_INET6)
    .putU8(tuple.protocol)
    .putU8(options.windowScales ? 1 << (INET_DIAG_INFO - 1) : 0)
    .putU8(0)
    .putU32(0xffffffff)
    .putBe16(first.port)
    .putBe16(second.port);
  for (const { address } of [first, second]) {
    if (address.length !== (tuple.family === 4 ? 4 : 16))
      throw new TypeError(`an address of ${address.length} bytes`);
    writer.putBytes(address).putBytes(new Uint8Array(16 - address.length));
  }
  writer.putU32(tuple.interfaceIndex ?? 0);
  if (options.cookie === null) writer.putU32(INET_DIAG_NOCOOKIE).putU32(INET_DIAG_NOCOOKIE);
  else writer.putU32(Number(options.cookie & 0xffffffffn)).putU32(Number(options.cookie >> 32n));
}

/** ::ffff:0:0/96 (RFC 4291, 2.5.5.2) */
function isMapped(view: DataView, at: number): boolean {
  return (
    view.getUint32(at, false) === 0 &&
    view.getUint32(at + 4, false) === 0 &&
    view.getUint32(at + 8, false) === 0xffff
  );
}

function sameTuple(a: SocketTuple, b: SocketTuple): boolean {
  return (
    a.family === b.family &&
    a.localPort === b.localPort &&
    a.remotePort === b.remotePort &&
    Buffer.compare(a.localAddress, b.localAddress) === 0 &&
    Buffer.compare(a.remoteAddress, b.remoteAddress) === 0
  );
}
