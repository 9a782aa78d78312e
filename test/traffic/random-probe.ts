import { parseAddress } from "../tracer/address-block.js";
import type { Misread, TracedPacket, Tracking } from "../tracer/traced-packet.js";
import type { Random } from "../unit/random.js";
import { buildPacket, type ExtensionHeader, type FrameSpec, protocolOf, type Upper } from "./frame.js";
import { payloadOf, sequenceOf } from "./packet-id.js";
import type { Probe } from "./probe.js";
import { subjectAddresses, trafficClass } from "./stand.js";
import type { EntryOptions, FlowTuple } from "./tracked-entry.js";

/** What the packets and the rules of a run are made of: few values, so that they meet. */
export const pool = {
  peers: {
    4: ["10.1.0.1", "10.1.0.2", "10.1.128.1", "192.0.2.255", "203.0.113.7"],
    6: ["fd01::1", "fd01::2", "fd01:0:0:1::1", "2001:db8::ffff"],
  },
  ports: [1, 22, 53, 80, 81, 443, 65535],
  hopLimits: [1, 64, 254, 255],
  others: { 4: [2, 47, 50, 51, 112, 255], 6: [47, 50, 112, 255] },
} as const;

const conditions = [
  ...["new", "new", "established", "established", "established-reply", "marked", "half-open"],
  ...["related", "untracked", "invalid", "later-fragment", "fragmented", "extension"],
  ...["authentication", "loopback"],
] as const;
type Condition = (typeof conditions)[number];

export interface ProbeOptions {
  readonly id: number;
  readonly family: 4 | 6;
  readonly mark: number;
  /** The backend is iptables-nft. */
  readonly nft: boolean;
}

/** A packet in a condition that the kernel can be brought to; null: this combination does not exist. */
export function randomProbe(random: Random, options: ProbeOptions): Probe | null {
  const condition = random.pick(conditions);
  const way = random.pick(
    condition === "loopback" ? (["loopback", "out"] as const) : (["in", "out"] as const),
  );
  const builder = new ProbeBuilder(random, options, way, condition);
  switch (condition) {
    case "new":
      return builder.opening(protocols);
    case "loopback":
      return builder.opening(["tcp", "udp", "sctp", "icmp"]);
    case "established":
      return builder.belonging({ answered: true, reply: false, mark: 0 });
    case "established-reply":
      return builder.belonging({ answered: true, reply: true, mark: 0 });
    case "marked":
      return builder.belonging({ answered: true, reply: random.chance(0.5), mark: options.mark });
    case "half-open":
      return builder.belonging({ answered: false, reply: false, mark: random.pick([0, options.mark]) });
    case "related":
      return builder.related();
    case "untracked":
      return builder.untracked();
    case "invalid":
      return builder.invalid();
    case "later-fragment":
      return builder.laterFragment();
    case "fragmented":
      return builder.fragmented();
    case "extension":
      return builder.extended();
    case "authentication":
      return builder.authenticated();
    default:
      throw new Error(`a condition without a builder: ${String(condition)}`);
  }
}

const protocols: readonly Upper["kind"][] = [
  ...(["tcp", "tcp", "udp", "udp", "udplite", "sctp", "dccp", "icmp", "icmp", "other"] as const),
];
const echo = { 4: { request: 8, answer: 0, code: 0 }, 6: { request: 128, answer: 129, code: 0 } } as const;
const invalidFlags = [0x12, 0x11, 0x04, 0x14, 0x00];
const errors = { 4: [3, 4, 5, 11, 12], 6: [1, 2, 3, 4] } as const;

class ProbeBuilder {
  readonly #random: Random;
  readonly #options: ProbeOptions;
  readonly #way: Probe["way"];
  readonly #incoming: boolean;
  readonly #local: Uint8Array;
  readonly #peer: Uint8Array;
  readonly #service: number;
  /** Never the same twice in a run, so that no two flows meet. */
  readonly #ephemeral: number;

  constructor(random: Random, options: ProbeOptions, way: Probe["way"], condition: Condition) {
    const { family } = options;
    this.#random = random;
    this.#options = options;
    this.#way = way;
    this.#incoming = way === "in";
    const [own, other] = subjectAddresses[family];
    // To itself always the same way round: what a flow without ports confirms must not make another one its answer.
    this.#local = parseAddress(condition === "loopback" ? own : random.pick([own, other]));
    this.#peer = parseAddress(condition === "loopback" ? other : random.pick(pool.peers[family]));
    this.#service = random.pick(pool.ports);
    this.#ephemeral = 2000 + (options.id % 60_000);
  }

  /** The first packet of a flow. */
  opening(kinds: readonly Upper["kind"][]): Probe {
    const upper = this.#upperOf(this.#random.pick(kinds), false, false);
    const tracking = this.#noEntry(upper) ?? this.#newEntry(upper);
    return this.#probe({ upper, tracking });
  }

  /** A packet of a flow that was entered beforehand. */
  belonging(kind: { answered: boolean; reply: boolean; mark: number }): Probe | null {
    const kinds = ["tcp", "udp", "udplite", "icmp"] as const;
    const upper = this.#upperOf(this.#random.pick(kinds), kind.reply, true);
    const entry = this.#entry(upper, kind);
    const tracking: Tracking = {
      kind: "entry",
      state: kind.answered ? "ESTABLISHED" : "NEW",
      direction: kind.reply ? "REPLY" : "ORIGINAL",
      mark: kind.mark,
      status: new Set(kind.answered ? ["SEEN_REPLY", "ASSURED", "CONFIRMED"] : ["CONFIRMED"]),
      originalDestination: entry.tuple.destination,
      originalDestinationPort:
        entry.tuple.icmp === null ? entry.tuple.destinationPort : entry.tuple.icmp.request << 8,
    };
    return this.#probe({ upper, tracking, entry });
  }

  /** An ICMP error about a flow that was entered beforehand. */
  related(): Probe {
    const { family, id, mark } = this.#options;
    const reply = this.#random.chance(0.5);
    const marked = this.#random.chance(0.3) ? mark : 0;
    // The packet that is complained about travels against the complaint.
    const inner = this.#upperOf(this.#random.pick(["tcp", "udp"] as const), !reply, true, true);
    const [source, destination] = this.#incoming ? [this.#local, this.#peer] : [this.#peer, this.#local];
    const quoted = buildPacket({
      ...{ family, source, destination, hopLimit: 60, trafficClass: 0 },
      upper: inner,
      payload: payloadOf(id),
    });
    const flow = { answered: true, reply: !reply, mark: marked };
    const entry = this.#entry(inner, flow, { source, destination });
    const upper: Upper = {
      kind: "icmp",
      type: this.#random.pick(errors[family]),
      code: this.#random.below(2),
      rest: 0,
    };
    const tracking: Tracking = {
      kind: "entry",
      state: "RELATED",
      direction: reply ? "REPLY" : "ORIGINAL",
      mark: marked,
      status: new Set(["SEEN_REPLY", "ASSURED", "CONFIRMED"]),
      originalDestination: entry.tuple.destination,
      originalDestinationPort: entry.tuple.destinationPort,
    };
    return this.#probe({ upper, tracking, entry, payload: quoted });
  }

  untracked(): Probe {
    const upper = this.#upperOf(this.#random.pick(protocols), this.#random.chance(0.3), false);
    return this.#probe({ upper, tracking: { kind: "untracked" }, trafficClass: trafficClass.untracked });
  }

  invalid(): Probe {
    const { family } = this.#options;
    const kind = this.#random.pick(["tcp", "udp", "icmp"] as const);
    const upper = this.#upperOf(kind, false, false);
    if (upper.kind === "tcp") {
      return this.#probe({
        upper: { ...upper, flags: this.#random.pick(invalidFlags) },
        tracking: { kind: "invalid" },
      });
    }
    if (upper.kind === "udp") {
      return this.#probe({ upper: { ...upper, broken: true }, tracking: { kind: "invalid" } });
    }
    const type = this.#random.pick(family === 4 ? [0, 3, 11, 14, 18] : [1, 2, 3, 129]);
    return this.#probe({
      upper: { kind: "icmp", type, code: 0, rest: 7 },
      tracking: { kind: "invalid" },
    });
  }

  /** Of IPv4 OUTPUT sees them from raw sockets; of IPv6 both hooks do, when nothing put them together. */
  laterFragment(): Probe | null {
    const { family, id, nft } = this.#options;
    if (family === 4 && this.#incoming) return null;
    const kind = this.#random.pick(protocols);
    const upper = this.#upperOf(kind, false, false);
    const tracking: Tracking = family === 4 ? { kind: "invalid" } : { kind: "untracked" };
    const probe = this.#probe({
      upper,
      tracking,
      trafficClass: family === 4 ? trafficClass.plain : trafficClass.untrackedFragment,
    });
    const frame = { ...probe.frame, fragment: { identification: id, offset: 3, length: null } };
    return {
      ...probe,
      frame,
      packet: {
        ...probe.packet,
        laterFragment: true,
        misread: nft ? misreadOf(buildPacket(frame), family) : null,
        sourcePort: null,
        destinationPort: null,
        icmpType: null,
        icmpCode: null,
        tcpFlags: null,
      },
    };
  }

  /** Two fragments, which connection tracking puts together before any rule looks. */
  fragmented(): Probe | null {
    const { family, id } = this.#options;
    if (!this.#incoming) return null;
    const kind = this.#random.pick(["tcp", "udp"] as const);
    const upper = this.#upperOf(kind, false, false);
    const probe = this.#probe({ upper, tracking: this.#newEntry(upper) });
    const identification = id + (family === 4 ? 0 : 0x10000);
    return {
      ...probe,
      frame: { ...probe.frame, fragment: { identification, offset: 0, length: 32 } },
      fragments: [{ ...probe.frame, fragment: { identification, offset: 4, length: null } }],
    };
  }

  extended(): Probe | null {
    if (this.#options.family === 4) return null;
    const kinds: readonly ExtensionHeader[] = ["hop-by-hop", "destination", "routing"];
    const extensions = kinds.filter(() => this.#random.chance(0.5));
    const upper = this.#upperOf(this.#random.pick(["tcp", "udp", "icmp"] as const), false, false);
    const probe = this.#probe({ upper, tracking: this.#newEntry(upper) });
    return { ...probe, frame: { ...probe.frame, extensions } };
  }

  /** RFC 4302: for iptables-legacy one more header on the way, for iptables-nft the last one. */
  authenticated(): Probe | null {
    const probe = this.extended();
    if (probe === null) return null;
    const { packet, frame } = probe;
    const extensions: readonly ExtensionHeader[] = [...(frame.extensions ?? []), "authentication"];
    const none = { sourcePort: null, destinationPort: null, icmpType: null, icmpCode: null, tcpFlags: null };
    const seen = this.#options.nft ? { ...none, protocol: 51, behind: packet } : {};
    return {
      ...probe,
      frame: { ...frame, extensions },
      packet: { ...packet, ...seen, authentication: true },
    };
  }

  #upperOf(kind: Upper["kind"], reply: boolean, belongs: boolean, against = false): Upper {
    const { family, id } = this.#options;
    const random = this.#random;
    const ports = reply
      ? { sourcePort: this.#service, destinationPort: this.#ephemeral }
      : { sourcePort: this.#ephemeral, destinationPort: this.#service };
    switch (kind) {
      case "tcp": {
        const flags =
          belongs || against ? random.pick([0x10, 0x18, 0x10]) : random.pick([0x02, 0x02, 0xc2, 0x10]);
        return { kind, ...ports, flags, sequence: sequenceOf(id), acknowledgement: sequenceOf(id) };
      }
      case "udp":
      case "udplite":
      case "sctp":
      case "dccp":
        return { kind, ...ports };
      case "icmp": {
        const pair = echo[family];
        const types = family === 4 ? [8, 8, 13, 17] : [128, 128, 135, 136, 130, 143];
        const type = belongs ? (reply ? pair.answer : pair.request) : random.pick(types);
        return { kind, type, code: belongs ? 0 : random.below(2), rest: (this.#ephemeral << 16) >>> 0 };
      }
      case "other":
        return { kind, protocol: random.pick(pool.others[family]) };
    }
  }

  #entry(
    upper: Upper,
    kind: { answered: boolean; reply: boolean; mark: number },
    ends: { source: Uint8Array; destination: Uint8Array } = this.#ends(),
  ): EntryOptions {
    const { family } = this.#options;
    const ported = upper.kind !== "icmp" && upper.kind !== "other";
    const [from, to] = ported
      ? [upper.sourcePort, upper.destinationPort]
      : [this.#ephemeral, this.#ephemeral];
    const tuple: FlowTuple = {
      family,
      protocol: protocolOf(upper, family),
      source: kind.reply ? ends.destination : ends.source,
      destination: kind.reply ? ends.source : ends.destination,
      sourcePort: kind.reply ? to : from,
      destinationPort: kind.reply ? from : to,
      icmp: upper.kind === "icmp" ? echo[family] : null,
    };
    return { tuple, mark: kind.mark, answered: kind.answered };
  }

  /** Neighbour discovery and MLD are never tracked (nf_conntrack_proto_icmpv6.c). */
  #noEntry(upper: Upper): Tracking | null {
    const never = this.#options.family === 6 && upper.kind === "icmp" && upper.type >= 130;
    return never ? { kind: "untracked" } : null;
  }

  #newEntry(upper: Upper): Tracking {
    const none = this.#noEntry(upper);
    if (none !== null) return none;
    const port =
      upper.kind === "icmp"
        ? (upper.type << 8) | upper.code
        : upper.kind === "other" || upper.kind === "dccp"
          ? 0
          : upper.destinationPort;
    return {
      ...{ kind: "entry", state: "NEW", direction: "ORIGINAL", mark: 0 },
      // Over loopback it was confirmed when it left.
      status: new Set(this.#way === "loopback" ? ["CONFIRMED"] : []),
      originalDestination: this.#ends().destination,
      originalDestinationPort: port,
    };
  }

  #ends(): { source: Uint8Array; destination: Uint8Array } {
    return this.#incoming
      ? { source: this.#peer, destination: this.#local }
      : { source: this.#local, destination: this.#peer };
  }

  #probe(parts: {
    upper: Upper;
    tracking: Tracking;
    entry?: EntryOptions;
    payload?: Uint8Array;
    trafficClass?: number;
  }): Probe {
    const { id, family } = this.#options;
    const { upper, tracking } = parts;
    const hopLimit = this.#random.pick(pool.hopLimits);
    const ported = upper.kind !== "icmp" && upper.kind !== "other";
    const frame: FrameSpec = {
      ...{ family, hopLimit, upper },
      ...this.#ends(),
      trafficClass: parts.trafficClass ?? trafficClass.plain,
      payload: parts.payload ?? payloadFor(upper, id),
    };
    const hook = this.#way === "out" ? "OUTPUT" : "INPUT";
    const own = subjectAddresses[family].some((text) => equal(parseAddress(text), this.#peer));
    const name = own ? "lo" : "eth0";
    const packet: TracedPacket = {
      ...{ hook, family, hopLimit, tracking, laterFragment: false, ipsec: false },
      ...{ misread: null, authentication: false, behind: null },
      ...this.#ends(),
      inInterface: hook === "INPUT" ? name : "",
      outInterface: hook === "OUTPUT" ? name : "",
      protocol: protocolOf(upper, family),
      sourcePort: ported ? upper.sourcePort : null,
      destinationPort: ported ? upper.destinationPort : null,
      icmpType: upper.kind === "icmp" ? upper.type : null,
      icmpCode: upper.kind === "icmp" ? upper.code : null,
      tcpFlags: upper.kind === "tcp" ? upper.flags : null,
    };
    return { id, way: this.#way, frame, fragments: [], entry: parts.entry ?? null, packet };
  }
}

/** Eight zeros first: GRE and others read flags there. */
export function payloadFor(upper: Upper, id: number): Uint8Array {
  const payload = payloadOf(id);
  return upper.kind === "other" ? Uint8Array.of(...new Uint8Array(8), ...payload) : payload;
}

/** IPv6: ipv6_find_hdr leaves the offset at zero for a later fragment, so that the network header is read as ports. */
function misreadOf(packet: Uint8Array, family: 4 | 6): Misread {
  const view = new DataView(packet.buffer, packet.byteOffset + (family === 4 ? 20 : 0));
  return { sourcePort: view.getUint16(0), destinationPort: view.getUint16(2), tcpFlags: view.getUint8(13) };
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
