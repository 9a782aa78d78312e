import type { SocketInfo } from "@antenna/netlink";
import type { CallOptions } from "@antenna/sdk";
import { type Conntrack, liberalTracking, type NewEntry, status, tcpState } from "netfilter-conntrack";
import type { ListeningPorts } from "./listening-ports.js";
import { tcp } from "./tracked-flow.js";

const eexist = 17;
/** Entries that are made with one call. */
const entriesAtOnce = 1_024;

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

/** Enters connections that are not tracked yet; those that are stay as they are. The first refusal is told, all are counted. */
export async function enterConnections(
  conntrack: Conntrack,
  entries: readonly NewEntry[],
  options: CallOptions & { readonly onRefused: (error: Error) => void },
): Promise<{ readonly entered: number; readonly existing: number; readonly failed: number }> {
  let entered = 0;
  let existing = 0;
  let failed = 0;
  for (let at = 0; at < entries.length; at += entriesAtOnce) {
    const results = await conntrack.create(entries.slice(at, at + entriesAtOnce), options);
    for (const refusal of results) {
      if (refusal === null) entered += 1;
      else if (refusal.errno === eexist) existing += 1;
      else {
        if (failed === 0) options.onRefused(refusal);
        failed += 1;
      }
    }
  }
  return { entered, existing, failed };
}
