import { setTimeout } from "node:timers/promises";
import { AF_UNIX, SOCK_DGRAM } from "./constants.js";
import { EAGAIN } from "./errno.js";
import { KernelSocket, refusal } from "./kernel-socket.js";
import { unixAddress } from "./unix-address.js";

/** A receiver whose queue is full is tried again for so long. */
const patienceMs = 1000;
const retryMs = 10;

/**
 * Sends one datagram to a Unix socket, by path or by abstract name (`@name`), from this process. Rejects with
 * NetlinkError `refused`: ENOENT or ECONNREFUSED where nobody listens, EAGAIN where nobody reads.
 */
export async function sendDatagram(path: string, bytes: Uint8Array): Promise<void> {
  const address = unixAddress(path);
  using socket = KernelSocket.open({ family: AF_UNIX, type: SOCK_DGRAM });
  for (let waited = 0; !socket.send(bytes, bytes.length, address); waited += retryMs) {
    if (waited >= patienceMs) throw refusal(`sendto ${path}`, EAGAIN);
    await setTimeout(retryMs);
  }
}

/**
 * Tells the service manager (sd_notify(3)): `READY=1`, `STOPPING=1`, `WATCHDOG=1`, `STATUS=…`; several by newlines.
 * `socket` is what NOTIFY_SOCKET says. False, and nothing is sent, when there is none, or when it is of a kind that is
 * not on this host (`vsock:…`).
 */
export async function notifyServiceManager(state: string, socket: string | undefined): Promise<boolean> {
  if (socket === undefined || !(socket.startsWith("/") || socket.startsWith("@"))) return false;
  await sendDatagram(socket, new TextEncoder().encode(state));
  return true;
}
