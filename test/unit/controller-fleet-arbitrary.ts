import type { WorkloadFacts } from "@antenna/controller/internal/compute/facts.js";
import type { Random } from "./random.js";

/** Label policies, as documents, and fleets over few labels and addresses, so that selectors meet and narrow all the time. */

export type SelectorDocument = Readonly<Record<string, string | readonly string[]>>;

export interface LabelRuleDocument {
  readonly from: SelectorDocument;
  readonly to: SelectorDocument;
  readonly action?: "allow" | "deny" | "override-deny";
  readonly services?: readonly (string | LabelServiceDocument)[];
  readonly secure?: boolean;
}

export interface LabelServiceDocument {
  readonly protocol: string;
  readonly ports?: readonly (number | string)[];
  readonly type?: number;
}

export interface LabelPolicyDocument {
  readonly services: Readonly<Record<string, readonly LabelServiceDocument[]>>;
  readonly ipLists: Readonly<Record<string, readonly string[]>>;
  readonly rulesets: readonly {
    readonly name: string;
    readonly scope?: SelectorDocument;
    readonly rules: readonly LabelRuleDocument[];
  }[];
  readonly enforcement: readonly {
    readonly match: SelectorDocument;
    readonly mode: "idle" | "visibility" | "selective" | "full";
    readonly enforce?: readonly (string | LabelServiceDocument)[];
  }[];
}

const labelValues: Readonly<Record<string, readonly string[]>> = {
  app: ["shop", "mail"],
  role: ["web", "app", "db"],
  env: ["prod", "dev"],
};
export const ports = [22, 80, 443, 5432, 8443];
export const controllerFacts = { addresses: ["10.0.0.1", "fd00::1"], port: 8443 };

const blocks = ["10.0.0.0/30", "10.0.0.4/31", "10.0.0.0/16", "10.0.0.9", "fd00::/125", "192.0.2.0/24"];

export function randomLabelPolicy(
  random: Random,
  shape: { readonly secure: number } = { secure: 0.2 },
): LabelPolicyDocument {
  const services = { http: [randomService(random)], other: [randomService(random), randomService(random)] };
  const ipLists = { office: random.picks(random.below(3), blocks), lab: random.picks(2, blocks) };
  const rulesets = Array.from({ length: random.between(0, 3) }, (_, index) => ({
    name: `set ${index}`,
    ...(random.chance(0.6) ? { scope: randomSelector(random) } : {}),
    rules: Array.from({ length: random.between(0, 4) }, () => randomRule(random, shape.secure)),
  }));
  const enforcement = Array.from({ length: random.between(0, 3) }, () => ({
    match: randomSelector(random),
    mode: random.pick(["full", "full", "full", "selective", "visibility", "idle"] as const),
    ...(random.chance(0.5) ? { enforce: randomServices(random) } : {}),
  }));
  return { services, ipLists, rulesets, enforcement };
}

function randomRule(random: Random, secure: number): LabelRuleDocument {
  const fromLists = random.chance(0.2);
  const toLists = !fromLists && random.chance(0.2);
  const action = random.pick(["allow", "allow", "allow", "deny", "override-deny"] as const);
  return {
    from: fromLists ? randomLists(random) : randomSelector(random),
    to: toLists ? randomLists(random) : randomSelector(random),
    ...(action === "allow" && random.chance(0.5) ? {} : { action }),
    ...(random.chance(0.7) ? { services: randomServices(random) } : {}),
    ...(action === "allow" && random.chance(secure) ? { secure: true } : {}),
  };
}

function randomLists(random: Random): SelectorDocument {
  return { ipList: random.pick(["any", "office", "lab", ["lab", "office"]] as const) };
}

function randomSelector(random: Random): SelectorDocument {
  const selector: Record<string, string | readonly string[]> = {};
  for (const [key, values] of Object.entries(labelValues)) {
    if (random.chance(0.6)) continue;
    selector[key] = random.chance(0.7) ? random.pick(values) : random.picks(2, values);
  }
  return selector;
}

function randomServices(random: Random): readonly (string | LabelServiceDocument)[] {
  return Array.from({ length: random.between(1, 3) }, () =>
    random.chance(0.4) ? random.pick(["http", "other"]) : randomService(random),
  );
}

function randomService(random: Random): LabelServiceDocument {
  if (random.chance(0.15)) return { protocol: "icmp", type: random.pick([0, 8]) };
  const protocol = random.pick(["tcp", "tcp", "udp"]);
  if (random.chance(0.1)) return { protocol };
  return { protocol, ports: [random.chance(0.3) ? "80-443" : random.pick(ports)] };
}

const hosts = ["w-0", "w-1"];

/** Facts of the workload with that number: the first two are hosts, the others may be containers of theirs. */
export function randomFacts(random: Random, number: number): WorkloadFacts {
  const addresses = [
    ...random.picks(
      random.below(3),
      Array.from({ length: 14 }, (_, last) => `10.0.0.${last + 1}`),
    ),
    ...random.picks(random.below(2), ["fd00::1", "fd00::2", "fd00::9"]),
  ].map((address) => ({ address, scope: "routable" as const }));
  const own = random
    .picks(random.below(3), ["172.17.0.1", "172.17.0.2", "172.17.0.3"])
    .map((address) => ({ address, scope: "host" as const }));
  const labels = Object.entries(labelValues).filter(() => random.chance(0.8));
  return {
    id: `w-${number}`,
    labels: new Map(labels.map(([key, values]) => [key, random.pick(values)])),
    addresses: [...addresses, ...own],
    host: number >= hosts.length && random.chance(0.6) ? random.pick(hosts) : null,
  };
}
