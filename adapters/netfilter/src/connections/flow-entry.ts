import type { TrackedFlow, Tuple } from "@antenna/sdk";
import {
  type EntryKey,
  liberalTracking,
  type NewEntry,
  status,
  type TupleInput,
  tcpState,
} from "netfilter-conntrack";
import { sameAddress } from "./address-key.js";
import { tcp } from "./tracked-flow.js";

/** RFC 792, RFC 4443: the type that answers a request. */
const icmpAnswers: ReadonlyMap<number, number> = new Map([
  [8, 0],
  [13, 14],
  [15, 16],
  [17, 18],
  [128, 129],
]);

/** How the kernel finds the flow's entry. */
export function flowKey(flow: TrackedFlow): EntryKey {
  return { family: flow.family, protocol: flow.protocol, tuple: originalTuple(flow), zone: flow.zone };
}

/** How the kernel finds an entry whose original direction is the flow's reply. */
export function replyKey(flow: TrackedFlow): EntryKey {
  return { family: flow.family, protocol: flow.protocol, tuple: replyTuple(flow), zone: flow.zone };
}

/** Whether its entry can be made anew: one that translates addresses cannot, the kernel would not translate again. */
export function replaceable(flow: TrackedFlow): boolean {
  const { original, reply } = flow;
  return (
    sameAddress(original.source, reply.destination) &&
    sameAddress(original.destination, reply.source) &&
    original.sourcePort === reply.destinationPort &&
    original.destinationPort === reply.sourcePort &&
    (flow.icmpType === null || icmpAnswers.has(flow.icmpType))
  );
}

/** An entry that takes the place of the flow's own after somebody deleted it, marked from its first moment. */
export function replacement(
  flow: TrackedFlow,
  facts: {
    readonly status: number;
    readonly mark: number;
    readonly timeoutSeconds: number;
    readonly tcpState: number | null;
  },
): NewEntry {
  const entry = {
    family: flow.family,
    protocol: flow.protocol,
    original: originalTuple(flow),
    reply: replyTuple(flow),
    zone: flow.zone,
    status: (facts.status & (status.seenReply | status.assured)) | status.confirmed,
    timeoutSeconds: facts.timeoutSeconds,
    mark: facts.mark,
  };
  if (flow.protocol !== tcp) return entry;
  return { ...entry, tcp: { state: facts.tcpState ?? tcpState.established, ...liberalTracking } };
}

function originalTuple(flow: TrackedFlow): TupleInput {
  return withIcmp(ports(flow.original), flow.icmpType, flow);
}

function replyTuple(flow: TrackedFlow): TupleInput {
  const answer = flow.icmpType === null ? null : (icmpAnswers.get(flow.icmpType) ?? flow.icmpType);
  return withIcmp(ports(flow.reply), answer, flow);
}

function ports({ source, destination, sourcePort, destinationPort }: Tuple): TupleInput {
  if (sourcePort === null || destinationPort === null) return { source, destination };
  return { source, destination, sourcePort, destinationPort };
}

function withIcmp(tuple: TupleInput, icmpType: number | null, flow: TrackedFlow): TupleInput {
  if (icmpType === null) return tuple;
  return { ...tuple, icmpType, icmpCode: flow.icmpCode ?? 0, icmpId: flow.icmpId ?? 0 };
}
