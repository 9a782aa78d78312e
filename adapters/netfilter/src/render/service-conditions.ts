import type { Family, PortRange, ServiceTest } from "@antenna/sdk";
import { answerType, icmp, icmpv6, requestType } from "@antenna/sdk";
import { protocolNameOf } from "./protocol-names.js";

const [tcp, udp, authenticationHeader] = [6, 17, 51];
/** A multiport match holds 15 ports; a range takes two (linux/netfilter/xt_multiport.h, XT_MULTI_PORTS). */
const multiportSlots = 15;
/** Holds for what has its transport header: a test of the IPv4 header, to stand behind the protocol. */
export const notLaterFragment = "! -f ";
/** In iptables' icmp match type 255 means every type (net/ipv4/netfilter/ip_tables.c, icmp_type_code_match). */
const anyIcmpType = 255;

/**
 * The conditions that together (any of them) stand for a service; each is the text of one rule's matches. Empty when
 * no packet of the family can be of that service.
 *
 * @param end whose ports: a packet's destination, or the source for packets that answer.
 * @param hasPorts no later fragment comes by.
 */
export function serviceConditions(
  service: ServiceTest,
  family: Family,
  end: "destination" | "source",
  hasPorts = false,
): readonly string[] {
  if (service.ports !== null) {
    const noFragment = hasPorts ? "" : family === 4 ? notLaterFragment : null;
    const plain = plainPortCondition(service.protocol, service.ports, end, noFragment);
    return plain === null ? portConditions(service.protocol, service.ports, end) : [plain];
  }
  if (service.icmpType !== null) {
    return icmpCondition(service.protocol, service.icmpType, service.icmpCode, family);
  }
  return [protocolCondition(service.protocol, family)];
}

export function protocolCondition(protocol: number, family: Family): string {
  // -p looks at the upper-layer protocol, and ip6_tables takes AH for an extension header on the way to it.
  if (protocol === authenticationHeader && family === 6) return "-m ah ";
  return `-p ${protocolNameOf(protocol)} `;
}

/**
 * By multiport: it holds for no later fragment, whose first bytes are no ports. A plain `--dport` becomes a payload
 * expression in iptables-nft, which reads them all the same (seen on 6.18).
 */
function portConditions(
  protocol: number,
  ports: readonly PortRange[],
  end: "destination" | "source",
): readonly string[] {
  const name = protocolNameOf(protocol);
  return multiportChunks(ports, end).map((match) => `-p ${name} ${match}`);
}

/**
 * One port or range by the protocol's own match, where iptables-nft makes a payload expression of it: less than half the
 * cost of multiport (16 ns against 36), and no code that a new connection must fetch first. Only where no later fragment
 * comes by: IPv4 says so by a test of the header (`! -f`), IPv6 has none. null: not to be said so, or not the same when it
 * is read back.
 */
function plainPortCondition(
  protocol: number,
  [range, ...more]: readonly PortRange[],
  end: "destination" | "source",
  noFragment: string | null,
): string | null {
  if (noFragment === null || range === undefined || more.length > 0) return null;
  if (protocol !== tcp && protocol !== udp) return null;
  if (range.from === 0 || range.to === 65_535) return null;
  const name = protocolNameOf(protocol);
  return `-p ${name} ${noFragment}-m ${name} --${end === "destination" ? "dport" : "sport"} ${portText(range)} `;
}

/** Matches that together hold for the ports: `-m multiport --dports 80,443,8000:8010`. */
export function multiportChunks(
  ports: readonly PortRange[],
  end: "destination" | "source",
): readonly string[] {
  const chunks: string[] = [];
  let chunk: string[] = [];
  let slots = 0;
  for (const range of ports) {
    const takes = range.from === range.to ? 1 : 2;
    if (slots + takes > multiportSlots) {
      chunks.push(chunk.join(","));
      chunk = [];
      slots = 0;
    }
    chunk.push(portText(range));
    slots += takes;
  }
  if (chunk.length > 0) chunks.push(chunk.join(","));
  const option = end === "destination" ? "--dports" : "--sports";
  return chunks.map((text) => `-m multiport ${option} ${text} `);
}

export function portText(range: PortRange): string {
  return range.from === range.to ? String(range.from) : `${range.from}:${range.to}`;
}

/** Empty when the family has no such ICMP: there is no match for ICMPv4 types in IPv6 packets, nor the other way. */
export function icmpCondition(
  protocol: number,
  type: number,
  code: number | null,
  family: Family,
): readonly string[] {
  if (protocol === icmpv6 && family === 6) {
    return [`-p ipv6-icmp -m icmp6 --icmpv6-type ${code === null ? type : `${type}/${code}`} `];
  }
  if (protocol !== icmp || family !== 4) return [];
  if (type !== anyIcmpType) {
    return [`-p icmp -m icmp --icmp-type ${code === null ? type : `${type}/${code}`} `];
  }
  // No fragment offset; then, after the IP header, type (and code) in the first bytes.
  const first = code === null ? "0x18=0xff" : `0x10=0xff${code.toString(16).padStart(2, "0")}`;
  return [`-p icmp -m u32 --u32 "0x4&0x1fff=0x0&&0x0>>0x16&0x3c@0x0>>${first}" `];
}

/**
 * The type that guards on replies see where a service names `type`: the one that answers it. What neither asks nor
 * answers stands for itself (an error travels both ways); null: an answer is answered by nothing.
 */
export function icmpReplyType(protocol: number, type: number): number | null {
  return answerType(protocol, type) ?? (requestType(protocol, type) === null ? type : null);
}
