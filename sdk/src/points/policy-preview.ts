import type { PreviewedCut, PreviewReport } from "../agent-calls.js";
import type { Essential } from "../evaluate/essential.js";
import { evaluate } from "../evaluate/evaluate.js";
import { formatAddress } from "../policy/address.js";
import { AddressSet } from "../policy/address-set.js";
import type { Policy, Rule } from "../policy/model.js";
import { protocolName } from "../policy/protocol.js";
import { formatVersion } from "../policy/version.js";
import { predictCost } from "../program/cost.js";
import { decide } from "../program/decide.js";
import type { CutPreview, Judge } from "../reconcile/flow-judge.js";
import type { PolicyPrograms } from "./policy-programs.js";

/**
 * What a policy would change and cut.
 *
 * @param cuts which tracked flows a judge would cut.
 */
export async function previewPolicy(
  now: Policy | null,
  candidate: Policy,
  programs: PolicyPrograms,
  cuts: (judge: Judge) => Promise<{ readonly flows: number; readonly examples: readonly CutPreview[] }>,
): Promise<PreviewReport> {
  const program = programs.compile(candidate, false);
  const { flows, examples } =
    program === null ? { flows: 0, examples: [] } : await cuts((packet) => decide(program, packet));
  const essentials = now === null ? [] : programs.essentials(now);
  return {
    ...comparePolicies(now, candidate),
    cuts: {
      flows,
      complete: true,
      examples: examples.map((example) => describeCut(example, now, essentials)),
    },
    cost: predictCost(program),
  };
}

/** What differs between two policies, by name; `from` null: there is none yet. */
export function comparePolicies(
  from: Policy | null,
  to: Policy,
): Pick<PreviewReport, "from" | "to" | "sets" | "rules"> {
  return {
    from: from?.version == null ? null : formatVersion(from.version),
    to: to.version === null ? "" : formatVersion(to.version),
    sets: compareSets(from?.sets ?? new Map(), to.sets),
    rules: compareRules(from?.rules ?? [], to.rules),
  };
}

/** A flow that would be cut, with the rule that lets it pass under `policy`. */
function describeCut(
  { flow, packet }: CutPreview,
  policy: Policy | null,
  essentials: readonly Essential[],
): PreviewedCut {
  return {
    source: formatAddress(packet.source),
    sourcePort: packet.sourcePort,
    destination: formatAddress(packet.destination),
    protocol: protocolName(flow.protocol),
    port: packet.destinationPort,
    direction: packet.direction,
    rule: policy === null ? null : evaluate(policy, packet, { essentials }).rule,
  };
}

function compareSets(from: Policy["sets"], to: Policy["sets"]): PreviewReport["sets"] {
  const changes: Record<string, { added: number; removed: number }> = Object.create(null);
  for (const name of new Set([...from.keys(), ...to.keys()])) {
    const { added, removed } = (from.get(name) ?? AddressSet.empty).diff(to.get(name) ?? AddressSet.empty);
    if (added.size > 0 || removed.size > 0) changes[name] = { added: added.size, removed: removed.size };
  }
  return changes;
}

function compareRules(from: readonly Rule[], to: readonly Rule[]): PreviewReport["rules"] {
  const before = new Map(from.map((rule) => [rule.id, JSON.stringify(rule)]));
  const after = new Map(to.map((rule) => [rule.id, JSON.stringify(rule)]));
  return {
    added: [...after.keys()].filter((id) => !before.has(id)),
    removed: [...before.keys()].filter((id) => !after.has(id)),
    changed: [...after].filter(([id, text]) => before.has(id) && before.get(id) !== text).map(([id]) => id),
  };
}
