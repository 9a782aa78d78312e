import type { TracedPacket, Tracking } from "../tracer/traced-packet.js";
import { buildPacket, type FrameSpec, protocolOf } from "./frame.js";
import { type Sighting, type Stand, unseen } from "./stand.js";
import { type EntryOptions, enter, forgetAll } from "./tracked-entry.js";

/** One packet to be sent for real, and what its hook ought to see of it. */
export interface Probe {
  readonly id: number;
  readonly way: "in" | "out" | "loopback";
  readonly frame: FrameSpec;
  /** Further fragments, sent after the first; the hook sees them put together. */
  readonly fragments: readonly FrameSpec[];
  /** The flow it belongs to, entered beforehand; null: none. */
  readonly entry: EntryOptions | null;
  readonly packet: TracedPacket;
}

export interface Observation {
  readonly probe: Probe;
  readonly sighting: Sighting;
}

/** Enters the flows, sends all, and gives what was seen of each. Throws when a packet never came, or in another state. */
export async function sendAll(stand: Stand, probes: readonly Probe[]): Promise<readonly Observation[]> {
  forgetAll(stand.netlink);
  const byId = new Map(probes.map((probe) => [probe.id, probe]));
  for (const probe of probes) {
    if (probe.entry === null) continue;
    const errno = enter(stand.netlink, probe.entry);
    if (errno !== 0) throw new Error(`the flow was not entered: errno ${errno}: ${describe(probe)}`);
  }
  for (const probe of probes) {
    for (const frame of [probe.frame, ...probe.fragments]) {
      try {
        stand.send(probe.way, frame.family, buildPacket(frame));
      } catch (cause) {
        throw new Error(`not sent: ${describe(probe)}`, { cause });
      }
    }
  }
  const sightings = await stand.look((id) => byId.get(id)?.packet.hook ?? null);
  const problems: string[] = [];
  const observations = probes.map((probe) => {
    const sighting = sightings.get(probe.id);
    const expected = expectedWords(probe.packet.tracking, stand.cutMark);
    if (sighting?.before.join(" ") !== expected) {
      problems.push(
        `expected ${expected}, seen ${sighting?.before.join(" ") ?? "nothing"}: ${describe(probe)}`,
      );
    }
    return { probe, sighting: sighting ?? unseen };
  });
  if (problems.length > 0) throw new Error(`packets did not come as meant:\n${problems.join("\n")}`);
  return observations;
}

function expectedWords(tracking: Tracking, cutMark: number): string {
  if (tracking.kind !== "entry") return tracking.kind.toUpperCase();
  const reply = tracking.direction === "REPLY" ? " REPLY" : "";
  return tracking.state + reply + ((tracking.mark & cutMark) === 0 ? "" : " CUT");
}

/** REJECT answers it: nothing that netfilter or ICMP itself keeps quiet about (RFC 1122, 3.2.2; nf_reject_ipv4.c). */
export function answerable(packet: TracedPacket): boolean {
  const first = packet.destination[0] ?? 0;
  const unicast = packet.family === 4 ? first < 224 : first !== 0xff;
  if (packet.laterFragment || !unicast) return false;
  if (packet.protocol === 6) return packet.tcpFlags !== null && (packet.tcpFlags & 4) === 0;
  return packet.protocol === 17;
}

export function describe(probe: Probe): string {
  const { frame, packet } = probe;
  return JSON.stringify(
    { id: probe.id, way: probe.way, protocol: protocolOf(frame.upper, frame.family), frame, packet },
    (key, value: unknown) => {
      if (key === "payload") return undefined;
      if (value instanceof Uint8Array) return [...value].join(".");
      return value instanceof Set ? [...value] : value;
    },
  );
}
