import assert from "node:assert/strict";
import { test } from "node:test";
import { parseSets } from "../tracer/kernel-set.js";
import type { Match } from "../tracer/match.js";
import { parseRuleset, type Ruleset } from "../tracer/ruleset.js";
import { trace } from "../tracer/trace.js";
import { answerable, describe, type Observation, sendAll } from "../traffic/probe.js";
import { randomProbe } from "../traffic/random-probe.js";
import { clearRules, randomRules, setNames } from "../traffic/random-rules.js";
import { type Backend, Stand } from "../traffic/stand.js";
import { Random, runSeed } from "../unit/random.js";

// The tracer against the kernel: random rules with every match and target it knows, and random packets sent for real.

const cutMark = 0x10000000;
const leastRulesets = 25;
const mostRulesets = 200;
const packetsEach = 60;
const leastHits = 5;

/** Nothing arrives protected, a limit never runs dry here, and a set of pairs asked for one side holds nothing. */
const exempt = /^(policy|limit|(! )?set .*pairs src$)/;

/** How often a kind of condition was looked at, and how it came out. */
class Coverage {
  readonly #counts = new Map<string, { held: number; failed: number }>();

  note(kind: string, held: boolean): void {
    const count = this.#counts.get(kind) ?? { held: 0, failed: 0 };
    this.#counts.set(kind, count);
    if (held) count.held += 1;
    else count.failed += 1;
  }

  print(title: string): void {
    const rows = [...this.#counts].sort(([a], [b]) => (a < b ? -1 : 1));
    console.log(`${title}: how often each match held and failed`);
    for (const [kind, { held, failed }] of rows) console.log(`  ${kind.padEnd(44)} ${held} ${failed}`);
  }

  poor(exempt: RegExp): readonly string[] {
    return [...this.#counts]
      .filter(([kind, { held, failed }]) => !exempt.test(kind) && Math.min(held, failed) < leastHits)
      .map(([kind]) => kind);
  }
}

for (const backend of ["legacy", "nft"] as const) {
  test(`the tracer says of every packet what iptables-${backend} does`, async (context) => {
    const seed = runSeed(`tracer against iptables-${backend}`);
    const random = new Random(seed);
    await using stand = await Stand.open(backend, cutMark);
    const coverage = new Coverage();
    let packets = 0;
    for (let index = 0; index < mostRulesets; index++) {
      for (const family of [4, 6] as const) {
        packets += await compare(stand, random, family, `t${family}-${index}`, coverage);
      }
      if (index >= leastRulesets && coverage.poor(exempt).length === 0) break;
    }
    coverage.print(`iptables-${backend}, ${packets} packets`);
    context.diagnostic(`${packets} packets compared`);
    assert.deepEqual(coverage.poor(exempt), []);
  });
}

async function compare(
  stand: Stand,
  random: Random,
  family: 4 | 6,
  marker: string,
  coverage: Coverage,
): Promise<number> {
  const { sets, rules } = randomRules(random, family, marker);
  await stand.subject.exec("/usr/sbin/ipset", ["restore"], sets);
  await stand.restore(family, rules);
  const ruleset = parseRuleset(rules, family);
  const known = parseSets(sets);
  assertSaved(await stand.save(family, "filter"), ruleset, stand.backend);
  await stand.passLoopback(family);
  const probes = Array.from({ length: packetsEach }, (_, index) =>
    randomProbe(random, {
      id: Number(marker.slice(3)) * packetsEach + index,
      family,
      mark: cutMark,
      nft: stand.backend === "nft",
    }),
  ).filter((probe) => probe !== null);
  const observations = await sendAll(stand, probes);
  const wrong = observations.flatMap((observation) => {
    const problem = differs(ruleset, known, observation);
    return problem === null ? [] : [`${problem}\n${describe(observation.probe)}`];
  });
  assert.equal(wrong.length, 0, `${wrong.join("\n\n")}\n${sets}${rules}`);
  const onMatch = (match: Match, held: boolean): void => coverage.note(kindOf(match), held);
  for (const { probe } of observations) trace(ruleset, known, probe.packet, { onMatch });
  await stand.restore(family, clearRules(marker));
  for (const name of setNames(marker)) await stand.subject.exec("/usr/sbin/ipset", ["destroy", name]);
  return observations.length;
}

function differs(
  ruleset: Ruleset,
  sets: ReturnType<typeof parseSets>,
  observation: Observation,
): string | null {
  const { probe, sighting } = observation;
  const traced = trace(ruleset, sets, probe.packet);
  const told = traced.told.filter((prefix) => prefix !== "returned");
  const answered = traced.verdict === "rejected" && answerable(probe.packet);
  const expected = {
    passed: traced.verdict === "accepted",
    returned: traced.told.includes("returned"),
    told,
    refused: answered,
  };
  const seen = {
    passed: sighting.passed,
    returned: sighting.returned,
    told: [...sighting.told],
    // A refusal that may be held back (an ICMP error about an ICMP error) is not looked at.
    refused: traced.verdict === "rejected" && !answered ? false : sighting.refused,
  };
  try {
    assert.deepEqual(seen, expected);
    return null;
  } catch {
    return `kernel ${JSON.stringify(seen)}, tracer ${JSON.stringify(expected)}, path ${traced.path.join(" ")}`;
  }
}

/** What iptables-save prints is read by the tracer as the same rules. */
function assertSaved(saved: string, ruleset: Ruleset, backend: Backend): void {
  const own = saved.split("\n").filter((line) => !line.startsWith("#"));
  const again = parseRuleset(own.join("\n"), ruleset.family);
  for (const [name, chain] of ruleset.chains) {
    const rules = again.chains.get(name)?.rules ?? [];
    assert.equal(rules.length, chain.rules.length, `${backend}: ${name}`);
  }
}

function kindOf(match: Match): string {
  const not = "negated" in match && match.negated ? "! " : "";
  switch (match.kind) {
    case "set":
      return `${not}set ${match.name.replace(/^t\d-\d+-/, "")} ${match.sides.join(",")}`;
    case "ports":
      return `${not}ports ${match.side}`;
    case "conntrack":
      return [
        "conntrack",
        match.states === null ? "" : "--ctstate",
        match.direction === null ? "" : `--ctdir ${match.direction}`,
        match.originalDestination === null ? "" : "--ctorigdst",
        match.originalDestinationPort === null ? "" : "--ctorigdstport",
        match.status === null ? "" : "--ctstatus",
      ]
        .filter((word) => word !== "")
        .join(" ");
    case "hop-limit":
      return `${not}hop-limit ${match.relation}`;
    default:
      return `${not}${match.kind}`;
  }
}
