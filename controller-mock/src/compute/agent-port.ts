import { normaliseServices, type PortRange, type Rule, type Service } from "@antenna/sdk";

const tcp = 6;

/**
 * The rules of the host that the controller runs on: its agents' port stays open inbound, to everyone (who wants to pair is
 * in no set yet), and what would close it all the same, a rule that overrides or that asks for IPsec, leaves it out.
 */
export function withAgentPort(rules: readonly Rule[], port: number): readonly Rule[] {
  const opening: Rule = {
    id: "controller: agents (in)",
    direction: "in",
    action: "allow",
    peers: ["any"],
    services: [{ protocol: tcp, ports: [{ from: port, to: port }], icmpType: null, icmpCode: null }],
    secure: false,
  };
  const others = rules.map((rule) => {
    const closes = rule.direction === "in" && (rule.action === "override-deny" || rule.secure);
    return closes ? { ...rule, services: servicesWithout(rule.services ?? everyService(), port) } : rule;
  });
  return [opening, ...others.filter(({ services }) => services === null || services.length > 0)];
}

function everyService(): readonly Service[] {
  return Array.from({ length: 255 }, (_, index) => ({
    protocol: index + 1,
    ports: null,
    icmpType: null,
    icmpCode: null,
  }));
}

function servicesWithout(services: readonly Service[], port: number): readonly Service[] {
  return normaliseServices(
    services.flatMap((service) => {
      if (service.protocol !== tcp) return [service];
      const ports = portsWithout(service.ports ?? [{ from: 1, to: 65535 }], port);
      return ports.length === 0 ? [] : [{ ...service, ports }];
    }),
  );
}

function portsWithout(ranges: readonly PortRange[], port: number): readonly PortRange[] {
  return ranges
    .flatMap(({ from, to }) =>
      port < from || port > to
        ? [{ from, to }]
        : [
            { from, to: port - 1 },
            { from: port + 1, to },
          ],
    )
    .filter(({ from, to }) => from <= to);
}
