import type { AddressSet } from "../policy/address-set.js";
import { type Direction, icmpv6, type Policy, type PortRange } from "../policy/model.js";
import type { Essential } from "./essential.js";
import { uniteSets } from "./unite-sets.js";

/** What a host knows beyond the policy; every part that is absent adds no essential. */
export interface EssentialFacts {
  /** False: no DNS; addresses: those instead of the upstream resolvers. Default: true, to the upstream resolvers. */
  readonly dns?: boolean | AddressSet;
  /** False: no NTP; addresses: only those. Default: true, to anyone. */
  readonly ntp?: boolean | AddressSet;
  /** Upstream resolvers of the namespace. */
  readonly resolvers?: AddressSet;
  /** Where the controller is reached; of the host's own point only. */
  readonly controller?: { readonly addresses: AddressSet; readonly port: number } | null;
  /** What the operator lists, in that order; after the built-in ones. */
  readonly operator?: readonly Essential[];
}

const [tcp, udp, esp, ah] = [6, 17, 50, 51];

/** What always passes (contract, "Essentials"), with every name already an address. */
export function builtinEssentials(policy: Policy, facts: EssentialFacts = {}): readonly Essential[] {
  return [
    ...dhcp("dhcpv4", 4, { client: 68, server: 67 }),
    ...dhcp("dhcpv6", 6, { client: 546, server: 547 }),
    ...bothWays("neighbour-discovery", {
      family: 6,
      protocol: icmpv6,
      icmpTypes: [{ from: 133, to: 137 }],
      hopLimit: 255,
    }),
    ...bothWays("multicast-listener", {
      family: 6,
      protocol: icmpv6,
      icmpTypes: [
        { from: 130, to: 132 },
        { from: 143, to: 143 },
      ],
    }),
    ...controller(facts),
    ...dns(facts),
    ...ntp(facts),
    ...tunnels(policy),
    ...(facts.operator ?? []),
  ];
}

/** Requests go to the server's port, broadcast and multicast too; answers come to the client's, from wherever. */
function dhcp(name: string, family: 4 | 6, ports: { client: number; server: number }): Essential[] {
  const [client, server] = [single(ports.client), single(ports.server)];
  return [
    essential(name, "out", { family, protocol: udp, sourcePorts: client, destinationPorts: [server] }),
    essential(name, "in", { family, protocol: udp, sourcePorts: server, destinationPorts: [client] }),
  ];
}

function controller(facts: EssentialFacts): Essential[] {
  if (!facts.controller) return [];
  const { addresses, port } = facts.controller;
  return [
    essential("controller", "out", {
      protocol: tcp,
      peers: addresses,
      destinationPorts: [single(port)],
      originalDestination: true,
    }),
  ];
}

function dns(facts: EssentialFacts): Essential[] {
  const { dns = true, resolvers } = facts;
  const servers = typeof dns === "boolean" ? resolvers : dns;
  if (dns === false || servers === undefined) return [];
  return [udp, tcp].map((protocol) =>
    essential("dns", "out", {
      protocol,
      peers: servers,
      destinationPorts: [single(53)],
      originalDestination: true,
    }),
  );
}

function ntp(facts: EssentialFacts): Essential[] {
  const { ntp = true } = facts;
  if (ntp === false) return [];
  const peers = ntp === true ? null : ntp;
  return [essential("ntp", "out", { protocol: udp, peers, destinationPorts: [single(123)] })];
}

/** With the peers of secure rules: IKE (RFC 7296, 2 and 2.23), ESP and AH. */
function tunnels(policy: Policy): Essential[] {
  const names = new Set(policy.rules.filter((rule) => rule.secure).flatMap((rule) => rule.peers));
  if (names.size === 0) return [];
  const members = [...names].sort().flatMap((name) => policy.sets.get(name) ?? []);
  const peers = names.has("any") ? null : uniteSets(members);
  return [
    ...bothWays("ike", { protocol: udp, peers, destinationPorts: [single(500), single(4500)] }),
    ...bothWays("esp", { protocol: esp, peers }),
    ...bothWays("ah", { protocol: ah, peers }),
  ];
}

function bothWays(name: string, fields: Partial<Essential>): Essential[] {
  return [essential(name, "in", fields), essential(name, "out", fields)];
}

function essential(name: string, direction: Direction, fields: Partial<Essential>): Essential {
  return {
    family: null,
    protocol: null,
    peers: null,
    sourcePorts: null,
    destinationPorts: null,
    icmpTypes: null,
    hopLimit: null,
    originalDestination: false,
    ...fields,
    name,
    direction,
  };
}

function single(port: number): PortRange {
  return { from: port, to: port };
}
