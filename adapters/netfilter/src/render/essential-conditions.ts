import type { Family, Installed, PortRange, ProgramEssential } from "@antenna/sdk";
import { icmp, icmpv6, portProtocols } from "@antenna/sdk";
import {
  icmpCondition,
  icmpReplyType,
  multiportChunks,
  portText,
  protocolCondition,
} from "./service-conditions.js";
import { setCondition, type View } from "./set-condition.js";

/**
 * The conditions under which a packet of the view belongs to an essential. A view of replies asks for the essentials of
 * the other direction, mirrored: peers stay the other side, ports change ends.
 */
export function essentialConditions(
  essential: ProgramEssential,
  installed: Installed,
  family: Family,
  view: View,
): readonly string[] {
  const opened = view.of === "original" ? view.direction : view.direction === "in" ? "out" : "in";
  if (essential.direction !== opened) return [];
  if (essential.family !== null && essential.family !== family) return [];
  const side = view.direction === "in" ? "-s" : "-d";
  const set = essential.set === undefined ? "" : setCondition(essential.set, installed, family, view);
  const peers = set === "" ? peerTexts(essential, family) : [null];
  const conditions: string[] = [];
  for (const service of servicesOf(essential, family, view)) {
    for (const ports of portsOf(essential.sourcePorts, essential.destinationPorts, view)) {
      for (const peer of peers) {
        const address = peer === null ? "" : `${side} ${peer} `;
        conditions.push(`${address}${service}${ports}${hopLimit(essential, family)}${set}`);
      }
    }
    if (essential.originalDestination) conditions.push(...beforeDnat(essential, family, view, service));
  }
  return conditions;
}

/** The destination as the flow's first packet had it, before the owner's own DNAT. */
function beforeDnat(essential: ProgramEssential, family: Family, view: View, service: string): string[] {
  const conditions: string[] = [];
  const sources = portsOf(essential.sourcePorts, null, view);
  for (const peer of peerTexts(essential, family)) {
    // Without an address and without ports the packet's own destination already says all.
    const address = peer === null ? "" : ` --ctorigdst ${peer.replace(/\/(?:32|128)$/, "")}`;
    for (const range of essential.destinationPorts ?? [null]) {
      const port = range === null ? "" : ` --ctorigdstport ${portText(range)}`;
      if (address === "" && port === "") continue;
      for (const source of sources) {
        const tracked = `-m conntrack${address}${port} `;
        conditions.push(`${service}${source}${tracked}${hopLimit(essential, family)}`);
      }
    }
  }
  return conditions;
}

/** Protocol, and ICMP type. */
function servicesOf(essential: ProgramEssential, family: Family, view: View): readonly string[] {
  return protocolsOf(essential, family).flatMap((protocol) => {
    if (essential.icmpTypes === null) return [protocol === null ? "" : protocolCondition(protocol, family)];
    const types = typesOf(essential.icmpTypes, protocol ?? 0, view);
    return types.flatMap((type) => icmpCondition(protocol ?? 0, type, null, family));
  });
}

/** One of all when the essential names none but asks for ports or types. */
function protocolsOf(essential: ProgramEssential, family: Family): readonly (number | null)[] {
  if (essential.protocol !== null) return [essential.protocol];
  if (essential.icmpTypes !== null) return [family === 4 ? icmp : icmpv6];
  if (essential.sourcePorts !== null || essential.destinationPorts !== null) return [...portProtocols];
  return [null];
}

function typesOf(ranges: readonly PortRange[], protocol: number, view: View): readonly number[] {
  const types: number[] = [];
  for (const { from, to } of ranges) {
    for (let type = from; type <= to; type++) {
      const seen = view.of === "original" ? type : icmpReplyType(protocol, type);
      if (seen !== null) types.push(seen);
    }
  }
  return types;
}

/** Conditions on both ends' ports, `source` and `destinations` as the opening packet has them. */
function portsOf(
  source: PortRange | null,
  destinations: readonly PortRange[] | null,
  view: View,
): readonly string[] {
  const [near, far] =
    view.of === "original" ? (["source", "destination"] as const) : (["destination", "source"] as const);
  const [nearMatch = ""] = source === null ? [] : multiportChunks([source], near);
  if (destinations === null) return [nearMatch];
  return multiportChunks(destinations, far).map((farMatch) => nearMatch + farMatch);
}

function hopLimit(essential: ProgramEssential, family: Family): string {
  if (essential.hopLimit === null) return "";
  return family === 4 ? `-m ttl --ttl-eq ${essential.hopLimit} ` : `-m hl --hl-eq ${essential.hopLimit} `;
}

/** Blocks of the family as iptables-save writes them; [null]: anyone. */
function peerTexts(essential: ProgramEssential, family: Family): readonly (string | null)[] {
  if (essential.peers === null || essential.peers.coversFamily(family)) return [null];
  const whole = family === 4 ? "/32" : "/128";
  const texts: string[] = [];
  for (const text of essential.peers.strings()) {
    if (text.includes(":") !== (family === 6)) continue;
    texts.push(text.includes("/") ? text : text + whole);
  }
  return texts;
}
