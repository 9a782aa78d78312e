import { createNamespace, link, type Namespace } from "../lab/namespace.js";
import { NflogTap } from "./nflog-tap.js";
import { Nfnetlink } from "./nfnetlink.js";
import { idOf } from "./packet-id.js";
import { openHostSender, openLinkSender, type Sender } from "./sender.js";

export type Backend = "legacy" | "nft";
const sysctl = "/usr/sbin/sysctl";
const ip = "/usr/sbin/ip";
const nft = "/usr/sbin/nft";

/** What the subject's own stack calls itself. */
export const subjectAddresses = {
  4: ["10.64.0.2", "10.64.0.3"],
  6: ["fd64::2", "fd64::3"],
} as const;

/** Traffic classes with a meaning on the stand. */
export const trafficClass = {
  plain: 0,
  /** Not tracked, by a rule of the raw table. */
  untracked: 0x10,
  /** Not tracked, and so early that fragments of IPv6 stay fragments. */
  untrackedFragment: 0x44,
} as const;

/** NFLOG group of the stand's own rules; the product's is another. */
const ownGroup = 4712;
export const subjectGroup = 4711;

/** What the stand saw of one packet. */
export interface Sighting {
  /** Connection tracking's words when the packet came to its hook: a state, `REPLY`, `CUT`; none: it never came. */
  readonly before: readonly string[];
  /** Prefixes of the subject's NFLOG rules. */
  readonly told: readonly string[];
  /** It came to the stand's rule at the end of INPUT or OUTPUT. */
  readonly returned: boolean;
  /** It passed the filter table. */
  readonly passed: boolean;
  /** A refusal that quotes it was sent by the subject, and passed the filter table of OUTPUT in its turn. */
  readonly refused: boolean;
  readonly refusalPassed: boolean;
}

/**
 * A subject with its own iptables, and a neighbour: packets go from the neighbour to the subject (INPUT) or from the
 * subject to anywhere (OUTPUT). Rules around the filter table tell what came and what passed; nothing gets further, so
 * that no stack answers and no new flow is remembered.
 */
export class Stand implements AsyncDisposable {
  readonly backend: Backend;
  readonly cutMark: number;
  readonly subject: Namespace;
  readonly netlink: Nfnetlink;
  readonly #neighbour: Namespace;
  readonly #own: NflogTap;
  readonly #subjects: NflogTap;
  readonly #in: Sender;
  readonly #out: Sender;
  readonly #loopback: Sender;

  private constructor(parts: {
    backend: Backend;
    cutMark: number;
    subject: Namespace;
    neighbour: Namespace;
    netlink: Nfnetlink;
    own: NflogTap;
    subjects: NflogTap;
    in: Sender;
    out: Sender;
    loopback: Sender;
  }) {
    this.backend = parts.backend;
    this.cutMark = parts.cutMark;
    this.subject = parts.subject;
    this.netlink = parts.netlink;
    this.#neighbour = parts.neighbour;
    this.#own = parts.own;
    this.#subjects = parts.subjects;
    this.#in = parts.in;
    this.#out = parts.out;
    this.#loopback = parts.loopback;
  }

  /** `cutMark`: the bit that is told as `CUT`. */
  static async open(backend: Backend, cutMark: number): Promise<Stand> {
    const subject = await createNamespace();
    const neighbour = await createNamespace();
    try {
      await link(
        {
          namespace: subject,
          interface: "eth0",
          addresses: [
            ...subjectAddresses[4].map((address) => `${address}/24`),
            ...subjectAddresses[6].map((address) => `${address}/64`),
          ],
        },
        { namespace: neighbour, interface: "eth0", addresses: ["10.64.0.1/24", "fd64::1/64"] },
      );
      // No address resolution: nothing but the test's own packets is on the link.
      await subject.exec(ip, ["link", "set", "eth0", "arp", "off", "multicast", "on"]);
      await subject.exec(ip, ["route", "add", "default", "dev", "eth0"]);
      await subject.exec(ip, ["-6", "route", "add", "default", "dev", "eth0"]);
      // Checksums of UDP-Lite are taken for those of UDP (udplite_error, seen on 6.18): every packet would be INVALID.
      await subject.exec(sysctl, [
        "-qw",
        ...["net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.eth0.rp_filter=0", "net.ipv4.icmp_ratelimit=0"],
        ...["net.ipv6.icmp.ratelimit=0", "net.netfilter.nf_conntrack_checksum=0"],
      ]);
      for (const family of [4, 6] as const) {
        await subject.exec(programs(backend, family).restore, ["--noflush"], surroundings(cutMark));
      }
      await subject.exec(nft, ["-f", "-"], earlyNotrack);
      const index = async (namespace: Namespace): Promise<{ ifindex: number; address: string }> => {
        const [first] = JSON.parse(await namespace.exec(ip, ["-j", "link", "show", "eth0"])) as [
          { ifindex: number; address: string },
        ];
        return first;
      };
      const subjectLink = await index(subject);
      const neighbourLink = await index(neighbour);
      return new Stand({
        ...{ backend, cutMark, subject, neighbour },
        netlink: new Nfnetlink(subject.path),
        own: new NflogTap(subject.path, ownGroup),
        subjects: new NflogTap(subject.path, subjectGroup),
        in: openLinkSender(
          neighbour.path,
          neighbourLink.ifindex,
          Uint8Array.from(subjectLink.address.split(":"), (byte) => Number.parseInt(byte, 16)),
        ),
        out: openHostSender(subject.path, subjectLink.ifindex, outMark),
        loopback: openHostSender(subject.path, subjectLink.ifindex, loopbackMark),
      });
    } catch (reason) {
      await subject[Symbol.asyncDispose]();
      await neighbour[Symbol.asyncDispose]();
      throw reason;
    }
  }

  /** Runs `iptables-restore --noflush` (or `ip6tables-restore`) of the stand's backend. */
  async restore(family: 4 | 6, text: string): Promise<void> {
    await this.subject.exec(programs(this.backend, family).restore, ["--noflush", "--wait"], text);
  }

  /** Lets the packets that are to be looked at in INPUT, having come over loopback, through the rules of OUTPUT. */
  async passLoopback(family: 4 | 6): Promise<void> {
    await this.restore(family, `*filter\n-I OUTPUT -m mark --mark ${loopbackMark} -j ACCEPT\nCOMMIT\n`);
  }

  async save(family: 4 | 6, table: string): Promise<string> {
    return this.subject.exec(programs(this.backend, family).save, ["-t", table]);
  }

  /** `loopback`: from the subject to itself, to be looked at in INPUT. */
  send(way: "in" | "out" | "loopback", family: 4 | 6, packet: Uint8Array): void {
    const sender = { in: this.#in, out: this.#out, loopback: this.#loopback }[way];
    sender.send(family, packet);
  }

  /**
   * What became of the packets sent since the last call, by the number they carry. `hookOf`: at which hook a number
   * counts (a packet over loopback passes both); null: a number of nobody.
   */
  async look(hookOf: (id: number) => "INPUT" | "OUTPUT" | null): Promise<ReadonlyMap<number, Sighting>> {
    // A packet may still wait in the backlog of the other processor.
    await new Promise((resolve) => setTimeout(resolve, 15));
    const sightings = new Map<number, Sighting>();
    const update = (id: number, change: (before: Sighting) => Partial<Sighting>): void => {
      const before = sightings.get(id) ?? unseen;
      sightings.set(id, { ...before, ...change(before) });
    };
    for (const { prefix, hook, mark, packet } of this.#own.take()) {
      const id = idOf(packet);
      if (id === null) continue;
      if (prefix === "answer") update(id, () => ({ refused: true }));
      else if (isAnswer(hook, mark) && prefix === "passed") update(id, () => ({ refusalPassed: true }));
      else if (hook === hookOf(id) && !isAnswer(hook, mark)) update(id, (seen) => withPrefix(seen, prefix));
    }
    for (const { prefix, hook, mark, packet } of this.#subjects.take()) {
      const id = idOf(packet);
      if (id === null || hook !== hookOf(id) || isAnswer(hook, mark)) continue;
      update(id, (seen) => ({ told: [...seen.told, prefix] }));
    }
    return sightings;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.netlink[Symbol.dispose]();
    this.#own[Symbol.dispose]();
    this.#subjects[Symbol.dispose]();
    this.#in[Symbol.dispose]();
    this.#out[Symbol.dispose]();
    this.#loopback[Symbol.dispose]();
    await this.subject[Symbol.asyncDispose]();
    await this.#neighbour[Symbol.asyncDispose]();
  }
}

/** Nothing was seen of it. */
export const unseen: Sighting = {
  before: [],
  told: [],
  returned: false,
  passed: false,
  refused: false,
  refusalPassed: false,
};

function withPrefix(seen: Sighting, prefix: string): Partial<Sighting> {
  switch (prefix) {
    case "returned":
      return { returned: true };
    case "passed":
      return { passed: true };
    default:
      return { before: [...seen.before, prefix] };
  }
}

function isAnswer(hook: string, mark: number): boolean {
  return hook === "OUTPUT" && mark === 0;
}

/** Marks of the test's own sockets: what OUTPUT sees without one is the subject's answer. */
const outMark = 0x77;
const loopbackMark = 0x78;

/**
 * Around the filter table: raw (untracked by traffic class), mangle (comes first: what arrives, in which state),
 * security (comes last: what passed, and its end). The filter table itself is left to the test.
 */
function surroundings(cutMark: number): string {
  const tell = (chain: string, match: string, prefix: string): string =>
    `-A ${chain} ${match} -j NFLOG --nflog-group ${ownGroup} --nflog-prefix "${prefix}"`;
  const before = ["NEW", "ESTABLISHED", "RELATED", "INVALID", "UNTRACKED"].map((state) =>
    tell("SEEN", `-m conntrack --ctstate ${state}`, state),
  );
  const notrack = `-m tos --tos ${trafficClass.untracked}/0xff -j CT --notrack`;
  return [
    ...["*raw", `-A PREROUTING ${notrack}`, `-A OUTPUT ${notrack}`, "COMMIT"],
    ...["*mangle", ":SEEN - [0:0]", ...before],
    tell("SEEN", "-m conntrack --ctdir REPLY", "REPLY"),
    tell("SEEN", `-m connmark --mark ${cutMark}/${cutMark}`, "CUT"),
    tell("OUTPUT", "-m mark --mark 0", "answer"),
    ...["-A INPUT -j SEEN", "-A OUTPUT -m mark ! --mark 0 -j SEEN", "COMMIT"],
    ...["*security", tell("INPUT", "", "passed"), "-A INPUT -j DROP"],
    ...[tell("OUTPUT", "", "passed"), `-A OUTPUT -m mark ! --mark ${loopbackMark} -j DROP`, "COMMIT", ""],
  ].join("\n");
}

/** Before defragmentation (NF_IP6_PRI_CONNTRACK_DEFRAG is -400): what is untracked here stays in fragments. */
const earlyNotrack = `table ip6 stand {
  chain arriving { type filter hook prerouting priority -450; ip6 dscp 0x11 notrack; }
  chain leaving { type filter hook output priority -450; ip6 dscp 0x11 notrack; }
}
`;

function programs(backend: Backend, family: 4 | 6): { readonly restore: string; readonly save: string } {
  const base = `/usr/sbin/${family === 4 ? "iptables" : "ip6tables"}-${backend}`;
  return { restore: `${base}-restore`, save: `${base}-save` };
}
