import { IPPROTO_TCP, IPPROTO_UDP, type SockDiag, type SocketInfo, type SocketState } from "@antenna/netlink";
import type { TrackedFlow } from "@antenna/sdk";
import { type EphemeralPorts, ListeningPorts } from "./listening-ports.js";
import { localEnds, tcp } from "./tracked-flow.js";

/** TCP sockets that can still carry data, or are about to. */
const alive: ReadonlySet<SocketState | null> = new Set<SocketState>([
  "established",
  "synSent",
  "synReceived",
  "finWait1",
  "finWait2",
  "closeWait",
  "lastAck",
  "closing",
]);

interface SignalOptions {
  readonly signal?: AbortSignal;
}

/** The sockets of the namespace: what listens, what is connected, and ending what was cut. */
export class LocalSockets {
  readonly #diag: SockDiag;

  constructor(diag: SockDiag) {
    this.#diag = diag;
  }

  async listening(ephemeral: EphemeralPorts, options: SignalOptions = {}): Promise<ListeningPorts> {
    const ports = new ListeningPorts(ephemeral);
    for (const family of [4, 6] as const) {
      await this.#diag.dump({ family, protocol: IPPROTO_TCP, states: ["listen"], ...options }, (socket) =>
        ports.add(socket, "tcp"),
      );
      await this.#diag.dump({ family, protocol: IPPROTO_UDP, ...options }, (socket) =>
        ports.add(socket, "udp"),
      );
    }
    return ports;
  }

  /** TCP connections over which data can still go in at least one direction. */
  async connected(onSocket: (socket: SocketInfo) => void, options: SignalOptions = {}): Promise<void> {
    const states: readonly SocketState[] = ["established", "finWait1", "finWait2", "closeWait"];
    for (const family of [4, 6] as const) {
      await this.#diag.dump({ family, protocol: IPPROTO_TCP, states, ...options }, onSocket);
    }
  }

  /**
   * Ends the local TCP sockets of flows: each is looked up by its two ends and destroyed by its cookie, so that nothing
   * but this very connection can be hit. UDP sockets are left alone: they are not the flow. Gives the flows whose socket was
   * ended.
   */
  async end(flows: readonly TrackedFlow[], options: SignalOptions = {}): Promise<ReadonlySet<TrackedFlow>> {
    const found: { readonly flow: TrackedFlow; readonly socket: SocketInfo }[] = [];
    for (const flow of flows) {
      const ends = flow.protocol === tcp ? localEnds(flow) : null;
      if (ends === null) continue;
      const socket = await this.#diag.find(
        {
          family: flow.family,
          protocol: IPPROTO_TCP,
          localAddress: ends.local,
          localPort: ends.localPort,
          remoteAddress: ends.remote,
          remotePort: ends.remotePort,
        },
        options,
      );
      if (socket !== null && alive.has(socket.state)) found.push({ flow, socket });
    }
    if (found.length === 0) return new Set();
    const destroyed = await this.#diag.destroy(
      found.map(({ socket }) => socket),
      options,
    );
    return new Set(found.filter((_, index) => destroyed[index] === true).map(({ flow }) => flow));
  }
}
