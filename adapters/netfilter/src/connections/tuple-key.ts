import type { TrackedFlow } from "@antenna/sdk";
import type { Entry } from "netfilter-conntrack";
import { addressKey } from "./address-key.js";
import { hasPorts, isIcmp } from "./tracked-flow.js";

/** What names an entry in an event. */
export type EntryName = Pick<Entry, "id" | "family" | "protocol" | "zone" | "original">;

/** Keys for maps, equal for equal tuples of one protocol and zone. */
export function flowTupleKey(flow: TrackedFlow): string {
  const { source, destination, sourcePort, destinationPort } = flow.original;
  return `${kind(flow)} ${end(source, sourcePort)} ${end(destination, destinationPort)}`;
}

/** The key that the flow has when it is seen from its other side. */
export function reverseTupleKey(flow: TrackedFlow): string {
  const { source, destination, sourcePort, destinationPort } = flow.reply;
  return `${kind(flow)} ${end(source, sourcePort)} ${end(destination, destinationPort)}`;
}

/** The key of the flow whose entry this is. */
export function entryKey(entry: EntryName): string {
  const { source, destination, sourcePort, destinationPort } = entry.original;
  const ports = hasPorts(entry.protocol);
  return `${kindOfEntry(entry)} ${end(source, ports ? sourcePort : null)} ${end(destination, ports ? destinationPort : null)}`;
}

/** The key of the flow whose answers this entry is made of. */
export function answerKey(entry: EntryName): string {
  const { source, destination, sourcePort, destinationPort } = entry.original;
  const ports = hasPorts(entry.protocol);
  return `${kindOfEntry(entry)} ${end(destination, ports ? destinationPort : null)} ${end(source, ports ? sourcePort : null)}`;
}

function kind({ family, protocol, zone, icmpType, icmpCode, icmpId }: TrackedFlow): string {
  if (icmpType === null) return `${family} ${protocol} ${zone}`;
  return `${family} ${protocol} ${zone} ${icmpType} ${icmpCode} ${icmpId ?? null}`;
}

function kindOfEntry({ family, protocol, zone, original }: EntryName): string {
  if (!isIcmp(protocol)) return `${family} ${protocol} ${zone}`;
  return `${family} ${protocol} ${zone} ${original.icmpType} ${original.icmpCode} ${original.icmpId}`;
}

function end(address: Uint8Array, port: number | null): string {
  return `${addressKey(address)} ${port}`;
}
