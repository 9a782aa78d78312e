import type { TrackedFlow } from "@antenna/sdk";
import {
  type Conntrack,
  type Entry,
  type EntryOperation,
  entryKey,
  liberalTracking,
  type NewEntry,
  status,
  tcpState,
} from "netfilter-conntrack";
import { flowKey, replyKey } from "./flow-entry.js";
import { tcp } from "./tracked-flow.js";

const tries = 3;
const noPort = 0;
const noCode = 0xff;

/**
 * Whether an entry is one that `sever` made. No packet goes to port 0, and nothing but this gives the answer of an ICMP
 * request another code (translation changes its id).
 */
export function isOneWay(entry: Pick<Entry, "original" | "reply">): boolean {
  if (entry.original.sourcePort !== noPort) return entry.reply.destinationPort === noPort;
  return entry.reply.icmpCode === noCode && entry.original.icmpCode !== noCode;
}

/** The flow that a one-way entry stands for. Which side opened it, the entry does not tell. */
export function bothWays(flow: TrackedFlow): TrackedFlow {
  const { source, destination, sourcePort, destinationPort } = flow.original;
  return {
    ...flow,
    reply: {
      source: destination,
      destination: source,
      sourcePort: destinationPort,
      destinationPort: sourcePort,
    },
    openingSeen: false,
  };
}

/**
 * The last means against a rule of the owner that writes the whole mark with every packet: before our own rules see a
 * packet, its mark has gone, and the packet is ESTABLISHED.
 *
 * The flow's entry is replaced by one for each direction, whose answers come from nowhere: neither is ever answered, so
 * that every packet is NEW and judged by the policy, mark or not. What the policy denies stays denied, whatever the
 * other side sends. (A packet of a direction that the policy allows still passes, as the first of a new flow would; it
 * gets no answer.)
 *
 * Only for flows that are `replaceable`. Puts the entries in the place of whatever has the flow's tuple; false: packets
 * were quicker, several times.
 */
export async function sever(
  conntrack: Conntrack,
  flow: TrackedFlow,
  facts: { readonly mark: number; readonly timeoutSeconds: number },
): Promise<boolean> {
  const wanted = oneWayEntries(flow, facts);
  for (let attempt = 0; attempt < tries; attempt += 1) {
    await clear(conntrack, flow);
    const refusals = await conntrack.create(wanted);
    if (refusals.every((refusal) => refusal === null)) return true;
  }
  return false;
}

/** The steps of `sever` at once, where the id of the flow's entry is known. */
export function severance(
  flow: TrackedFlow,
  facts: { readonly id: number; readonly mark: number; readonly timeoutSeconds: number },
): EntryOperation[] {
  return [
    { do: "delete", key: flowKey(flow), id: facts.id },
    ...oneWayEntries(flow, facts).map((entry): EntryOperation => ({ do: "create", entry })),
  ];
}

/** The one-way entries as they stand, or null where one of them is missing or something else has its place. */
export async function severedEntries(
  conntrack: Conntrack,
  flow: TrackedFlow,
): Promise<readonly Entry[] | null> {
  const found: Entry[] = [];
  for (const key of keys(flow)) {
    const entry = await conntrack.get(key);
    if (entry === null || !isOneWay(entry)) return null;
    found.push(entry);
  }
  return found;
}

/** Takes every entry of the flow's tuple away: its next packet is judged and tracked like any other. */
export async function clear(conntrack: Conntrack, flow: TrackedFlow): Promise<void> {
  for (const key of keys(flow)) {
    const entry = await conntrack.get(key);
    if (entry !== null) await conntrack.delete([{ key: entryKey(entry), id: entry.id }]);
  }
}

function keys(flow: TrackedFlow) {
  return flow.icmpType === null ? [flowKey(flow), replyKey(flow)] : [flowKey(flow)];
}

/** What `sever` makes: one entry for each direction. */
export function oneWayEntries(
  flow: TrackedFlow,
  facts: { readonly mark: number; readonly timeoutSeconds: number },
): NewEntry[] {
  return keys(flow).map((key) => {
    const { source, destination, destinationPort, icmpType, icmpId } = key.tuple;
    const answers = { source: destination, destination: source };
    const entry = {
      family: flow.family,
      protocol: flow.protocol,
      zone: flow.zone,
      original: key.tuple,
      reply:
        icmpType === undefined
          ? { ...answers, sourcePort: destinationPort ?? noPort, destinationPort: noPort }
          : {
              ...answers,
              icmpType: replyKey(flow).tuple.icmpType ?? 0,
              icmpCode: noCode,
              icmpId: icmpId ?? 0,
            },
      // Assured, or a full table would shed it first.
      status: status.confirmed | status.assured,
      timeoutSeconds: facts.timeoutSeconds,
      mark: facts.mark,
    };
    return flow.protocol === tcp
      ? { ...entry, tcp: { state: tcpState.established, ...liberalTracking } }
      : entry;
  });
}
