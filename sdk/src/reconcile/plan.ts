import { createHash } from "node:crypto";
import { AddressSet } from "../policy/address-set.js";
import type { Family } from "../policy/model.js";
import type { ProgramSet, RuleProgram, SetKey } from "../program/program.js";
import {
  addressesOf,
  changeOf,
  countMembers,
  holdsOnlyHosts,
  type SetChange,
} from "../program/set-change.js";
import { askedTogether, type SetUse, setUses } from "../program/set-use.js";
import type { Command, Installed, Plan, SetInstance } from "./command.js";

const families: readonly Family[] = [4, 6];

/**
 * From what is installed to the next program, so that on the way no packet gets a third verdict: after every command, and
 * in the midst of one that writes members, its verdict is that of the old program or that of the new one.
 *
 * Three facts carry this. Rules of a family are switched in one transaction, and a packet has one family. A set that no
 * rule names may be filled at leisure. Members may be changed in place, under the same rules, where no packet sees more
 * than one of the changes, or all that it sees push its verdict the same way; everything else moves to sets of new names
 * that the switch brings in together (docs/decisions/safe-apply.md).
 *
 * @param installed null: nothing of ours stands, or nothing that may be built on.
 * @param live Names of instances that exist, whoever made them: new ones avoid these.
 */
export function planSafe(installed: Installed | null, next: RuleProgram, live: ReadonlySet<string>): Plan {
  return planChanges(installed, next, live, installed === null ? [] : changedSets(installed, next));
}

/**
 * From sets whose members somebody changed back to those that are meant, in the same way: on the way no packet's verdict is
 * another than under what was found or under what is meant. The rules must stand as they were written.
 *
 * @param corrections What every set that differs lacks, and what it has too much.
 */
export function planRepair(
  installed: Installed,
  corrections: ReadonlyMap<SetKey, SetChange>,
  live: ReadonlySet<string>,
): Plan {
  return planChanges(installed, installed.program, live, correctedSets(installed, corrections));
}

function planChanges(
  installed: Installed | null,
  next: RuleProgram,
  live: ReadonlySet<string>,
  changes: readonly ChangedSet[],
): Plan {
  const sameRules = installed?.program.rulesDigest === next.rulesDigest;
  const inPlace = new Set(sameRules ? changesInPlace(changes) : []);

  const names = new Set([
    ...live,
    ...[...(installed?.instances.values() ?? [])].map((instance) => instance.name),
  ]);
  const moved = new Set(changes.filter((change) => !inPlace.has(change)).map((change) => change.key));
  const instances = new Map<SetKey, SetInstance>();
  const created: Command[] = [];
  for (const [key, content] of next.sets) {
    const standing = installed?.instances.get(key);
    if (standing !== undefined && standing.kind === content.kind && !moved.has(key)) {
      instances.set(key, standing);
      continue;
    }
    const instance = newInstance(key, content, standing, names);
    names.add(instance.name);
    instances.set(key, instance);
    created.push({ kind: "create-set", instance, content });
  }
  const result: Installed = { program: next, instances };

  const switched = installed === null || !sameRules || created.length > 0;
  const kept = new Set(instances.values());
  return {
    commands: [
      ...created,
      ...[...inPlace].flatMap(addCommand),
      ...[...inPlace].flatMap(deleteCommand),
      ...(switched
        ? families.map((family): Command => ({ kind: "switch-rules", family, installed: result }))
        : []),
      ...[...(installed?.instances.values() ?? [])]
        .filter((instance) => !kept.has(instance))
        .map((instance): Command => ({ kind: "destroy-set", instance })),
    ],
    installed: result,
    narrows: next.drops && (!sameRules || installed === null || changes.some((change) => change.narrows)),
  };
}

/** Takes everything away, the rules first: from then on nothing is denied. */
export function planRemove(installed: Installed): readonly Command[] {
  return [
    ...families.map((family): Command => ({ kind: "remove-rules", family })),
    ...[...installed.instances.values()].map((instance): Command => ({ kind: "destroy-set", instance })),
  ];
}

/** A set whose members differ between what is installed and what comes next. */
interface ChangedSet {
  readonly key: SetKey;
  readonly instance: SetInstance;
  /** Members that it holds before the change. */
  readonly held: Readonly<Record<Family, number>>;
  readonly change: SetChange;
  readonly use: SetUse;
  /** Some packet that passed may be denied after it. */
  readonly narrows: boolean;
}

function changedSets(installed: Installed, next: RuleProgram): readonly ChangedSet[] {
  const uses = setUses(next);
  const changed: ChangedSet[] = [];
  for (const [key, instance] of installed.instances) {
    const [before, after] = [installed.program.sets.get(key), next.sets.get(key)];
    if (before === undefined || after === undefined || before.kind !== after.kind) continue;
    const change = changeOf(before, after);
    if (change === null) continue;
    const held = eachFamily((family) => countMembers(before, family));
    changed.push(changedSet({ key, instance, held, change }, uses));
  }
  return changed;
}

function correctedSets(
  installed: Installed,
  corrections: ReadonlyMap<SetKey, SetChange>,
): readonly ChangedSet[] {
  const uses = setUses(installed.program);
  const changed: ChangedSet[] = [];
  for (const [key, change] of corrections) {
    const [instance, meant] = [installed.instances.get(key), installed.program.sets.get(key)];
    if (instance === undefined || meant === undefined) continue;
    const held = eachFamily(
      (family) =>
        countMembers(meant, family) -
        countMembers(change.added, family) +
        countMembers(change.removed, family),
    );
    changed.push(changedSet({ key, instance, held, change }, uses));
  }
  return changed;
}

function changedSet(
  set: Pick<ChangedSet, "key" | "instance" | "held" | "change">,
  uses: ReadonlyMap<SetKey, SetUse>,
): ChangedSet {
  const use = uses.get(set.key) ?? { leaning: "either", places: [] };
  const [more, fewer] = [!isEmpty(set.change.added), !isEmpty(set.change.removed)];
  return { ...set, use, narrows: use.leaning === "either" || (use.leaning === "allows" ? fewer : more) };
}

/** The changes that may be made to the sets as they stand, under the same rules. */
function changesInPlace(changes: readonly ChangedSet[]): readonly ChangedSet[] {
  const conflicting = conflicts(changes);
  return changes.filter((change) => fits(change) && !conflicting.has(change));
}

/** Additions come first, so that there is room for the old and the new members together; one more for a /0 in two halves. */
function fits({ instance, held, change }: ChangedSet): boolean {
  return families.every((family) => {
    const room = instance.capacity[family] - held[family] - countMembers(change.added, family);
    if (replacesHalves(change, family)) return false;
    return room >= 2 && (instance.shapes[family] === "blocks" || holdsOnlyHosts(change.added, family));
  });
}

/** A /0 stands as its two halves. Each may be a member by itself, which cannot go while the other way of saying it comes. */
function replacesHalves(change: SetChange, family: Family): boolean {
  const [added, removed] = [addressesOf(change.added), addressesOf(change.removed)];
  if (!added.coversFamily(family) && !removed.coversFamily(family)) return false;
  return added.hasFamily(family) && removed.hasFamily(family);
}

/** More changed sets than this are not compared one with another. */
const mostCompared = 64;

/** Changes that would show some packet a mixture: with another one they meet in an address, and pull different ways. */
function conflicts(changes: readonly ChangedSet[]): ReadonlySet<ChangedSet> {
  const conflicting = new Set<ChangedSet>();
  if (changes.length < 2) return conflicting;
  const pushes = changes.map((change) => ({ change, ...pushOf(change) }));
  const towards = (side: "allowed" | "denied"): AddressSet =>
    AddressSet.empty.union(...pushes.map((push) => push[side]));
  if (!towards("allowed").overlaps(towards("denied"))) return conflicting;
  if (changes.length > mostCompared) return new Set(changes);
  for (const [index, a] of pushes.entries()) {
    for (const b of pushes.slice(index + 1)) {
      const apart = !a.allowed.overlaps(b.denied) && !a.denied.overlaps(b.allowed);
      if (apart || !askedTogether(a.change.use, b.change.use)) continue;
      conflicting.add(a.change).add(b.change);
    }
  }
  return conflicting;
}

/** Which addresses a change pushes towards which verdict; of unknown leaning, both ways. */
function pushOf({ change, use }: ChangedSet): { readonly allowed: AddressSet; readonly denied: AddressSet } {
  const [added, removed] = [addressesOf(change.added), addressesOf(change.removed)];
  if (use.leaning === "allows") return { allowed: added, denied: removed };
  if (use.leaning === "denies") return { allowed: removed, denied: added };
  const both = added.union(removed);
  return { allowed: both, denied: both };
}

function addCommand({ instance, change }: ChangedSet): readonly Command[] {
  return isEmpty(change.added) ? [] : [{ kind: "add-members", instance, members: change.added }];
}

function deleteCommand({ instance, change }: ChangedSet): readonly Command[] {
  return isEmpty(change.removed) ? [] : [{ kind: "delete-members", instance, members: change.removed }];
}

function isEmpty(set: ProgramSet): boolean {
  return families.every((family) => countMembers(set, family) === 0);
}

function newInstance(
  key: SetKey,
  content: ProgramSet,
  standing: SetInstance | undefined,
  taken: ReadonlySet<string>,
): SetInstance {
  return {
    key,
    name: freeName(key, standing, taken),
    kind: content.kind,
    shapes: eachFamily((family) => (holdsOnlyHosts(content, family) ? "hosts" : "blocks")),
    capacity: eachFamily((family) => capacityFor(countMembers(content, family))),
  };
}

function eachFamily<T>(make: (family: Family) => T): Readonly<Record<Family, T>> {
  return { 4: make(4), 6: make(6) };
}

/** Room to grow in place to the double at least. */
function capacityFor(members: number): number {
  return Math.max(65_536, 2 ** Math.ceil(Math.log2(Math.max(1, members * 2))));
}

const mostGenerations = 10_000_000;

/** `ant-`, 60 bits of the key's hash, and a generation: 24 characters at most. */
function freeName(key: SetKey, standing: SetInstance | undefined, taken: ReadonlySet<string>): string {
  const stem = `ant-${base32(createHash("sha256").update(key).digest(), 12)}-`;
  let generation = standing?.name.startsWith(stem) ? Number(standing.name.slice(stem.length)) + 1 : 0;
  while (taken.has(`${stem}${generation % mostGenerations}`)) generation++;
  return `${stem}${generation % mostGenerations}`;
}

/** 5 bits of a byte for each character. */
function base32(bytes: Uint8Array, length: number): string {
  return Array.from(bytes.subarray(0, length), (byte) => "abcdefghijklmnopqrstuvwxyz234567"[byte & 31]).join(
    "",
  );
}
