import type { PortRange, Rule } from "../policy/model.js";
import {
  type AllowPlan,
  type ClaimGroup,
  groupClaims,
  isNarrow,
  type ProtocolClaims,
  planAllow,
  portsByNames,
} from "./allow-plan.js";
import type { CostModel } from "./cost-model.js";
import type { PeerLookup } from "./peer-lookup.js";
import { growPortTree, type PortTree } from "./port-tree.js";
import type { ServiceTest, SetKey, Step, Tier } from "./program.js";
import { isIcmp } from "./service-map.js";
import type { PairRecipe, SetCatalogue } from "./set-catalogue.js";
import { hitStep, tierStep } from "./step.js";

/** Where a set can hold a port beside the address: tcp, udp, sctp, udplite (ipset knows no dccp). */
const pairProtocols: ReadonlySet<number> = new Set([6, 17, 132, 136]);

/**
 * Lays out rules of which any will do: plainly, as long as that costs a new connection little; otherwise in the cheapest
 * way.
 *
 * - plain: one step per service and set, one after another.
 * - pairs: narrow claims as pairs of peer and port in one set, one lookup for all of them; the rest as below.
 * - dispatch: by protocol, then down a tree of ports to the few sets that matter there.
 */
export class AllowLayout {
  readonly #lookup: PeerLookup;
  readonly #catalogue: SetCatalogue;
  readonly #costs: CostModel;
  readonly #levels: number;
  readonly #trees = new WeakMap<ProtocolClaims, PortTree | null>();

  /** @param levels How many tiers a stage may nest; at least 1. */
  constructor(lookup: PeerLookup, catalogue: SetCatalogue, costs: CostModel, levels: number) {
    this.#lookup = lookup;
    this.#catalogue = catalogue;
    this.#costs = costs;
    this.#levels = levels;
  }

  lay(rules: readonly Rule[], pairsKey: SetKey): Tier {
    const plan = planAllow(rules);
    if (plan.open) return { steps: [hitStep({ service: null, set: null }, null)] };
    const { stageBudgetNs, memberApplyUs, ruleApplyUs, applyMsWorthNs } = this.#costs;
    const plain = this.#plainCost(plan);
    if (plain.ns <= stageBudgetNs) return { steps: this.#plain(plan) };

    const worth = (us: number): number => (us / 1000) * applyMsWorthNs;
    const dispatch = this.#dispatchCost(plan);
    const pairs = this.#countPairs(plan);
    if (pairs > 0 && pairs <= this.#catalogue.allowance) {
      const { parts, rest } = splitPairs(plan);
      const [restPlain, restDispatch] = [this.#plainCost(rest), this.#dispatchCost(rest)];
      const restCost = restPlain.ns <= stageBudgetNs ? restPlain : restDispatch;
      const pairsNs = this.#catalogue.lookupNs(parts.flatMap((part) => part.names)) + restCost.ns;
      const pairsUs = pairs * memberApplyUs + restCost.steps * ruleApplyUs;
      if (pairsNs + worth(pairsUs) < dispatch.ns + worth(dispatch.steps * ruleApplyUs)) {
        const first = hitStep({ service: null, set: this.#catalogue.usePairs(pairsKey, parts) }, null);
        return { steps: [first, ...(restCost === restPlain ? this.#plain(rest) : this.#dispatch(rest))] };
      }
    }
    return { steps: this.#dispatch(plan) };
  }

  /** Members that a set of pairs would hold, at most. */
  #countPairs(plan: AllowPlan): number {
    let pairs = 0;
    for (const { protocol, open, claims } of plan.protocols) {
      if (open || !pairProtocols.has(protocol)) continue;
      for (const claim of claims) {
        if (claim.peer !== null && isNarrow(claim)) {
          pairs += this.#catalogue.members([claim.peer]) * (claim.to - claim.from + 1);
        }
      }
    }
    return pairs;
  }

  #plain(plan: AllowPlan): readonly Step[] {
    return [
      ...this.#ask(null, plan),
      ...plan.protocols.flatMap((protocol) => [...this.#askWhole(protocol), ...this.#askGroups(protocol)]),
    ];
  }

  #dispatch(plan: AllowPlan): readonly Step[] {
    const protocols = plan.protocols.flatMap((claimed): readonly Step[] => {
      const { protocol, open } = claimed;
      if (open) return this.#askWhole(claimed);
      const tree = this.#treeOf(claimed);
      const inside = tree === null ? this.#askGroups(claimed) : this.#rootSteps(protocol, tree);
      const steps = [...this.#ask(null, { everything: claimed.whole, open }), ...inside];
      return steps.length === 0 ? [] : [tierStep({ service: serviceOf(protocol, null), set: null }, steps)];
    });
    return [...this.#ask(null, plan), ...protocols];
  }

  #askWhole({ protocol, whole, open }: ProtocolClaims): readonly Step[] {
    return this.#ask(serviceOf(protocol, null), { everything: whole, open });
  }

  #askGroups({ protocol, open, claims }: ProtocolClaims): readonly Step[] {
    if (open) return [];
    return groupClaims(claims).flatMap(({ ranges, names, open }) =>
      servicesOf(protocol, ranges).flatMap((service) => this.#ask(service, { everything: names, open })),
    );
  }

  #rootSteps(protocol: number, tree: PortTree): readonly Step[] {
    const service = serviceOf(protocol, [{ from: tree.from, to: tree.to }]);
    return [
      ...this.#ask(service, { everything: tree.names, open: tree.open }),
      ...this.#stretchSteps(protocol, tree),
    ];
  }

  /** A stretch that is not told apart any further is asked as it stands, any other in a tier of its own. */
  #stretchSteps(protocol: number, tree: PortTree): readonly Step[] {
    const below = tree.branches.flatMap((branch): readonly Step[] => {
      const service = serviceOf(protocol, [{ from: branch.from, to: branch.to }]);
      if (branch.branches.length + branch.leaves.length === 0) {
        return this.#ask(service, { everything: branch.names, open: branch.open });
      }
      const whole = this.#ask(null, { everything: branch.names, open: branch.open });
      return [tierStep({ service, set: null }, [...whole, ...this.#stretchSteps(protocol, branch)])];
    });
    const leaves = groupClaims(tree.leaves).flatMap(({ ranges, names, open }) =>
      this.#ask(serviceOf(protocol, ranges), { everything: names, open }),
    );
    return [...below, ...leaves];
  }

  #ask(service: ServiceTest | null, who: Pick<AllowPlan, "everything" | "open">): readonly Step[] {
    if (who.open) return [hitStep({ service, set: null }, null)];
    return this.#lookup.keys(who.everything).map((set) => hitStep({ service, set }, null));
  }

  #count({ everything, open }: Pick<AllowPlan, "everything" | "open">): number {
    return open ? 1 : this.#lookup.count(everything);
  }

  /** What a new connection pays at worst, and how many steps there are. */
  #plainCost(plan: AllowPlan): LayoutCost {
    const { protocolTestNs } = this.#costs;
    const protocols = plan.protocols.map((protocol) => {
      const whole = this.#count({ everything: protocol.whole, open: protocol.open });
      const groups = groupClaims(protocol.claims);
      const steps = groups.map((group) => this.#groupSteps(protocol.protocol, group));
      const count = whole + steps.reduce((sum, each) => sum + each.steps, 0);
      const tests = whole * protocolTestNs + steps.reduce((sum, each) => sum + each.ns, 0);
      return { count, ns: tests + this.#lookup.ns(protocol.whole) + this.#dearestPort(groups) };
    });
    const all = protocols.reduce((sum, { count }) => sum + count, 0);
    const dearest = protocols.map(({ count, ns }) => ns + (all - count) * protocolTestNs);
    return {
      ns: this.#lookup.ns(plan.everything) + Math.max(0, ...dearest),
      steps: this.#count(plan) + all,
    };
  }

  /** The service tests of a group, its lookups apart. */
  #groupSteps(protocol: number, group: ClaimGroup): LayoutCost {
    const { portTestNs, portListNs } = this.#costs;
    const asked = this.#count({ everything: group.names, open: group.open });
    if (isIcmp(protocol)) {
      const services = servicesOf(protocol, group.ranges).length;
      return { steps: asked * services, ns: asked * services * portTestNs };
    }
    const lists = Math.ceil((group.ranges.length * 2) / 15);
    return {
      steps: asked * lists,
      ns: asked * (group.ranges.length === 1 ? portTestNs : lists * portListNs),
    };
  }

  /** The most that lookups cost a packet of one port. */
  #dearestPort(groups: readonly ClaimGroup[]): number {
    const edges = groups.flatMap(({ ranges, names, open }) => {
      const ns = open ? 0 : this.#lookup.ns(names);
      return ranges.flatMap(({ from, to }) => [
        { at: from, ns },
        { at: to + 1, ns: -ns },
      ]);
    });
    let [ns, most] = [0, 0];
    for (const edge of edges.sort((a, b) => a.at - b.at || a.ns - b.ns)) {
      ns += edge.ns;
      most = Math.max(most, ns);
    }
    return most;
  }

  /** The same of the leaves of a stretch: at one of their beginnings. */
  #dearestLeaf({ leaves }: PortTree): number {
    let most = 0;
    for (const { from } of leaves) {
      let ns = 0;
      for (const leaf of leaves)
        if (leaf.peer !== null && leaf.from <= from && from <= leaf.to)
          ns += this.#lookup.listNs([leaf.peer]);
      most = Math.max(most, ns);
    }
    return most;
  }

  #dispatchCost(plan: AllowPlan): LayoutCost {
    const { protocolTestNs, jumpNs } = this.#costs;
    const protocols = plan.protocols.map((claimed): LayoutCost => {
      const { claims, whole } = claimed;
      const tree = this.#treeOf(claimed);
      const inside = tree === null ? { ns: 0, steps: claims.length } : this.#treeCost(tree);
      return {
        ns: jumpNs + this.#lookup.ns(whole) + inside.ns,
        steps: 1 + this.#lookup.count(whole) + inside.steps,
      };
    });
    return {
      ns:
        this.#lookup.ns(plan.everything) +
        protocols.length * protocolTestNs +
        Math.max(0, ...protocols.map((each) => each.ns)),
      steps: this.#count(plan) + protocols.reduce((sum, each) => sum + each.steps, 0),
    };
  }

  #treeOf(claimed: ProtocolClaims): PortTree | null {
    if (isIcmp(claimed.protocol) || claimed.open) return null;
    const known = this.#trees.get(claimed);
    const tree =
      known === undefined ? growPortTree(claimed.claims, this.#costs.fanOut, this.#levels - 1) : known;
    this.#trees.set(claimed, tree);
    return tree;
  }

  #treeCost(tree: PortTree): LayoutCost {
    const { portTestNs, jumpNs } = this.#costs;
    const branches = tree.branches.map((branch) => this.#treeCost(branch));
    const tests = portTestNs * (tree.branches.length + tree.leaves.length);
    const below = Math.max(this.#dearestLeaf(tree), ...branches.map((branch) => branch.ns));
    return {
      ns: jumpNs + (tree.open ? 0 : this.#lookup.ns(tree.names)) + tests + below,
      steps: branches.reduce(
        (sum, branch) => sum + branch.steps,
        1 + tree.leaves.length + this.#count({ everything: tree.names, open: tree.open }),
      ),
    };
  }
}

interface LayoutCost {
  readonly ns: number;
  readonly steps: number;
}

/** Takes the narrow claims out of a plan and makes pairs of them. */
function splitPairs(plan: AllowPlan): { readonly parts: readonly PairRecipe[]; readonly rest: AllowPlan } {
  const parts = plan.protocols.flatMap(({ protocol, open, claims }): readonly PairRecipe[] => {
    if (open || !pairProtocols.has(protocol)) return [];
    return portsByNames(claims.filter(isNarrow)).map((group) => ({ ...group, protocol }));
  });
  const protocols = plan.protocols.map((claimed): ProtocolClaims => {
    if (!pairProtocols.has(claimed.protocol)) return claimed;
    return { ...claimed, claims: claimed.claims.filter((claim) => !isNarrow(claim)) };
  });
  return { parts, rest: { ...plan, protocols } };
}

/** A test of ports, or tests of the ICMP types and codes that ranges stand for. */
function servicesOf(protocol: number, ranges: readonly PortRange[]): readonly ServiceTest[] {
  if (!isIcmp(protocol)) return [serviceOf(protocol, ranges)];
  return ranges.flatMap(({ from, to }) => {
    const services: ServiceTest[] = [];
    for (let at = from; at <= to; ) {
      const [icmpType, code] = [Math.floor(at / 256), at % 256];
      const wholeType = code === 0 && at + 255 <= to;
      services.push({ protocol, ports: null, icmpType, icmpCode: wholeType ? null : code });
      at += wholeType ? 256 : 1;
    }
    return services;
  });
}

function serviceOf(protocol: number, ports: readonly PortRange[] | null): ServiceTest {
  return { protocol, ports, icmpType: null, icmpCode: null };
}
