import { readFile } from "node:fs/promises";
import { IPPROTO_TCP, IPPROTO_UDP, type NetlinkTransport, SockDiag, type SocketInfo } from "@antenna/netlink";
import { formatAddress, type ListeningService } from "@antenna/sdk";
import { readAccounts } from "./accounts.js";
import { findSocketOwners } from "./socket-owners.js";

/** The rest is left out. */
export const mostServices = 1_024;

/**
 * Who listens: TCP sockets in LISTEN, UDP sockets that are bound outside the ephemeral range and not connected. Processes
 * are looked for only when there is a socket that was not there the last time.
 */
export class ListeningServices {
  readonly #diag: SockDiag;
  readonly #owners = new Map<string, string | null>();

  /** `transport` speaks NETLINK_SOCK_DIAG in the namespace that is meant. */
  constructor(transport: NetlinkTransport) {
    this.#diag = new SockDiag(transport);
  }

  /** In the order of protocol, port and address, without repetition. */
  async read(): Promise<readonly ListeningService[]> {
    const sockets = await this.#sockets();
    await this.#learn(sockets);
    const accounts = await readAccounts();
    const services = new Map<string, ListeningService>();
    for (const socket of sockets) {
      const service: ListeningService = {
        protocol: socket.protocol === IPPROTO_TCP ? "tcp" : "udp",
        address: formatAddress(socket.localAddress),
        port: socket.localPort,
        process: this.#owners.get(keyOf(socket)) ?? null,
        user: accounts.get(socket.uid) ?? String(socket.uid),
      };
      const key = `${service.protocol} ${service.address} ${service.port}`;
      if (!services.has(key)) services.set(key, service);
    }
    return [...services.values()].sort(byProtocolPortAddress).slice(0, mostServices);
  }

  async #sockets(): Promise<readonly SocketInfo[]> {
    const ephemeral = await readEphemeralRange();
    const found: SocketInfo[] = [];
    for (const family of [4, 6] as const) {
      await this.#diag.dump({ family, protocol: IPPROTO_TCP, states: ["listen"] }, (socket) => {
        if (found.length < 4 * mostServices) found.push(socket);
      });
      await this.#diag.dump({ family, protocol: IPPROTO_UDP, states: ["close"] }, (socket) => {
        const { localPort } = socket;
        const chosen = localPort > 0 && (localPort < ephemeral.from || localPort > ephemeral.to);
        if (chosen && found.length < 4 * mostServices) found.push(socket);
      });
    }
    return found;
  }

  /** Cookies are never used twice, so what is known of one stays right. */
  async #learn(sockets: readonly SocketInfo[]): Promise<void> {
    const present = new Set(sockets.map(keyOf));
    for (const key of this.#owners.keys()) if (!present.has(key)) this.#owners.delete(key);
    const unknown = sockets.filter((socket) => !this.#owners.has(keyOf(socket)));
    if (unknown.length === 0) return;
    const owners = await findSocketOwners(new Set(unknown.map(({ inode }) => inode)));
    for (const socket of unknown) this.#owners.set(keyOf(socket), owners.get(socket.inode) ?? null);
  }
}

function keyOf({ protocol, cookie }: SocketInfo): string {
  return `${protocol} ${cookie}`;
}

function byProtocolPortAddress(a: ListeningService, b: ListeningService): number {
  return compare(a.protocol, b.protocol) || a.port - b.port || compare(a.address, b.address);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

async function readEphemeralRange(): Promise<{ readonly from: number; readonly to: number }> {
  const text = await readFile("/proc/sys/net/ipv4/ip_local_port_range", "latin1").catch(() => "");
  const [from = 32_768, to = 60_999] = text.split(/\s+/).filter(Boolean).map(Number);
  return { from, to };
}
