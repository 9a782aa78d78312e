import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { netfilterProvider } from "@antenna/netfilter";
import {
  compile,
  type Decision,
  evaluate,
  type Installed,
  type PacketFilter,
  type Policy,
  planRemove,
  planSafe,
  systemClock,
} from "@antenna/sdk";
import { MemoryLogger } from "@antenna/sdk/testing";
import { aimedPacket } from "../meaning/aimed-packet.js";
import { CoverageTable } from "../meaning/coverage-table.js";
import { type Expectation, expectationOf, ownersPrefix, untouched } from "../meaning/expectation.js";
import { type Circumstances, essentialsOf, randomCircumstances } from "../meaning/pairs.js";
import { type PolicyProbe, policyProbe } from "../traffic/policy-probe.js";
import { answerable, describe, type Observation, sendAll } from "../traffic/probe.js";
import { refusalPacket } from "../traffic/refusal-packet.js";
import { Stand, subjectGroup } from "../traffic/stand.js";
import { randomPolicy, showPacket, showPolicy } from "../unit/arbitrary-policy.js";
import { Random, runSeed } from "../unit/random.js";

// The kernel means what the policy means: random policies applied by the real PacketFilter, and random packets sent for
// real into every stage, mode and family.

const cutMark = 0x10000000;
const leastInCell = 50;
const mostPolicies = 400;
const packetsEach = 60;
const candidatesEach = 500;

for (const backend of ["legacy", "nft"] as const) {
  test(`real packets on iptables-${backend} go as evaluate says`, async (context) => {
    const random = new Random(runSeed(`traffic on iptables-${backend}`));
    const stateDir = await mkdtemp(join(tmpdir(), "antenna-traffic-"));
    await using stand = await Stand.open(backend, cutMark);
    for (const family of [4, 6] as const) await stand.restore(family, ownersRules);
    const filter = await openFilter(stand, stateDir);
    try {
      const coverage = new CoverageTable();
      const run = new Run(random, stand, filter, coverage);
      while (
        run.policies < mostPolicies &&
        (run.policies < 30 || coverage.poor(leastInCell, specials).length > 0)
      ) {
        await run.onePolicy();
      }
      coverage.print(`iptables-${backend}: ${run.packets} packets under ${run.policies} policies`);
      context.diagnostic(`${run.packets} packets under ${run.policies} policies`);
      assert.equal(filter.describe().mechanism, `iptables-${backend}`);
      assert.deepEqual(coverage.poor(leastInCell, specials), []);
    } finally {
      await filter[Symbol.asyncDispose]();
      await rm(stateDir, { recursive: true });
    }
  });
}

const specials = [
  ...["invalid", "untracked", "cut", "reply", "reject", "own refusal", "settling", "onAllow accept"],
  ...["extension headers", "essential by original destination"],
];

const ownersRules = `*filter
-A INPUT -j NFLOG --nflog-group 4712 --nflog-prefix returned
-A OUTPUT -j NFLOG --nflog-group 4712 --nflog-prefix returned
COMMIT
`;

function openFilter(stand: Stand, stateDir: string): Promise<PacketFilter> {
  return netfilterProvider().open({
    namespace: stand.subject.path,
    ...{ stateDir, cutMark, nflogGroup: subjectGroup, nflogRate: 10_000 },
    ...{ clock: systemClock, logger: new MemoryLogger() },
  });
}

interface Candidate extends PolicyProbe {
  readonly decision: Decision;
  /** On the refusal that answers it, if one does. */
  readonly ofRefusal: Decision;
}

class Run {
  policies = 0;
  packets = 0;
  readonly #random: Random;
  readonly #stand: Stand;
  readonly #filter: PacketFilter;
  readonly #coverage: CoverageTable;
  #installed: Installed | null = null;
  #nextId = 1;

  constructor(random: Random, stand: Stand, filter: PacketFilter, coverage: CoverageTable) {
    this.#random = random;
    this.#stand = stand;
    this.#filter = filter;
    this.#coverage = coverage;
  }

  async onePolicy(): Promise<void> {
    const random = this.#random;
    const modes = ["full", "selective", "visibility", "idle"] as const;
    const mode = modes[this.policies % 8] ?? random.pick(["full", "selective", "visibility"] as const);
    const policy = randomPolicy(random, { modes: [mode], secure: 0.25 });
    const circumstances = { ...randomCircumstances(random), settling: this.policies % 8 === 7 };
    await this.#apply(policy, circumstances);
    const candidates = this.#choose(policy, circumstances);
    await this.#translate(candidates);
    const observations = await sendAll(
      this.#stand,
      candidates.map(({ probe }) => probe),
    );
    const problems = observations.flatMap((observation, index) => {
      const problem = this.#differs(candidates[index] as Candidate, circumstances, observation);
      return problem === null ? [] : [problem];
    });
    assert.equal(
      problems.length,
      0,
      `${problems.join("\n\n")}\n${showPolicy(policy)}\n${await this.#rules()}`,
    );
    for (const [index, { sighting }] of observations.entries()) {
      const candidate = candidates[index] as Candidate;
      this.#note(candidate, policy, circumstances);
      if (sighting.refusalPassed && candidate.ofRefusal.stage === "related") {
        this.#coverage.extra("own refusal");
        this.#coverage.note("related", policy.mode, candidate.packet.family);
      }
    }
    this.policies += 1;
    this.packets += observations.length;
  }

  async #apply(policy: Policy, circumstances: Circumstances): Promise<void> {
    const { settling, onAllow, costs } = circumstances;
    const essentials = essentialsOf(policy, circumstances);
    const program = compile(policy, { essentials, settling, onAllow, costs });
    if (program !== null) {
      const plan = planSafe(this.#installed, program, await this.#filter.instances());
      await this.#filter.execute(plan.commands);
      this.#installed = plan.installed;
    } else if (this.#installed !== null) {
      await this.#filter.execute(planRemove(this.#installed));
      this.#installed = null;
    }
  }

  /** Packets that the kernel can be shown, those first whose stage was seen least. */
  #choose(policy: Policy, circumstances: Circumstances): readonly Candidate[] {
    const essentials = essentialsOf(policy, circumstances);
    const taken = new Set<string>();
    const candidates: Candidate[] = [];
    for (let count = 0; count < candidatesEach; count++) {
      const asked = aimedPacket(this.#random, policy, essentials);
      const made = policyProbe(this.#random, asked, { id: this.#nextId, cutMark });
      if (made === null || clashes(made, taken)) continue;
      this.#nextId += 1;
      const given = { essentials, settling: circumstances.settling };
      const decision = evaluate(policy, made.packet, given);
      const ofRefusal = evaluate(policy, refusalPacket(made.packet), given);
      candidates.push({ ...made, decision, ofRefusal });
    }
    const wanted = (candidate: Candidate): number =>
      this.#coverage.count(candidate.decision.stage, policy.mode, candidate.packet.family) -
      (candidate.translation === null ? 0 : 1000);
    return candidates.sort((a, b) => wanted(a) - wanted(b)).slice(0, packetsEach);
  }

  async #translate(candidates: readonly Candidate[]): Promise<void> {
    for (const family of [4, 6] as const) {
      const rules = candidates
        .filter(({ packet, translation }) => packet.family === family && translation !== null)
        .map(({ translation }) => `-A OUTPUT ${translation}`);
      await this.#stand.restore(family, ["*nat", "-F OUTPUT", ...rules, "COMMIT", ""].join("\n"));
    }
  }

  #differs(candidate: Candidate, circumstances: Circumstances, observation: Observation): string | null {
    const { probe, sighting } = observation;
    const { decision, packet } = candidate;
    const expected: Expectation =
      this.#installed === null ? untouched : expectationOf(decision, packet, circumstances.onAllow);
    const certain = answerable(probe.packet);
    const refused = expected.verdict === "rejected";
    const wanted = {
      passed: expected.verdict === "accepted",
      told: expected.told,
      refused: refused && certain,
      refusalPassed: refused && certain && candidate.ofRefusal.verdict === "allowed",
    };
    const seen = {
      passed: sighting.passed,
      told: [...sighting.told, ...(sighting.returned ? [ownersPrefix] : [])],
      refused: refused && !certain ? false : sighting.refused,
      refusalPassed: refused && !certain ? false : sighting.refusalPassed,
    };
    if (JSON.stringify(seen) === JSON.stringify(wanted)) return null;
    return [
      `kernel   ${JSON.stringify(seen)}`,
      `expected ${JSON.stringify(wanted)}, ${JSON.stringify(decision)}`,
      showPacket(packet),
      describe(probe),
    ].join("\n");
  }

  #note(
    { packet, probe, decision, translation }: Candidate,
    policy: Policy,
    circumstances: Circumstances,
  ): void {
    const coverage = this.#coverage;
    coverage.note(decision.stage, policy.mode, packet.family);
    if (packet.state === "invalid" || packet.state === "untracked") coverage.extra(packet.state);
    if (packet.cut) coverage.extra("cut");
    if (packet.reply) coverage.extra("reply");
    if (probe.packet.laterFragment) coverage.extra("later fragment");
    if (decision.refusal === "reject") coverage.extra("reject");
    if (circumstances.settling) coverage.extra("settling");
    if (circumstances.onAllow === "accept" && decision.verdict === "allowed")
      coverage.extra("onAllow accept");
    if ((probe.frame.extensions ?? []).length > 0) coverage.extra("extension headers");
    if (translation !== null) coverage.extra("translated by the host");
    if (translation !== null && decision.stage === "essential")
      coverage.extra("essential by original destination");
  }

  async #rules(): Promise<string> {
    return `${await this.#stand.save(4, "filter")}${await this.#stand.save(6, "filter")}`;
  }
}

/** Two packets must not belong to one flow, unless the state of neither depends on it. */
function clashes({ packet, probe }: PolicyProbe, taken: Set<string>): boolean {
  const { source, destination, sourcePort, destinationPort, protocol } = packet;
  const ends = [`${source.join(".")}/${sourcePort}`, `${destination.join(".")}/${destinationPort}`].sort();
  const key = `${protocol} ${ends.join(" ")} ${packet.icmpType === null ? "" : probe.id}`;
  if (taken.has(key)) return true;
  taken.add(key);
  return false;
}
