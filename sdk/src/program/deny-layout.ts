import type { Rule, Service } from "../policy/model.js";
import type { CostModel } from "./cost-model.js";
import { type DenyPlan, type PlannedCell, planDeny, type Question, type Questions } from "./deny-plan.js";
import type { PeerLookup } from "./peer-lookup.js";
import { fanOutFor } from "./port-tree.js";
import type { ServiceTest, Step, Tier } from "./program.js";
import { isIcmp } from "./service-map.js";
import type { SetCatalogue } from "./set-catalogue.js";
import { hitStep, tierStep } from "./step.js";

/** Questions that the lists of one stage may have together: so many take 25 ms to lay out and 1 s to write. */
const mostQuestions = 50_000;

/**
 * Lays out rules of which the first must answer with its id: one after another, as long as that costs a new connection
 * little; otherwise by protocol and down a tree of ports to a complete list, in the order of the policy.
 *
 * A list that is dear to pass stands behind one lookup in the union of its sets, so that whoever is not denied does not
 * pass it. Such a lookup stands last in its tier.
 */
export class DenyLayout {
  readonly #lookup: PeerLookup;
  readonly #catalogue: SetCatalogue;
  readonly #costs: CostModel;
  readonly #levels: number;

  /** @param levels How many tiers a stage may nest; at least 1. */
  constructor(lookup: PeerLookup, catalogue: SetCatalogue, costs: CostModel, levels: number) {
    this.#lookup = lookup;
    this.#catalogue = catalogue;
    this.#costs = costs;
    this.#levels = levels;
  }

  lay(rules: readonly Rule[]): Tier {
    const plan = planDeny(rules, mostQuestions);
    if (plan === null) return { steps: this.#behindUnion(rules) };
    if (this.#oneByOneNs(rules, plan) <= this.#costs.stageBudgetNs) return { steps: this.#oneByOne(rules) };
    const treeLevels = this.#levels - 1 - this.#listLevels(plan);
    return { steps: treeLevels < 0 ? this.#behindUnion(rules) : this.#dispatch(plan, treeLevels) };
  }

  #oneByOne(rules: readonly Rule[]): readonly Step[] {
    const seen = new Set<string>();
    const steps: Step[] = [];
    for (const rule of rules) {
      for (const service of rule.services ?? [null]) {
        for (const name of rule.peers) {
          const match = { service, set: name === "any" ? null : this.#catalogue.use([name]) };
          const text = JSON.stringify(match);
          if (seen.has(text)) continue;
          seen.add(text);
          steps.push(hitStep(match, rule.id));
        }
      }
    }
    return steps;
  }

  /** The whole list, for those whom some rule knows. */
  #behindUnion(rules: readonly Rule[]): readonly Step[] {
    const steps = this.#oneByOne(rules);
    const names = [...new Set(rules.flatMap((rule) => rule.peers))].sort();
    if (names.includes("any") || !this.#catalogue.affords(names)) return steps;
    return [tierStep({ service: null, set: this.#catalogue.use(names) }, steps)];
  }

  #oneByOneNs(rules: readonly Rule[], plan: DenyPlan): number {
    const { portListNs, portTestNs, protocolTestNs } = this.#costs;
    const testNs = (service: Service | null): number => {
      if (service === null) return 0;
      if (service.ports === null) return protocolTestNs;
      return service.ports.length === 1
        ? portTestNs
        : Math.ceil((service.ports.length * 2) / 15) * portListNs;
    };
    let tests = 0;
    for (const { services, peers } of rules)
      for (const service of services ?? [null]) tests += peers.length * testNs(service);
    let dearest = this.#lookup.listNs(namesOf(plan.everything));
    for (const { whole, cells } of plan.protocols) {
      for (const { questions } of [{ questions: whole }, ...cells])
        dearest = Math.max(dearest, this.#lookup.listNs(namesOf(questions)));
    }
    return tests + dearest;
  }

  /** Tiers that lists need below those of the tree. */
  #listLevels({ protocols }: DenyPlan): number {
    const hidden = (lists: readonly PlannedCell[]): boolean =>
      lists.some((cell) => this.#hidden(cell.questions));
    if (protocols.some(({ cells }) => hidden(cells))) return 2;
    return protocols.some(({ whole }) => this.#hidden(whole)) ? 1 : 0;
  }

  #dispatch(plan: DenyPlan, treeLevels: number): readonly Step[] {
    const protocols = plan.protocols.map(({ protocol, whole, cells }): Step => {
      const otherwise = this.#ask(null, whole);
      const inside = isIcmp(protocol)
        ? this.#icmpSteps(protocol, cells)
        : this.#portSteps(protocol, cells, otherwise, treeLevels);
      return tierStep({ service: testOf(protocol), set: null }, [...inside, ...otherwise]);
    });
    return [...protocols, ...this.#ask(null, plan.everything)];
  }

  #icmpSteps(protocol: number, cells: readonly PlannedCell[]): readonly Step[] {
    return cells.flatMap(({ from, to, questions }) =>
      Array.from({ length: to - from + 1 }, (_, index) => from + index).flatMap((icmpType) =>
        this.#askInside({ ...testOf(protocol), icmpType }, questions),
      ),
    );
  }

  /** `otherwise` ends every tier: a port between two cells of a tier comes no further. */
  #portSteps(
    protocol: number,
    cells: readonly PlannedCell[],
    otherwise: readonly Step[],
    treeLevels: number,
  ): readonly Step[] {
    const fanOut = fanOutFor(cells.length, this.#costs.fanOut, treeLevels);
    const rangeTest = (from: number, to: number): ServiceTest => ({
      ...testOf(protocol),
      ports: [{ from, to }],
    });
    let nodes = cells.map(({ from, to, questions }) => ({
      from,
      to,
      steps: this.#askInside(rangeTest(from, to), questions),
    }));
    while (nodes.length > fanOut) {
      const parents: typeof nodes = [];
      for (let at = 0; at < nodes.length; at += fanOut) {
        const children = nodes.slice(at, at + fanOut);
        const [from, to] = [children[0]?.from ?? 0, children.at(-1)?.to ?? 0];
        const inside = [...children.flatMap((child) => child.steps), ...otherwise];
        parents.push({ from, to, steps: [tierStep({ service: rangeTest(from, to), set: null }, inside)] });
      }
      nodes = parents;
    }
    return nodes.flatMap((node) => node.steps);
  }

  /** As `#ask`; but a union stands last in its tier, and that is one of its own. */
  #askInside(service: ServiceTest, questions: Questions): readonly Step[] {
    if (!this.#hidden(questions)) return this.#ask(service, questions);
    return [tierStep({ service, set: null }, this.#ask(null, questions))];
  }

  #ask(service: ServiceTest | null, questions: Questions): readonly Step[] {
    if (!this.#hidden(questions)) return questions.map((question) => this.#askOne(service, question));
    const set = this.#catalogue.use(namesOf(questions));
    return [
      tierStep(
        { service, set },
        questions.map((question) => this.#askOne(null, question)),
      ),
    ];
  }

  /** True when the list is dear enough to stand behind the union. */
  #hidden(questions: Questions): boolean {
    if (questions.some((question) => question.peer === null || question.code !== null)) return false;
    return this.#lookup.unites(namesOf(questions));
  }

  #askOne(service: ServiceTest | null, { peer, code, rule }: Question): Step {
    const narrowed = service !== null && code !== null ? { ...service, icmpCode: code } : service;
    return hitStep({ service: narrowed, set: peer === null ? null : this.#catalogue.use([peer]) }, rule);
  }
}

function testOf(protocol: number): ServiceTest {
  return { protocol, ports: null, icmpType: null, icmpCode: null };
}

function namesOf(questions: Questions): readonly string[] {
  return [...new Set(questions.flatMap((question) => question.peer ?? []))].sort();
}
