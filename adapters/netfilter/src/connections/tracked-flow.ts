import type { TrackedFlow, Tuple } from "@antenna/sdk";
import { type Entry, type EntryTuple, pickedUp, tcpState } from "netfilter-conntrack";
import { sameAddress } from "./address-key.js";
import type { LocalAddressSet } from "./local-address-set.js";

export const tcp = 6;
export const udp = 17;
const icmp = 1;
const icmpv6 = 58;
const portProtocols: ReadonlySet<number> = new Set([tcp, udp, 33, 132, 136]);

export function hasPorts(protocol: number): boolean {
  return portProtocols.has(protocol);
}

export function isIcmp(protocol: number): boolean {
  return protocol === icmp || protocol === icmpv6;
}

type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** A flow record that is filled again and again. */
export interface FlowRecord extends Omit<Writable<TrackedFlow>, "original" | "reply"> {
  original: Writable<Tuple>;
  reply: Writable<Tuple>;
}

export interface FlowContext {
  readonly local: LocalAddressSet;
  readonly cutMark: number;
  /** UDP entries that began while tracking was young: their first packet need not have been the flow's. */
  readonly unseenUdp: ReadonlySet<number>;
}

export function emptyFlowRecord(): FlowRecord {
  const tuple = (): Writable<Tuple> => ({
    source: new Uint8Array(0),
    destination: new Uint8Array(0),
    sourcePort: null,
    destinationPort: null,
  });
  return {
    id: 0,
    zone: 0,
    family: 4,
    protocol: 0,
    icmpType: null,
    icmpCode: null,
    icmpId: null,
    original: tuple(),
    reply: tuple(),
    direction: "forwarded",
    openingSeen: true,
    cut: false,
    closing: false,
  };
}

/** Fills `record` from an entry; its addresses are copies, in storage that the record keeps. */
export function fillFlow(record: FlowRecord, entry: Entry, context: FlowContext): FlowRecord {
  const { protocol } = entry;
  const echo = isIcmp(protocol);
  const ports = hasPorts(protocol);
  record.id = entry.id;
  record.zone = entry.zone;
  record.family = entry.family;
  record.protocol = protocol;
  record.icmpType = echo ? entry.original.icmpType : null;
  record.icmpCode = echo ? entry.original.icmpCode : null;
  record.icmpId = echo ? entry.original.icmpId : null;
  fillTuple(record.original, entry.original, ports);
  fillTuple(record.reply, entry.reply, ports);
  record.direction = directionOf(entry, context.local);
  record.openingSeen = openingSeen(entry, context.unseenUdp);
  record.cut = (entry.mark & context.cutMark) !== 0;
  record.closing = entry.tcp !== null && closingStates.has(entry.tcp.state);
  return record;
}

const closingStates: ReadonlySet<number> = new Set([
  tcpState.finWait,
  tcpState.closeWait,
  tcpState.lastAck,
  tcpState.timeWait,
  tcpState.close,
]);

/** Contract, "Addresses and ports": `in` if the reply's source is local, `out` if the original source is. */
function directionOf(entry: Entry, local: LocalAddressSet): TrackedFlow["direction"] {
  const inbound = local.has(entry.reply.source);
  const outbound = local.has(entry.original.source);
  if (inbound) return outbound ? "local" : "in";
  return outbound ? "out" : "forwarded";
}

/**
 * TCP: the kernel's own sign of a pick-up in the middle, which our insertions carry too. UDP: by when it began, except
 * where both ports are equal (NTP, IKE, WireGuard…): there the ports tell nothing that the kernel's guess does not.
 * Other protocols: the kernel takes no entry from the middle of an ICMP exchange, and for the rest nothing is known.
 */
function openingSeen(entry: Entry, unseenUdp: ReadonlySet<number>): boolean {
  if (entry.tcp !== null) return !pickedUp(entry.tcp.flagsOriginal, entry.tcp.flagsReply);
  if (entry.protocol !== udp || entry.original.sourcePort === entry.original.destinationPort) return true;
  return !unseenUdp.has(entry.id);
}

function fillTuple(target: Writable<Tuple>, source: EntryTuple, ports: boolean): void {
  target.source = copyInto(target.source, source.source);
  target.destination = copyInto(target.destination, source.destination);
  target.sourcePort = ports ? source.sourcePort : null;
  target.destinationPort = ports ? source.destinationPort : null;
}

function copyInto(storage: Uint8Array, source: Uint8Array): Uint8Array {
  const target = storage.length === source.length ? storage : new Uint8Array(source.length);
  target.set(source);
  return target;
}

/** A copy that shares nothing with the batch it came in. */
function copyFlow(flow: TrackedFlow): TrackedFlow {
  const original = copyTuple(flow.original);
  const reply = copyTuple(flow.reply);
  // Most flows are not translated: one copy of each address is enough.
  if (!sameAddress(original.source, reply.destination) || !sameAddress(original.destination, reply.source)) {
    return { ...flow, original, reply };
  }
  return {
    ...flow,
    original,
    reply: { ...reply, source: original.destination, destination: original.source },
  };
}

/**
 * The flow as it was judged: where its opening was not seen, the direction that its local end tells. What is kept is
 * kept in this form, since listeners come and go.
 */
export function resolveFlow(flow: TrackedFlow, isInbound: (flow: TrackedFlow) => boolean): TrackedFlow {
  const copy = copyFlow(flow);
  const judged = flow.direction === "in" || flow.direction === "out";
  if (flow.openingSeen || !judged || (flow.protocol !== tcp && flow.protocol !== udp)) return copy;
  const direction = isInbound(flow) ? "in" : "out";
  if (direction === flow.direction) return { ...copy, openingSeen: true };
  return { ...copy, direction, openingSeen: true, original: copy.reply, reply: copy.original };
}

/** The two ends of the socket that is this flow's local end; null: it has none here, or no ports. */
export function localEnds(flow: TrackedFlow): {
  readonly local: Uint8Array;
  readonly localPort: number;
  readonly remote: Uint8Array;
  readonly remotePort: number;
} | null {
  // The local stack sends what the reply tuple describes of an inbound flow, and the original one of an outbound flow.
  const sent = flow.direction === "in" ? flow.reply : flow.direction === "out" ? flow.original : null;
  if (sent === null || sent.sourcePort === null || sent.destinationPort === null) return null;
  return {
    local: sent.source,
    localPort: sent.sourcePort,
    remote: sent.destination,
    remotePort: sent.destinationPort,
  };
}

function copyTuple(tuple: Tuple): Tuple {
  return { ...tuple, source: tuple.source.slice(), destination: tuple.destination.slice() };
}

export function sameTuple(a: Tuple, b: Tuple): boolean {
  return (
    a.sourcePort === b.sourcePort &&
    a.destinationPort === b.destinationPort &&
    sameAddress(a.source, b.source) &&
    sameAddress(a.destination, b.destination)
  );
}
