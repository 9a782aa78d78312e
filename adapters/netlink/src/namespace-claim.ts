import { setTimeout } from "node:timers/promises";
import { littleEndian } from "./codec/byte-order.js";
import { AF_UNIX, SO_PEERCRED, SOCK_STREAM, SOL_SOCKET } from "./constants.js";
import { EADDRINUSE, EAGAIN, ECONNREFUSED } from "./errno.js";
import { describeHolder, holderText } from "./holder.js";
import { KernelSocket } from "./kernel-socket.js";
import { type Holder, NetlinkError } from "./netlink-error.js";
import { unixAddress } from "./unix-address.js";

export interface NamespaceClaimOptions {
  /** What is claimed: 1 to 80 bytes; the same on both sides. */
  readonly name: string;
  /** Path of the network namespace; null, the default: the caller's own. */
  readonly namespace?: string | null;
}

/** Names that one claim can stand under; see NamespaceClaim. */
const places = 8;
const backlog = 64;
/** Tries to reach a listener whose backlog is full. */
const attempts = 20;
const retryMs = 50;

/**
 * An exclusive claim on a name in a network namespace: a listening socket in the abstract Unix namespace, which belongs
 * to the network namespace, also across containers that share nothing else. The kernel releases it when the process
 * ends. Whoever is refused learns the holder from the socket's credentials.
 *
 * Any user may bind an abstract name. So that nobody can keep an agent from starting, a holder that is neither root nor
 * of our own uid does not count: the claim then stands under the next of eight places, and all eight are looked at
 * before and after.
 */
export class NamespaceClaim implements Disposable {
  readonly #socket: KernelSocket;

  private constructor(socket: KernelSocket) {
    this.#socket = socket;
  }

  /** Rejects with NetlinkError `refused`, errno EADDRINUSE and the holder. */
  static async take(options: NamespaceClaimOptions): Promise<NamespaceClaim> {
    const { name, namespace = null } = options;
    const addresses = Array.from({ length: places }, (_, place) =>
      unixAddress(`@${name}${place === 0 ? "" : `.${place}`}`),
    );
    const refuse = (holder: Holder | null): NetlinkError =>
      new NetlinkError({
        code: "refused",
        operation: `claim ${name} in ${namespace ?? "the own network namespace"}`,
        errno: EADDRINUSE,
        message: `held by ${holderText(holder)}`,
        ...(holder === null ? {} : { holder }),
      });

    await refuseIfHeld(addresses, namespace, null, refuse);
    const socket = KernelSocket.open({ family: AF_UNIX, type: SOCK_STREAM, namespace });
    try {
      const place = addresses.findIndex((address) => tryBind(socket, address));
      if (place < 0) throw refuse(null);
      socket.listen(backlog);
      await refuseIfHeld(addresses, namespace, place, refuse);
      // Connections of those who look for the holder would fill the backlog, and hide it.
      socket.watch(0, () => {
        socket.turnAway();
        return false;
      });
      socket.reference(false);
      return new NamespaceClaim(socket);
    } catch (error) {
      socket.close();
      throw error;
    }
  }

  /** Idempotent. */
  close(): void {
    this.#socket.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function tryBind(socket: KernelSocket, address: Uint8Array): boolean {
  try {
    socket.bind(address);
    return true;
  } catch (error) {
    if (error instanceof NetlinkError && error.errno === EADDRINUSE) return false;
    throw error;
  }
}

/** Looks at every place but `own`; throws when somebody who counts stands there. */
async function refuseIfHeld(
  addresses: readonly Uint8Array[],
  namespace: string | null,
  own: number | null,
  refuse: (holder: Holder | null) => NetlinkError,
): Promise<void> {
  for (const [place, address] of addresses.entries()) {
    if (place === own) continue;
    const credentials = await credentialsAt(address, namespace);
    if (credentials === null) continue;
    const { pid, uid } = credentials;
    if (uid === 0 || uid === process.geteuid?.()) throw refuse(await describeHolder(pid, uid));
  }
}

/** Who listens there (SO_PEERCRED: as it was at listen(2)); null: nobody who can be named. */
async function credentialsAt(
  address: Uint8Array,
  namespace: string | null,
): Promise<{ readonly pid: number; readonly uid: number } | null> {
  using socket = KernelSocket.open({ family: AF_UNIX, type: SOCK_STREAM, namespace });
  for (let attempt = 0; !tryConnect(socket, address); attempt++) {
    // The backlog is full. One of ours empties it; who never does is no agent.
    if (attempt >= attempts) return null;
    await setTimeout(retryMs);
  }
  const credentials = new Uint8Array(12);
  try {
    socket.getOption(SOL_SOCKET, SO_PEERCRED, credentials);
  } catch {
    return null;
  }
  const view = new DataView(credentials.buffer);
  const [pid, uid] = [view.getInt32(0, littleEndian), view.getUint32(4, littleEndian)];
  // Not connected: nobody listens there.
  return uid === 0xffffffff ? null : { pid, uid };
}

/** False: the backlog is full. */
function tryConnect(socket: KernelSocket, address: Uint8Array): boolean {
  try {
    socket.connect(address);
  } catch (error) {
    if (!(error instanceof NetlinkError)) throw error;
    if (error.errno === EAGAIN) return false;
    if (error.errno !== ECONNREFUSED) throw error;
  }
  return true;
}
