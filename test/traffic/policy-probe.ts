import type { Packet } from "@antenna/sdk";
import { isLaterFragment } from "../meaning/traced-variants.js";
import { parseAddress } from "../tracer/address-block.js";
import type { TracedPacket, Tracking } from "../tracer/traced-packet.js";
import type { Random } from "../unit/random.js";
import { buildPacket, type ExtensionHeader, type FrameSpec, type Upper } from "./frame.js";
import { payloadOf, sequenceOf } from "./packet-id.js";
import type { Probe } from "./probe.js";
import { payloadFor } from "./random-probe.js";
import { subjectAddresses, trafficClass } from "./stand.js";
import type { EntryOptions, FlowTuple } from "./tracked-entry.js";

/** A packet that `evaluate` is asked about, and the same packet on the wire. */
export interface PolicyProbe {
  readonly packet: Packet;
  readonly probe: Probe;
  /** The host's own DNAT, as the part of a nat rule after `-A OUTPUT `; null: none. */
  readonly translation: string | null;
}

export interface PolicyProbeOptions {
  readonly id: number;
  readonly cutMark: number;
}

const echoes: Readonly<Record<string, readonly [request: number, answer: number]>> = {
  ...{ "4/8": [8, 0], "4/0": [8, 0], "4/13": [13, 14], "4/14": [13, 14], "4/15": [15, 16], "4/16": [15, 16] },
  ...{ "4/17": [17, 18], "4/18": [17, 18], "6/128": [128, 129], "6/129": [128, 129] },
};
/**
 * ICMP errors that connection tracking looks inside of (nf_conntrack_proto_icmp.c). Redirects too, but where there is a
 * nat table it drops them before any rule sees them (nf_nat_icmp_reply_translation).
 */
const v4Errors = [3, 4, 11, 12];
const [icmp, icmpv6] = [1, 58];
const own = { 4: icmp, 6: icmpv6 } as const;
const extensionNumbers = new Set([0, 43, 44, 51, 59, 60]);

/**
 * Makes a packet real: the host's own addresses on its side, and a state that the kernel can be brought to. null: it
 * cannot exist on this stand (no ESP, no helper's expectations, no fragment that was put together).
 */
export function policyProbe(random: Random, asked: Packet, options: PolicyProbeOptions): PolicyProbe | null {
  const placed = place(random, asked, options.id);
  if (placed === null) return null;
  const packet = inItsState(placed);
  if (packet === null) return null;
  const maker = new WireMaker(random, packet, options);
  return maker.make();
}

/** Own addresses on the host's side; the other side must be one that packets come from and go to. */
function place(random: Random, asked: Packet, id: number): Packet | null {
  const { family, direction } = asked;
  const [first, second] = subjectAddresses[family].map(parseAddress) as [Uint8Array, Uint8Array];
  const natural = { protected: false, originalDestination: null, originalPort: null };
  if (asked.loopback) {
    return {
      ...asked,
      ...natural,
      source: first,
      destination: second,
      reply: false,
      cut: false,
      state: "new",
    };
  }
  const local = random.pick([first, second]);
  const peer = direction === "in" ? asked.source : asked.destination;
  if (!isReachable(peer, direction) || equal(peer, first) || equal(peer, second)) return null;
  const ends =
    direction === "in" ? { source: peer, destination: local } : { source: local, destination: peer };
  const placed = { ...asked, ...natural, ...ends };
  const { originalDestination, originalPort } = asked;
  if (originalDestination === null || !canBeTranslated(asked)) return placed;
  if (equal(originalDestination, peer) && originalPort === asked.destinationPort) return placed;
  if (!isReachable(originalDestination, "out") || originalDestination[0] === 255) return placed;
  // One rule of the nat table for each: they are told apart by the source port.
  return { ...placed, originalDestination, originalPort, sourcePort: 1024 + (id % 60_000) };
}

/** The stand's DNAT is for flows that the host opens. */
function canBeTranslated({
  direction,
  state,
  cut,
  protocol,
  originalPort,
  destinationPort,
}: Packet): boolean {
  const opens = direction === "out" && state === "new" && !cut && (protocol === 6 || protocol === 17);
  return opens && (originalPort ?? 0) > 0 && (destinationPort ?? 0) > 0;
}

/** The state that connection tracking gives such a packet, if it is another than asked; null: neither is to be had. */
function inItsState(packet: Packet): Packet | null {
  const { family, protocol, icmpType } = packet;
  const stateless = {
    ...{ reply: false, cut: false, originalDestination: null, originalPort: null },
  } as const;
  if (isLaterFragment(packet)) {
    if (packet.loopback || (family === 4 && packet.direction === "in")) return null;
    return {
      ...packet,
      ...stateless,
      state: family === 6 ? "untracked" : packet.state === "untracked" ? "untracked" : "invalid",
    };
  }
  if (family === 6 && protocol === 51) {
    return { ...packet, ...stateless, state: packet.state === "untracked" ? "untracked" : "invalid" };
  }
  if (family === 6 && extensionNumbers.has(protocol)) return null;
  const ofOther = protocol === (family === 4 ? icmpv6 : icmp);
  if (ofOther) return { ...packet, ...stateless, state: "untracked" };
  switch (packet.state) {
    case "untracked":
      return { ...packet, ...stateless };
    case "related":
      return relatedState(packet);
    case "established":
      return belongsToFlow(packet) ? packet : null;
    case "invalid":
      return invalidState({ ...packet, ...stateless });
    case "new": {
      if (packet.cut)
        return !packet.reset && belongsToFlow({ ...packet, reply: false })
          ? { ...packet, reply: false }
          : null;
      const fresh: Packet = { ...packet, reply: false };
      if (protocol === own[family]) {
        if (family === 6 && isUntracked(icmpType ?? 0)) return { ...fresh, ...stateless, state: "untracked" };
        const opens = family === 4 ? [8, 13, 15, 17] : [128, 139];
        return opens.includes(icmpType ?? 0) ? fresh : invalidState({ ...fresh, ...stateless });
      }
      return protocol === 6 && packet.reset ? { ...fresh, ...stateless, state: "invalid" } : fresh;
    }
  }
}

/** Neighbour discovery and MLD (nf_conntrack_proto_icmpv6.c, noct_valid_new). */
function isUntracked(type: number): boolean {
  return (type >= 130 && type <= 136) || type === 143;
}

function relatedState(packet: Packet): Packet | null {
  const { family, protocol, icmpType } = packet;
  if (protocol !== own[family] || icmpType === null) return null;
  const looksInside = family === 4 ? v4Errors.includes(icmpType) : icmpType >= 1 && icmpType < 128;
  return looksInside ? packet : null;
}

function invalidState(packet: Packet): Packet | null {
  const { family, protocol, icmpType } = packet;
  if (family === 6 && protocol === icmpv6 && isUntracked(icmpType ?? 0))
    return { ...packet, state: "untracked" };
  const opens = family === 4 ? [8, 13, 15, 17] : [128, 139];
  if (protocol === own[family]) return opens.includes(icmpType ?? 0) ? null : { ...packet, state: "invalid" };
  return [6, 17, 132, 136].includes(protocol) ? { ...packet, state: "invalid" } : null;
}

/** A flow can be entered that it is part of. */
function belongsToFlow({ family, protocol, icmpType, reply }: Packet): boolean {
  if (protocol !== own[family]) return [6, 17, 136].includes(protocol);
  const pair = echoes[`${family}/${icmpType}`];
  return pair !== undefined && pair[reply ? 1 : 0] === icmpType;
}

function isReachable(address: Uint8Array, direction: "in" | "out"): boolean {
  const first = address[0] ?? 0;
  if (address.length === 4) {
    const everyone = address.every((byte) => byte === 255);
    return direction === "out" && everyone ? true : first > 0 && first < 224 && first !== 127;
  }
  if (first === 0xff) return direction === "out" && address[1] === 2;
  return first > 0 && !(first === 0xfe && (address[1] ?? 0) >= 0x80);
}

/** The host's own DNAT is told by conntrack only of what it tracks. */
function withOriginal(packet: Packet): Packet {
  if (packet.state === "untracked" || packet.state === "invalid" || packet.originalDestination !== null)
    return packet;
  const [address, port] = packet.reply
    ? [packet.source, packet.sourcePort]
    : [packet.destination, packet.destinationPort];
  return { ...packet, originalDestination: address, originalPort: port };
}

class WireMaker {
  readonly #random: Random;
  readonly #packet: Packet;
  readonly #options: PolicyProbeOptions;

  constructor(random: Random, packet: Packet, options: PolicyProbeOptions) {
    this.#random = random;
    this.#packet = packet;
    this.#options = options;
  }

  make(): PolicyProbe {
    const packet = withOriginal(this.#packet);
    const { family, hopLimit, protocol } = packet;
    const { id } = this.#options;
    const fragment = isLaterFragment(packet);
    const upper = this.#upper();
    const entry = this.#entry(upper);
    const translated =
      packet.state === "new" &&
      packet.originalDestination !== null &&
      !equal(packet.originalDestination, packet.destination)
        ? packet.originalDestination
        : null;
    const translatedPort = packet.state === "new" && packet.originalPort !== packet.destinationPort;
    const before = translated ?? packet.destination;
    const wire =
      (translated !== null || translatedPort) && "destinationPort" in upper
        ? { ...upper, destinationPort: packet.originalPort ?? upper.destinationPort }
        : upper;
    const authentication = family === 6 && protocol === 51;
    const frame: FrameSpec = {
      ...{ family, hopLimit, upper: wire, source: packet.source, destination: before },
      trafficClass: this.#trafficClass(fragment),
      payload: packet.state === "related" ? this.#quoted(entry) : payloadFor(upper, id),
      extensions: family === 6 && !fragment ? this.#extensions(authentication) : [],
      fragment: fragment ? { identification: id, offset: 3, length: null } : null,
    };
    const way = packet.direction === "out" ? "out" : packet.loopback ? "loopback" : "in";
    const translation =
      translated === null && !translatedPort ? null : this.#translation(before, packet.originalPort ?? 0);
    const probe = {
      id,
      way,
      frame,
      fragments: [],
      entry,
      packet: this.#traced(packet, upper, entry, fragment),
    } as const;
    return { packet, probe, translation };
  }

  #upper(): Upper {
    const { family, protocol, sourcePort, destinationPort, icmpType, icmpCode, state, reset, cut } =
      this.#packet;
    const { id } = this.#options;
    const random = this.#random;
    const ports = { sourcePort: sourcePort ?? 4000, destinationPort: destinationPort ?? 4001 };
    switch (protocol) {
      case 6: {
        const belongs = state === "established" || cut;
        const flags = reset
          ? random.pick(belongs ? [0x14, 0x04] : [0x04, 0x14])
          : state === "invalid"
            ? random.pick([0x12, 0x11, 0x00])
            : random.pick(
                belongs ? [0x10, 0x18] : state === "untracked" ? [0x02, 0x10, 0x12, 0x11] : [0x02, 0x10],
              );
        return { kind: "tcp", ...ports, flags, sequence: sequenceOf(id), acknowledgement: sequenceOf(id) };
      }
      case 17:
        return { kind: "udp", ...ports, broken: state === "invalid" };
      case 136:
        return { kind: "udplite", ...ports, broken: state === "invalid" };
      case 132:
        return { kind: "sctp", ...ports, broken: state === "invalid" };
      case 33:
        return { kind: "dccp", ...ports };
      case own[family]: {
        const rest = state === "related" ? 0 : (id << 16) >>> 0;
        return { kind: "icmp", type: icmpType ?? 0, code: icmpCode ?? 0, rest };
      }
      default:
        // Nothing follows an authentication header here (59): it is not there to be judged by what it carries.
        return { kind: "other", protocol: family === 6 && protocol === 51 ? 59 : protocol };
    }
  }

  #trafficClass(fragment: boolean): number {
    if (this.#packet.state !== "untracked") return trafficClass.plain;
    const { family, icmpType, protocol } = this.#packet;
    if (fragment && family === 6) return trafficClass.untrackedFragment;
    return protocol === icmpv6 && family === 6 && isUntracked(icmpType ?? 0)
      ? trafficClass.plain
      : trafficClass.untracked;
  }

  #extensions(authentication: boolean): readonly ExtensionHeader[] {
    const kinds: readonly ExtensionHeader[] = ["hop-by-hop", "destination", "routing"];
    const chosen = this.#random.chance(0.3) ? kinds.filter(() => this.#random.chance(0.5)) : [];
    return authentication ? [...chosen, "authentication"] : chosen;
  }

  /** The flow that has to be there before. */
  #entry(upper: Upper): EntryOptions | null {
    const { family, state, reply, cut, source, destination, icmpCode, icmpType } = this.#packet;
    const { id, cutMark } = this.#options;
    // A foreign bit beside ours must not matter.
    const mark = ((cut ? cutMark : 0) | this.#random.pick([0, 1])) >>> 0;
    if (state === "related") {
      // The flow that is complained about. What answers an opener complains about what he sent.
      const [near, far] = [destination, source];
      const ends = reply ? { source: near, destination: far } : { source: far, destination: near };
      const tuple: FlowTuple = {
        family,
        protocol: 17,
        ...ends,
        sourcePort: 1024 + (id % 60_000),
        destinationPort: 4003,
        icmp: null,
      };
      return { tuple, mark, answered: true };
    }
    if (state !== "established" && !cut) return null;
    const ported = "sourcePort" in upper ? upper : { sourcePort: id & 0xffff, destinationPort: id & 0xffff };
    const pair = echoes[`${family}/${icmpType}`];
    const tuple: FlowTuple = {
      family,
      protocol: this.#packet.protocol,
      source: reply ? destination : source,
      destination: reply ? source : destination,
      sourcePort: reply ? ported.destinationPort : ported.sourcePort,
      destinationPort: reply ? ported.sourcePort : ported.destinationPort,
      icmp:
        upper.kind === "icmp" && pair !== undefined
          ? { request: pair[0], answer: pair[1], code: icmpCode ?? 0 }
          : null,
    };
    return { tuple, mark, answered: state === "established" };
  }

  /** The packet that an ICMP error is about: one that travelled the other way. */
  #quoted(entry: EntryOptions | null): Uint8Array {
    if (entry === null) throw new Error("an error about nothing");
    const { family, reply, source, destination } = this.#packet;
    const { tuple } = entry;
    const ports = { sourcePort: tuple.sourcePort, destinationPort: tuple.destinationPort };
    const swapped = { sourcePort: tuple.destinationPort, destinationPort: tuple.sourcePort };
    return buildPacket({
      ...{ family, source: destination, destination: source, hopLimit: 60, trafficClass: 0 },
      // An error in the direction of a reply is about a packet of the opener.
      upper: { kind: "udp", ...(reply ? ports : swapped) },
      payload: payloadOf(this.#options.id),
    });
  }

  #translation(before: Uint8Array, port: number): string {
    const { family, protocol, sourcePort, destination, destinationPort } = this.#packet;
    const text = (address: Uint8Array): string => addressText(address);
    const to =
      family === 4 ? `${text(destination)}:${destinationPort}` : `[${text(destination)}]:${destinationPort}`;
    const name = protocol === 6 ? "tcp" : "udp";
    return `-d ${text(before)} -p ${name} --sport ${sourcePort} --dport ${port} -j DNAT --to-destination ${to}`;
  }

  #traced(packet: Packet, upper: Upper, entry: EntryOptions | null, laterFragment: boolean): TracedPacket {
    const incoming = packet.direction === "in";
    const name = packet.loopback ? "lo" : "eth0";
    return {
      hook: incoming ? "INPUT" : "OUTPUT",
      family: packet.family,
      inInterface: incoming ? name : "",
      outInterface: incoming ? "" : name,
      ...{ source: packet.source, destination: packet.destination, protocol: packet.protocol },
      ...{
        authentication: packet.family === 6 && packet.protocol === 51,
        behind: null,
        laterFragment,
        misread: null,
      },
      ...{ sourcePort: packet.sourcePort, destinationPort: packet.destinationPort },
      ...{ icmpType: packet.icmpType, icmpCode: packet.icmpCode, hopLimit: packet.hopLimit, ipsec: false },
      tcpFlags: upper.kind === "tcp" && !laterFragment ? upper.flags : null,
      tracking: trackingOf(packet, entry),
    };
  }
}

function trackingOf(packet: Packet, entry: EntryOptions | null): Tracking {
  if (packet.state === "untracked" || packet.state === "invalid") return { kind: packet.state };
  return {
    kind: "entry",
    state: ({ new: "NEW", established: "ESTABLISHED", related: "RELATED" } as const)[packet.state],
    direction: packet.reply ? "REPLY" : "ORIGINAL",
    mark: entry?.mark ?? 0,
    status: new Set(),
    originalDestination: packet.originalDestination ?? packet.destination,
    originalDestinationPort: packet.originalPort ?? 0,
  };
}

function addressText(address: Uint8Array): string {
  if (address.length === 4) return address.join(".");
  const groups = Array.from(
    { length: 8 },
    (_, index) => ((address[index * 2] ?? 0) << 8) | (address[index * 2 + 1] ?? 0),
  );
  return groups.map((group) => group.toString(16)).join(":");
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
