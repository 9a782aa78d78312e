import {
  AddressSet,
  type Decision,
  type Essential,
  type Packet,
  type Policy,
  type PortRange,
  type RuleProgram,
  type Service,
} from "@antenna/sdk";
import { builtinEssentials } from "@antenna/sdk/internal/evaluate/essentials.js";
import type { EvaluateOptions } from "@antenna/sdk/internal/evaluate/evaluate.js";
import { compile } from "@antenna/sdk/internal/program/compile.js";
import { type CostModel, measuredCosts } from "@antenna/sdk/internal/program/cost-model.js";
import { planSafe } from "@antenna/sdk/internal/reconcile/plan.js";
import type { Trace } from "../tracer/trace.js";
import {
  randomPolicy,
  randomPorts,
  randomSet,
  showPacket,
  showPolicy,
  smallerPolicy,
} from "../unit/arbitrary-policy.js";
import { Random } from "../unit/random.js";
import { aimedPacket } from "./aimed-packet.js";
import type { CoverageTable } from "./coverage-table.js";
import { differs, type Expectation, expectationOf, untouched } from "./expectation.js";
import { KernelModel } from "./kernel-model.js";
import { isLaterFragment, tracedVariants } from "./traced-variants.js";

/** Costs that lead to layouts of every kind, whatever the size of the policy. */
function randomCosts(random: Random): CostModel {
  if (random.chance(0.25)) return measuredCosts;
  return {
    ...measuredCosts,
    stageBudgetNs: random.pick([0, 0, 0, measuredCosts.stageBudgetNs]),
    listBudgetNs: random.pick([0, 200, measuredCosts.listBudgetNs]),
    memberApplyUs: random.pick([0, measuredCosts.memberApplyUs, 1e6]),
    ruleApplyUs: random.pick([measuredCosts.ruleApplyUs, 1e6]),
    fanOut: random.pick([2, 3, measuredCosts.fanOut]),
  };
}

export interface PairsOptions {
  readonly seed: number;
  readonly pairs: number;
  readonly coverage: CoverageTable;
  readonly evaluate: (policy: Policy, packet: Packet, options?: EvaluateOptions) => Decision;
}

export interface MeaningFailure {
  readonly text: string;
}

export interface PairsResult {
  readonly pairs: number;
  readonly policies: number;
  /** The first one, made small; null: all pairs agree. */
  readonly failure: MeaningFailure | null;
}

const packetsEach = 80;

/** Random policies, each with packets near its edges, until so many pairs were compared or one differs. */
export function comparePairs(options: PairsOptions): PairsResult {
  const random = new Random(options.seed);
  let pairs = 0;
  let policies = 0;
  while (pairs < options.pairs) {
    const circumstances = randomCircumstances(random);
    const policy = withLongIds(random, aboutIcmp(random, randomPolicy(random, shapeOf(random))));
    policies += 1;
    const essentials = essentialsOf(policy, circumstances);
    const standing = stand(policy, essentials, circumstances);
    noteLayout(options.coverage, standing);
    for (let count = 0; count < packetsEach; count++) {
      const packet = aimedPacket(random, policy, essentials);
      pairs += 1;
      const check = (candidate: Policy, standing: Standing): string | null =>
        compareOne(candidate, packet, circumstances, standing, options, random);
      note(options.coverage, policy, packet, circumstances, essentials, options);
      if (check(policy, standing) === null) continue;
      const rebuilt = (candidate: Policy): string | null =>
        check(candidate, stand(candidate, essentialsOf(candidate, circumstances), circumstances));
      const smallest = smallerPolicy(policy, (candidate) => rebuilt(candidate) !== null);
      const text = rebuilt(smallest) ?? check(policy, standing) ?? "it differed once and not again";
      return {
        pairs,
        policies,
        failure: { text: [text, showPacket(packet), showPolicy(smallest)].join("\n") },
      };
    }
  }
  return { pairs, policies, failure: null };
}

/** What a policy is compiled under. */
export interface Circumstances {
  readonly settling: boolean;
  readonly onAllow: "return" | "accept";
  readonly ntp: boolean;
  readonly many: boolean;
  /** What the operator lists. */
  readonly operator: readonly Essential[];
  readonly costs: CostModel;
}

/** A policy in force in the model. */
interface Standing {
  readonly model: KernelModel;
  readonly program: RuleProgram | null;
  readonly essentials: readonly Essential[];
}

export function randomCircumstances(random: Random): Circumstances {
  return {
    settling: random.chance(0.1),
    onAllow: random.chance(0.15) ? "accept" : "return",
    ntp: random.chance(0.7),
    many: random.chance(0.2),
    operator: Array.from({ length: random.below(4) }, () => randomEssential(random)),
    costs: randomCosts(random),
  };
}

/** Whatever can be said of an essential, more than any configuration says. */
function randomEssential(random: Random): Essential {
  const protocol = random.pick([null, null, 6, 17, 17, 132, 33, 1, 58, 47, 51]);
  const ported = protocol === null || [6, 17, 33, 132].includes(protocol);
  const direction = random.pick(["in", "out"] as const);
  const icmp = (protocol === null || protocol === 1 || protocol === 58) && random.chance(0.5);
  const ranges = (): readonly PortRange[] => randomPorts(random);
  return {
    name: "operator",
    direction,
    family: random.pick([null, null, 4, 6] as const),
    protocol,
    peers: random.chance(0.3) ? null : randomSet(random, random.pick([2, 2, 20])),
    sourcePorts: ported && !icmp && random.chance(0.2) ? (ranges()[0] ?? null) : null,
    destinationPorts: ported && !icmp && random.chance(0.6) ? ranges() : null,
    icmpTypes: icmp
      ? random.pick([
          [{ from: 8, to: 8 }],
          [
            { from: 0, to: 3 },
            { from: 13, to: 18 },
          ],
          [{ from: 128, to: 129 }],
          [{ from: 254, to: 255 }],
        ])
      : null,
    hopLimit: random.chance(0.2) ? random.pick([255, 64]) : null,
    // Of packets that come in, the address that counts is the source.
    originalDestination: direction === "out" && random.chance(0.4),
  };
}

function shapeOf(random: Random): Parameters<typeof randomPolicy>[1] {
  const modes = [
    "full",
    "full",
    "full",
    "selective",
    "selective",
    "selective",
    "visibility",
    "visibility",
    "visibility",
    "idle",
  ] as const;
  if (random.chance(0.12)) return { modes, maxSets: 14, maxRules: 50 };
  return { modes, secure: random.pick([0, 0.15, 0.5]) };
}

/** Types and codes that touch, in every rule of some policies. */
function aboutIcmp(random: Random, policy: Policy): Policy {
  if (!random.chance(0.08)) return policy;
  const protocol = random.pick([1, 58]);
  const [base, codes] = [random.pick([8, 13, 128]), [null, null, 0, 1, 255]];
  const service = (): Service => ({
    ...{ protocol, ports: null },
    ...{ icmpType: base + random.below(3), icmpCode: random.pick(codes) },
  });
  const rules = policy.rules.map((rule) => ({ ...rule, services: [service(), service()] }));
  return { ...policy, rules };
}

/** Some ids that an NFLOG prefix cannot carry. */
function withLongIds(random: Random, policy: Policy): Policy {
  if (!random.chance(0.2)) return policy;
  const rules = policy.rules.map((rule, index) =>
    random.chance(0.5) ? rule : { ...rule, id: `${index} ${'a long "name" '.repeat(6)}` },
  );
  return { ...policy, rules };
}

export function essentialsOf(policy: Policy, circumstances: Circumstances): readonly Essential[] {
  const resolvers = circumstances.many
    ? AddressSet.from([
        "10.0.0.0/28",
        "10.1.1.1",
        "11.0.0.1",
        "11.0.1.1",
        "192.0.0.1",
        "192.0.0.7",
        "10.0.127.15",
        "10.1.255.3",
        "fd00::/64",
        "fd01::2",
        "fe00::7",
      ])
    : AddressSet.from(["10.0.0.2", "fd00::1"]);
  return builtinEssentials(policy, {
    resolvers,
    controller: { addresses: AddressSet.from(["192.0.0.4", "fe00::2"]), port: 8443 },
    ntp: circumstances.ntp,
    operator: circumstances.operator,
  });
}

function stand(policy: Policy, essentials: readonly Essential[], circumstances: Circumstances): Standing {
  const { settling, onAllow, costs } = circumstances;
  const program = compile(policy, { essentials, settling, onAllow, costs });
  const model = new KernelModel();
  if (program !== null)
    for (const command of planSafe(null, program, new Set()).commands) model.execute(command);
  return { model, program, essentials };
}

/** null: every variant of the packet goes as it should. */
function compareOne(
  policy: Policy,
  packet: Packet,
  circumstances: Circumstances,
  standing: Standing,
  options: PairsOptions,
  random: Random,
): string | null {
  const { essentials, program, model } = standing;
  const decision = options.evaluate(policy, packet, { essentials, settling: circumstances.settling });
  const expectation = program === null ? untouched : expectationOf(decision, packet, circumstances.onAllow);
  for (const traced of tracedVariants(packet, random)) {
    const withinLimit = !random.chance(0.1);
    if (!withinLimit) options.coverage.extra("over the limit");
    const trace = model.trace(traced, { withinLimit });
    const told = expectation.told.filter((prefix) => withinLimit || !prefix.startsWith("ant:"));
    if (!differs(trace, { ...expectation, told })) continue;
    return [
      `expected ${show({ ...expectation, told })}`,
      `traced   ${show(trace)}`,
      `decision ${JSON.stringify(decision)}, ${JSON.stringify({ ...circumstances, costs: undefined, operator: circumstances.operator.map(showEssential) })}`,
      `path     ${trace.path.join(" ")}`,
      model.show(packet.family),
    ].join("\n");
  }
  return null;
}

function show({ verdict, rejectedWith, told }: Expectation | Trace): string {
  return JSON.stringify({ verdict, rejectedWith, told });
}

/** Which means the layout used: sets of pairs, exclusive tiers, unions. */
function noteLayout(coverage: CoverageTable, { program }: Standing): void {
  if (program === null) return;
  for (const [key, set] of program.sets) {
    if (set.kind === "pairs") coverage.extra("a set of pairs");
    if (key.startsWith("union:")) coverage.extra("a union of sets");
  }
  const tiers = Object.values(program.directions).flatMap(({ stages }) => stages.map((stage) => stage.tier));
  if (tiers.some((tier) => tier.steps.some((step) => step.then.kind === "tier")))
    coverage.extra("a tree of tiers");
}

function note(
  coverage: CoverageTable,
  policy: Policy,
  packet: Packet,
  circumstances: Circumstances,
  essentials: readonly Essential[],
  options: PairsOptions,
): void {
  const decision = options.evaluate(policy, packet, { essentials, settling: circumstances.settling });
  coverage.note(decision.stage, policy.mode, packet.family);
  if (packet.state !== "new" && packet.state !== "established") coverage.extra(packet.state);
  if (packet.cut) coverage.extra("cut");
  if (packet.reply) coverage.extra("reply");
  if (isLaterFragment(packet)) coverage.extra("later fragment");
  const discovery =
    packet.protocol === 58 && packet.icmpType !== null && packet.icmpType >= 133 && packet.icmpType <= 137;
  if (discovery && packet.hopLimit !== 255) coverage.extra("discovery from afar");
  if (packet.protocol === 51 && packet.family === 6) coverage.extra("authentication header");
  if (circumstances.settling) coverage.extra("settling");
  if (decision.refusal === "reject") coverage.extra("reject");
  if (circumstances.onAllow === "accept" && decision.verdict === "allowed") coverage.extra("onAllow accept");
  if (decision.stage === "secure") coverage.extra("secure");
  if ((decision.rule?.length ?? 0) > 48) coverage.extra("long rule id");
  if (decision.stage !== "essential") return;
  const untranslated = { ...packet, originalDestination: null, originalPort: null };
  const settling = circumstances.settling;
  if (options.evaluate(policy, untranslated, { essentials, settling }).stage !== "essential") {
    coverage.extra("essential by original destination");
  }
}

function showEssential(essential: Essential): unknown {
  return { ...essential, peers: essential.peers === null ? null : [...essential.peers.strings()] };
}
