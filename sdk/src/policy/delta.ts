import { AntennaError } from "../error.js";
import { formatWords, peerProblem, quote } from "./address.js";
import { AddressSet } from "./address-set.js";
import { type Blocks, compareBlocks, containsBlock, findContaining, seekBlock } from "./blocks.js";
import { policyDigest } from "./digest.js";
import { type PolicyRest, policyDocumentWithoutSets } from "./format.js";
import { policyLimits } from "./limits.js";
import type { Family, Policy, Version } from "./model.js";
import { compareNames } from "./normalise.js";
import { readPolicyValue } from "./parse.js";
import { nameProblem } from "./printable.js";
import { ProblemList } from "./problem-list.js";

/** Members to remove from a set, and then to add to it; members are blocks of its normal form. */
export interface SetDelta {
  readonly added: AddressSet;
  readonly removed: AddressSet;
}

/** How one policy becomes the next, at the cost of what differs. */
export interface PolicyDelta {
  /** Digest of the policy that it applies to, and to no other. */
  readonly base: string;
  readonly version: Version | null;
  /** By name; a name that the base does not have makes a new set. */
  readonly sets: ReadonlyMap<string, SetDelta>;
  /** Names of sets that go. */
  readonly removedSets: readonly string[];
  /** Everything else, whole; null: it stays as it is. */
  readonly rest: PolicyRest | null;
}

/**
 * The policy after the delta. It shares with `policy` whatever the delta leaves alone, and follows the same rules as one
 * that is read from a document.
 *
 * @throws AntennaError `input-refused` with every problem: another base, members to remove that are none, members to add
 * that are there or that no peer can be, rules that name a set that goes.
 */
export function applyDelta(policy: Policy, delta: PolicyDelta): Policy {
  const operation = "apply a policy delta";
  const digest = policyDigest(policy);
  if (delta.base !== digest) {
    const problem = `the delta applies to ${delta.base}, the policy in hand is ${digest}; ask for the whole policy`;
    const problems = [{ path: "base", problem }];
    throw new AntennaError({ code: "input-refused", operation, message: problem, problems });
  }
  const problems = new ProblemList();
  const sets = changeSets(policy, delta, problems);
  problems.throwIfAny(operation);
  const rest =
    delta.rest === null && delta.removedSets.length === 0
      ? policy
      : readPolicyValue(delta.rest ?? policyDocumentWithoutSets(policy), sets, operation);
  const { mode, visibility, reject, rules, enforce, identities } = rest;
  // A rest that says the same again is not new: what others keep by its identity stays good.
  const kept = delta.rest === null ? policy : { rules, enforce, identities };
  const next: Policy = {
    version: delta.version,
    mode,
    visibility,
    reject,
    sets,
    rules: kept.rules,
    enforce: kept.enforce,
    identities: kept.identities,
  };
  policyDigest(next, policy);
  return next;
}

/** The delta that makes `after` of `before`. */
export function policyDelta(before: Policy, after: Policy): PolicyDelta {
  const sets = new Map<string, SetDelta>();
  for (const [name, set] of after.sets) {
    const old = before.sets.get(name);
    const change = (old ?? AddressSet.empty).diff(set);
    if (old === undefined || change.added.size + change.removed.size > 0) sets.set(name, change);
  }
  const removedSets = Array.from(before.sets.keys()).filter((name) => !after.sets.has(name));
  return {
    base: policyDigest(before),
    version: after.version,
    sets,
    removedSets,
    rest: sharesRest(before, after) ? null : changedRest(before, after),
  };
}

/** What is shared is equal: a fleet's policies differ in sets most of the time, and their rules are long. */
function sharesRest(before: Policy, after: Policy): boolean {
  return (
    before.rules === after.rules &&
    before.enforce === after.enforce &&
    before.identities === after.identities &&
    before.mode === after.mode &&
    before.visibility === after.visibility &&
    before.reject === after.reject
  );
}

function changedRest(before: Policy, after: Policy): PolicyRest | null {
  const rest = policyDocumentWithoutSets(after);
  return JSON.stringify(policyDocumentWithoutSets(before)) === JSON.stringify(rest) ? null : rest;
}

function changeSets(
  policy: Policy,
  delta: PolicyDelta,
  problems: ProblemList,
): ReadonlyMap<string, AddressSet> {
  if (delta.sets.size === 0 && delta.removedSets.length === 0) return policy.sets;
  const sets = new Map(policy.sets);
  for (const name of delta.removedSets) {
    if (!sets.delete(name)) problems.add(`removedSets[${quote(name)}]`, "there is no such set");
  }
  for (const [name, change] of delta.sets) {
    const path = `sets[${quote(name)}]`;
    const old = sets.get(name);
    if (old === undefined) {
      const problem = name === "any" ? "is built in" : nameProblem(name, policyLimits.nameBytes);
      if (problem !== null) problems.add(path, `the name of a set ${problem}`);
    }
    sets.set(name, changeSet(old ?? AddressSet.empty, change, path, problems));
  }
  const isNew = Array.from(delta.sets.keys()).some((name) => !policy.sets.has(name));
  return isNew ? new Map(Array.from(sets).sort(([a], [b]) => compareNames(a, b))) : sets;
}

/** Every member named must move: a delta that half applies was made against something else. */
function changeSet(
  set: AddressSet,
  { added, removed }: SetDelta,
  path: string,
  problems: ProblemList,
): AddressSet {
  const kept = set.with(AddressSet.empty, removed);
  for (const family of [4, 6] as const) {
    checkRemoved(set.blocks(family), removed.blocks(family), family, `${path}.removed`, problems);
    checkAdded(kept.blocks(family), added.blocks(family), family, `${path}.added`, problems);
  }
  return kept.with(added, AddressSet.empty);
}

function checkRemoved(
  members: Blocks,
  removed: Blocks,
  family: Family,
  path: string,
  problems: ProblemList,
): void {
  for (let i = 0; i < removed.prefix.length; i++) {
    const at = seekBlock(members, 0, removed, i);
    if (at < members.prefix.length && compareBlocks(members, at, removed, i) === 0) continue;
    problems.add(path, `${formatMember(family, removed, i)} is not a member`);
  }
}

function checkAdded(kept: Blocks, added: Blocks, family: Family, path: string, problems: ProblemList): void {
  const { address, prefix, width } = added;
  for (let i = 0; i < prefix.length; i++) {
    const words = address.subarray(i * width, (i + 1) * width);
    const problem = peerProblem(family, words, prefix[i] as number) ?? standsInTheWay(kept, added, i, family);
    if (problem !== null) problems.add(path, `${formatMember(family, added, i)} ${problem}`);
  }
}

/** Why a block cannot become a member beside those there are; null: it can. */
function standsInTheWay(kept: Blocks, added: Blocks, index: number, family: Family): string | null {
  if (findContaining(kept, added, index) >= 0) return "is a member already, or lies in one";
  const next = seekBlock(kept, 0, added, index);
  if (next >= kept.prefix.length || !containsBlock(added, index, kept, next)) return null;
  return `swallows the member ${formatMember(family, kept, next)}, which is not removed`;
}

function formatMember(family: Family, { address, prefix, width }: Blocks, index: number): string {
  return formatWords(family, address, index * width, prefix[index] as number);
}
