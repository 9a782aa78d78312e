import { AddressSet } from "../policy/address-set.js";
import type { Family } from "../policy/model.js";
import type { PairPart, ProgramSet } from "./program.js";

/** What to add to a set and to remove from it. */
export interface SetChange {
  readonly added: ProgramSet;
  readonly removed: ProgramSet;
}

/** From one content to the other, of the same kind; null: there is nothing to change. */
export function changeOf(from: ProgramSet, to: ProgramSet): SetChange | null {
  if (from === to) return null;
  if (from.kind === "peers" && to.kind === "peers") {
    if (from.members === to.members) return null;
    const { added, removed } = from.members.diff(to.members);
    if (added.size + removed.size === 0) return null;
    return { added: { kind: "peers", members: added }, removed: { kind: "peers", members: removed } };
  }
  if (from.kind === "pairs" && to.kind === "pairs") return changeOfPairs(from.parts, to.parts);
  throw new TypeError("a set of peers cannot become a set of pairs");
}

/** True when there is nothing to add and nothing to remove. */
export function isNoChange({ added, removed }: SetChange): boolean {
  return [added, removed].every((set) => memberSets(set).every((members) => members.size === 0));
}

/** Members in the kernel: of pairs, every member with every port. */
export function countMembers(set: ProgramSet, family: Family): number {
  const count = (members: AddressSet): number => (family === 4 ? members.size4 : members.size6);
  if (set.kind === "peers") return count(set.members);
  return set.parts.reduce((sum, part) => sum + count(part.members) * part.ports.length, 0);
}

/** True when no member of the family is a block of several addresses. */
export function holdsOnlyHosts(set: ProgramSet, family: Family): boolean {
  const full = family === 4 ? 32 : 128;
  return memberSets(set).every((members) => members.blocks(family).prefix.every((prefix) => prefix === full));
}

/** Every address that a set knows, whatever the port. */
export function addressesOf(set: ProgramSet): AddressSet {
  const [first = AddressSet.empty, ...others] = memberSets(set);
  return others.length === 0 ? first : first.union(...others);
}

function memberSets(set: ProgramSet): readonly AddressSet[] {
  return set.kind === "peers" ? [set.members] : [...new Set(set.parts.map((part) => part.members))];
}

/** Port by port; ports whose members change alike are told together. */
function changeOfPairs(from: readonly PairPart[], to: readonly PairPart[]): SetChange | null {
  const [before, after] = [byPort(from), byPort(to)];
  const added = new Parts();
  const removed = new Parts();
  const diffs = new Map<AddressSet, Map<AddressSet, ReturnType<AddressSet["diff"]>>>();
  for (const [key, old] of before) {
    const now = after.get(key) ?? nobodyAt(old);
    if (now.members === old.members) continue;
    let known = diffs.get(old.members);
    if (known === undefined) {
      known = new Map();
      diffs.set(old.members, known);
    }
    const diff = known.get(now.members) ?? old.members.diff(now.members);
    known.set(now.members, diff);
    added.put(diff.added, old);
    removed.put(diff.removed, old);
  }
  for (const [key, now] of after) if (!before.has(key)) added.put(now.members, now);
  if (added.parts.length + removed.parts.length === 0) return null;
  return { added: { kind: "pairs", parts: added.parts }, removed: { kind: "pairs", parts: removed.parts } };
}

interface AtPort {
  readonly members: AddressSet;
  readonly protocol: number;
  readonly port: number;
}

function nobodyAt({ protocol, port }: AtPort): AtPort {
  return { members: AddressSet.empty, protocol, port };
}

function byPort(parts: readonly PairPart[]): ReadonlyMap<number, AtPort> {
  const ports = new Map<number, AtPort>();
  for (const { members, protocol, ports: each } of parts) {
    for (const port of each) ports.set(protocol * 0x1_0000 + port, { members, protocol, port });
  }
  return ports;
}

/** Collects ports into parts: one for the same members and protocol. */
class Parts {
  readonly #ports = new Map<AddressSet, Map<number, number[]>>();

  put(members: AddressSet, { protocol, port }: AtPort): void {
    if (members.size === 0) return;
    const protocols = this.#ports.get(members) ?? new Map<number, number[]>();
    this.#ports.set(members, protocols);
    const ports = protocols.get(protocol);
    if (ports === undefined) protocols.set(protocol, [port]);
    else ports.push(port);
  }

  get parts(): readonly PairPart[] {
    return [...this.#ports].flatMap(([members, protocols]) =>
      [...protocols].map(([protocol, ports]) => ({ members, protocol, ports: ports.sort((a, b) => a - b) })),
    );
  }
}
