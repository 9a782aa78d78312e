import { AntennaError } from "../error.js";
import type { Decision, Packet } from "../evaluate/packet.js";
import type { Family } from "../policy/model.js";
import type { TrackedFlow, VerifyScope } from "../ports.js";
import { decide } from "../program/decide.js";
import type { ProgramSet, SetKey } from "../program/program.js";
import type { Command, Installed } from "../reconcile/command.js";
import { flowPacket } from "../reconcile/flow-packet.js";
import { FakeConnections } from "./fake-connections.js";
import { FakeSet, SetRefusal } from "./fake-set.js";

const families: readonly Family[] = [4, 6];

/** Our rules of one family, as they stand. */
interface FakeRules {
  readonly installed: Installed;
  /** False: somebody's rule stands before our jump, and lets everything in. */
  readonly first: boolean;
  /** False: somebody changed a rule of ours into one that lets everything in. */
  readonly intact: boolean;
}

/** Somebody else's write. `scope`: what has to be read to see it. */
export interface ForeignChange {
  readonly scope: VerifyScope;
  readonly what: string;
}

/**
 * A kernel with sets, rules and connection tracking, that refuses what a real one refuses. It outlives the filters
 * that write to it: a second filter on the same kernel is a restart of the agent.
 */
export class FakeKernel {
  readonly connections = new FakeConnections();
  readonly #sets = new Map<string, FakeSet>();
  readonly #rules: Record<Family, FakeRules | null> = { 4: null, 6: null };
  readonly #watchers = new Set<(change: ForeignChange) => void>();
  /** Every command that was executed. */
  readonly history: Command[] = [];
  /** Called after every command that was executed: the moments at which packets see a state. */
  afterCommand: (command: Command) => void = () => {};
  #failing: ((command: Command, index: number) => string | null) | null = null;
  #attempts = 0;

  /** From now on asks `refuse` before every command; a text is the kernel's refusal. The index counts from 0. */
  refuseWhen(refuse: ((command: Command, index: number) => string | null) | null): void {
    this.#failing = refuse;
    this.#attempts = 0;
  }

  /** The n-th command from now on (from 0) is refused, once. */
  refuseCommand(n: number, words = "Resource temporarily unavailable"): void {
    this.refuseWhen((_command, index) => (index === n ? words : null));
  }

  /** Executes one command, or throws `kernel-refused`. */
  execute(command: Command): void {
    const words = this.#failing?.(command, this.#attempts++) ?? this.#objection(command);
    if (words !== null) throw refused(command, words);
    this.#perform(command);
    this.history.push(command);
    this.afterCommand(command);
  }

  get setNames(): ReadonlySet<string> {
    return new Set(this.#sets.keys());
  }

  set(name: string): FakeSet | null {
    return this.#sets.get(name) ?? null;
  }

  rules(family: Family): FakeRules | null {
    return this.#rules[family];
  }

  /** What happens to this packet now. */
  decide(packet: Packet): Decision {
    const rules = this.#rules[packet.family];
    if (rules === null || !rules.first || !rules.intact) return unfiltered;
    return decide(rules.installed.program, packet, this.#members(rules.installed));
  }

  /** What happens now to a packet of this flow, which is established; with the mark it carries. */
  passes(flow: TrackedFlow): boolean {
    const packet = flowPacket(flow, (asked) => this.connections.isInbound(asked));
    if (packet === null) return true;
    return this.decide({ ...packet, state: "established", cut: flow.cut }).verdict !== "blocked";
  }

  // ---- the foreign hand ----

  flushRules(family: Family): void {
    this.#rules[family] = null;
    this.#tell({ scope: "rules", what: `IPv${family} rules flushed` });
  }

  /** Flushes every rule and destroys every set, as a clumsy reload does. */
  flushAll(): void {
    for (const family of families) this.#rules[family] = null;
    this.#sets.clear();
    this.#tell({ scope: "counts", what: "everything flushed" });
  }

  insertBefore(family: Family): void {
    const rules = this.#rules[family];
    if (rules === null) return;
    this.#rules[family] = { ...rules, first: false };
    this.#tell({ scope: "rules", what: `a rule inserted before ours (IPv${family})` });
  }

  widenRule(family: Family): void {
    const rules = this.#rules[family];
    if (rules === null) return;
    this.#rules[family] = { ...rules, intact: false };
    this.#tell({ scope: "rules", what: `a rule of ours replaced (IPv${family})` });
  }

  addEntry(name: string, entry: string): void {
    this.#sets.get(name)?.put(entry);
    this.#tell({ scope: "counts", what: `${entry} added to ${name}` });
  }

  dropEntry(name: string, entry: string): void {
    this.#sets.get(name)?.drop(entry);
    this.#tell({ scope: "counts", what: `${entry} deleted from ${name}` });
  }

  /** As many members as before: only a comparison of all of them sees it. */
  swapEntry(name: string, from: string, to: string): void {
    this.#sets.get(name)?.drop(from);
    this.#sets.get(name)?.put(to);
    this.#tell({ scope: "members", what: `${from} swapped for ${to} in ${name}` });
  }

  onForeignChange(listener: (change: ForeignChange) => void): Disposable {
    this.#watchers.add(listener);
    return { [Symbol.dispose]: () => void this.#watchers.delete(listener) };
  }

  // ---- for the filter ----

  /** Takes out what is ours without being asked twice. */
  clear(): readonly { readonly kind: string; readonly name: string }[] {
    const removed: { kind: string; name: string }[] = [];
    for (const family of families) {
      if (this.#rules[family] === null) continue;
      this.#rules[family] = null;
      removed.push({ kind: "rules", name: `IPv${family}` });
    }
    for (const name of this.#sets.keys()) removed.push({ kind: "set", name });
    this.#sets.clear();
    return removed;
  }

  #tell(change: ForeignChange): void {
    for (const watcher of [...this.#watchers]) watcher(change);
  }

  #perform(command: Command): void {
    switch (command.kind) {
      case "create-set": {
        const set = new FakeSet(command.instance);
        fill(command, () => set.add(command.content));
        this.#sets.set(command.instance.name, set);
        return;
      }
      case "add-members":
        fill(command, () => this.#sets.get(command.instance.name)?.add(command.members));
        return;
      case "delete-members":
        fill(command, () => this.#sets.get(command.instance.name)?.delete(command.members));
        return;
      case "switch-rules":
        this.#rules[command.family] = { installed: command.installed, first: true, intact: true };
        return;
      case "remove-rules":
        this.#rules[command.family] = null;
        return;
      case "destroy-set":
        this.#sets.delete(command.instance.name);
        return;
    }
  }

  /** What a real kernel would say to it. */
  #objection(command: Command): string | null {
    switch (command.kind) {
      case "create-set": {
        const { name } = command.instance;
        if (!/^ant-[a-z0-9-]{1,20}$/.test(name)) return `not a name of a set of ours: ${name}`;
        return this.#sets.has(name) ? "Set cannot be created: set with the same name already exists" : null;
      }
      case "add-members":
      case "delete-members":
        return this.#sets.has(command.instance.name) ? null : "The set with the given name does not exist";
      case "switch-rules":
        return this.#unknownSet(command.installed);
      case "remove-rules":
        return null;
      case "destroy-set": {
        const { name } = command.instance;
        return this.#isUsed(name) ? "Set cannot be destroyed: it is in use by a kernel component" : null;
      }
    }
  }

  #unknownSet(installed: Installed): string | null {
    for (const key of installed.program.sets.keys()) {
      const instance = installed.instances.get(key);
      if (instance === undefined) return `no instance stands for the set ${key}`;
      if (!this.#sets.has(instance.name)) return `Set ${instance.name} doesn't exist.`;
    }
    return null;
  }

  #isUsed(name: string): boolean {
    return families.some((family) => {
      const instances = this.#rules[family]?.installed.instances.values() ?? [];
      return [...instances].some((instance) => instance.name === name);
    });
  }

  /** What the sets of a program hold now, which need not be what they were given. */
  #members(installed: Installed): ReadonlyMap<SetKey, ProgramSet> {
    const sets = new Map<SetKey, ProgramSet>();
    for (const [key, instance] of installed.instances) {
      const set = this.#sets.get(instance.name);
      if (set !== undefined) sets.set(key, set.content());
    }
    return sets;
  }
}

const unfiltered: Decision = { verdict: "allowed", stage: "default", rule: null, refusal: null };

function fill(command: Command, change: () => void): void {
  try {
    change();
  } catch (error) {
    if (error instanceof SetRefusal) throw refused(command, error.message);
    throw error;
  }
}

function refused(command: Command, words: string): AntennaError {
  const object = "instance" in command ? command.instance.name : `IPv${command.family}`;
  return new AntennaError({
    code: "kernel-refused",
    operation: `${command.kind} ${object}`,
    message: "the kernel refused",
    detail: words,
  });
}
