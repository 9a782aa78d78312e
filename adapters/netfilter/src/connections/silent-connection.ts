import type { SocketInfo } from "@antenna/netlink";
import { liberalTracking, type NewEntry, status, tcpState } from "netfilter-conntrack";
import type { ListeningPorts } from "./listening-ports.js";
import { tcp } from "./tracked-flow.js";

/**
 * The entry that connection tracking would have, had it seen this TCP connection open. A connection whose local port
 * listens was opened by the other side.
 *
 * Sequence numbers cannot be told to the kernel, so the window is tracked liberally, as the kernel does by itself where it
 * begins in the middle: without it, packets turn INVALID once the unscaled window has gone by (seen on 6.18 after
 * 45 MB). Half-closed connections are entered as established too: the data that can still go must pass, and the second
 * FIN ends the entry.
 */
export function silentConnection(
  socket: Pick<SocketInfo, "family" | "localAddress" | "localPort" | "remoteAddress" | "remotePort">,
  listening: ListeningPorts,
  timeoutSeconds: number,
): NewEntry {
  const local = { address: socket.localAddress, port: socket.localPort };
  const remote = { address: socket.remoteAddress, port: socket.remotePort };
  const inbound = listening.listensTcp(local.address, local.port);
  const [opener, answerer] = inbound ? [remote, local] : [local, remote];
  return {
    family: socket.family,
    protocol: tcp,
    original: {
      source: opener.address,
      destination: answerer.address,
      sourcePort: opener.port,
      destinationPort: answerer.port,
    },
    reply: {
      source: answerer.address,
      destination: opener.address,
      sourcePort: answerer.port,
      destinationPort: opener.port,
    },
    status: status.seenReply | status.assured | status.confirmed,
    timeoutSeconds,
    tcp: { state: tcpState.established, ...liberalTracking },
  };
}
