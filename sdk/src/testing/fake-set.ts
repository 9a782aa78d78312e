import { AddressSet } from "../policy/address-set.js";
import type { Family } from "../policy/model.js";
import type { PairPart, ProgramSet } from "../program/program.js";
import type { SetChange } from "../program/set-change.js";
import type { SetInstance } from "../reconcile/command.js";

/** Why a kernel would refuse a change of members, in its words. */
export class SetRefusal extends Error {}

/** Differing members that can be told. */
const mostCorrected = 1_000;

/** A set as a kernel holds it: entries one by one, of a fixed shape and capacity. */
export class FakeSet {
  readonly instance: SetInstance;
  readonly #entries = new Set<string>();
  #content: ProgramSet | null = null;

  constructor(instance: SetInstance) {
    this.instance = instance;
  }

  get size(): number {
    return this.#entries.size;
  }

  add(members: ProgramSet): void {
    this.#check(members);
    for (const entry of entriesOf(members)) {
      if (this.#entries.has(entry))
        throw new SetRefusal(`Element cannot be added to the set: it's already added (${entry})`);
      const family = familyOf(entry);
      if (this.#count(family) >= this.instance.capacity[family])
        throw new SetRefusal("Hash is full, cannot add more elements");
      this.#put(entry);
    }
  }

  delete(members: ProgramSet): void {
    this.#check(members);
    for (const entry of entriesOf(members)) {
      if (!this.#entries.has(entry))
        throw new SetRefusal(`Element cannot be deleted from the set: it's not added (${entry})`);
      this.drop(entry);
    }
  }

  /** Entries as texts, like `10.0.0.1/32` and `10.0.0.1/32,6:80`. */
  entries(): readonly string[] {
    return [...this.#entries].sort();
  }

  /** A foreign hand adds an entry. */
  put(entry: string): void {
    this.#put(entry);
  }

  /** A foreign hand takes an entry out. */
  drop(entry: string): void {
    this.#entries.delete(entry);
    this.#counts[familyOf(entry)] -= 1;
    this.#content = null;
  }

  /** True when it holds exactly these members. */
  holds(content: ProgramSet): boolean {
    if (content.kind !== this.instance.kind) return false;
    let count = 0;
    for (const entry of entriesOf(content)) {
      if (!this.#entries.has(entry)) return false;
      count += 1;
    }
    return count === this.#entries.size;
  }

  /** What it holds now, in the form that a program uses. */
  content(): ProgramSet {
    this.#content ??= contentOf(this.instance.kind, this.#entries);
    return this.#content;
  }

  /** What to add and to delete so that it holds exactly `content`; null: too much, or it cannot be said. */
  correction(content: ProgramSet): SetChange | null {
    const { kind } = this.instance;
    if (content.kind !== kind) return null;
    const meant = new Set(entriesOf(content));
    const missing = [...meant].filter((entry) => !this.#entries.has(entry));
    const extra = [...this.#entries].filter((entry) => !meant.has(entry));
    if (missing.length + extra.length > mostCorrected) return null;
    const change = { added: contentOf(kind, missing), removed: contentOf(kind, extra) };
    // Normal form swallows a block within another.
    return [...entriesOf(change.removed)].length === extra.length ? change : null;
  }

  readonly #counts: Record<Family, number> = { 4: 0, 6: 0 };

  #count(family: Family): number {
    return this.#counts[family];
  }

  #put(entry: string): void {
    this.#entries.add(entry);
    this.#counts[familyOf(entry)] += 1;
    this.#content = null;
  }

  #check(members: ProgramSet): void {
    if (members.kind !== this.instance.kind)
      throw new SetRefusal(`a set of ${this.instance.kind} takes no ${members.kind}`);
    for (const set of members.kind === "peers"
      ? [members.members]
      : members.parts.map((part) => part.members)) {
      for (const family of [4, 6] as const) {
        const whole = family === 4 ? 32 : 128;
        if (
          this.instance.shapes[family] === "hosts" &&
          set.prefixLengths(family).some((length) => length !== whole)
        ) {
          throw new SetRefusal("The prefix is not supported by a set of whole addresses");
        }
      }
    }
  }
}

function contentOf(kind: ProgramSet["kind"], entries: Iterable<string>): ProgramSet {
  if (kind === "peers") return { kind, members: AddressSet.from(entries) };
  const byService = new Map<string, string[]>();
  for (const entry of entries) {
    const [address = "", service = ""] = entry.split(",");
    const list = byService.get(service) ?? [];
    list.push(address);
    byService.set(service, list);
  }
  const parts: PairPart[] = [...byService].map(([service, addresses]) => {
    const [protocol = 0, port = 0] = service.split(":").map(Number);
    return { members: AddressSet.from(addresses), protocol, ports: [port] };
  });
  return { kind, parts };
}

function* entriesOf(content: ProgramSet): Iterable<string> {
  if (content.kind === "peers") {
    yield* content.members.strings();
    return;
  }
  for (const part of content.parts) {
    for (const port of part.ports) {
      for (const address of part.members.strings()) yield `${address},${part.protocol}:${port}`;
    }
  }
}

function familyOf(entry: string): Family {
  const address = entry.split(",")[0] ?? "";
  return address.includes(":") ? 6 : 4;
}
