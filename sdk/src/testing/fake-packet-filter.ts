import { AntennaError } from "../error.js";
import type { Family } from "../policy/model.js";
import type {
  CallOptions,
  ChangeNotice,
  ConnectionTable,
  Difference,
  FilterDescription,
  PacketFilter,
  PacketFilterProvider,
  Removal,
  VerifyScope,
} from "../ports.js";
import type { ProgramSet, RuleProgram, SetKey } from "../program/program.js";
import type { SetChange } from "../program/set-change.js";
import type { Command, Installed, SetInstance } from "../reconcile/command.js";
import { FakeKernel, type ForeignChange } from "./fake-kernel.js";

const families: readonly Family[] = [4, 6];
const scopes: readonly VerifyScope[] = ["rules", "counts", "members"];

/** A PacketFilter on a fake kernel. It refuses what a real one refuses, and two calls at once. */
export class FakePacketFilter implements PacketFilter {
  readonly kernel: FakeKernel;
  /** Called before every call that reads or writes; may throw, or wait. */
  beforeCall: (method: string) => void | Promise<void> = () => {};
  /** False: foreign changes are told to nobody, as those of a kernel without notifications. */
  notifies = true;
  #busy: string | null = null;
  #watch: Disposable | null = null;
  #closed = false;

  constructor(kernel: FakeKernel = new FakeKernel()) {
    this.kernel = kernel;
  }

  get connections(): ConnectionTable {
    return this.kernel.connections;
  }

  describe(): FilterDescription {
    return { mechanism: "fake", intervals: { rulesMs: null, countsMs: 1_000, membersMs: 50_000 } };
  }

  adopt(program: RuleProgram, options?: CallOptions): Promise<Installed | null> {
    return this.#call("adopt", options, () => {
      const [four, six] = families.map((family) => this.kernel.rules(family));
      if (four?.installed !== six?.installed && !sameRules(four?.installed, six?.installed)) return null;
      const standing = four?.installed;
      if (standing === undefined || standing.program.rulesDigest !== program.rulesDigest) return null;
      if (standing.program.drops !== program.drops) return null;
      const installed = { program, instances: standing.instances };
      return this.#differences(installed, "members").length === 0 ? installed : null;
    });
  }

  present(options?: CallOptions): Promise<boolean> {
    return this.#call(
      "present",
      options,
      () => this.kernel.setNames.size > 0 || families.some((family) => this.kernel.rules(family) !== null),
    );
  }

  instances(options?: CallOptions): Promise<ReadonlySet<string>> {
    return this.#call("instances", options, () => this.kernel.setNames);
  }

  execute(commands: readonly Command[], options?: CallOptions): Promise<void> {
    return this.#call("execute", options, async () => {
      for (const command of commands) {
        throwIfAborted(options);
        this.kernel.execute(command);
        // Others run between two commands, as they do between two system calls.
        await Promise.resolve();
      }
    });
  }

  verify(installed: Installed, scope: VerifyScope, options?: CallOptions): Promise<readonly Difference[]> {
    return this.#call("verify", options, () => this.#differences(installed, scope));
  }

  correction(instance: SetInstance, content: ProgramSet, options?: CallOptions): Promise<SetChange | null> {
    return this.#call(
      "correction",
      options,
      () => this.kernel.set(instance.name)?.correction(content) ?? null,
    );
  }

  sweep(installed: Installed | null, options?: CallOptions): Promise<void> {
    return this.#call("sweep", options, () => {
      const kept = new Set([...(installed?.instances.values() ?? [])].map((instance) => instance.name));
      for (const name of this.kernel.setNames) {
        const instance = this.kernel.set(name)?.instance;
        if (!kept.has(name) && instance !== undefined) this.kernel.execute({ kind: "destroy-set", instance });
      }
    });
  }

  watch(installed: Installed | null, onChange: (notice: ChangeNotice) => void): void {
    this.#watch?.[Symbol.dispose]();
    this.#watch = null;
    if (installed === null) return;
    this.#watch = this.kernel.onForeignChange((change: ForeignChange) => {
      if (!this.notifies) return;
      onChange({ scope: change.scope, writer: { pid: 4242, name: "foreign" }, reason: change.what });
    });
  }

  remove(options?: CallOptions): Promise<Removal> {
    return this.#call("remove", options, () => ({ removed: this.kernel.clear(), residues: [] }));
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#watch?.[Symbol.dispose]();
    this.#watch = null;
    return Promise.resolve();
  }

  async #call<T>(method: string, options: CallOptions | undefined, work: () => T | Promise<T>): Promise<T> {
    if (this.#closed) throw broken(`${method} after the filter was closed`);
    if (this.#busy !== null) throw broken(`${method} during ${this.#busy}: one call at a time`);
    this.#busy = method;
    try {
      throwIfAborted(options);
      await this.beforeCall(method);
      return await work();
    } finally {
      this.#busy = null;
    }
  }

  #differences(installed: Installed, scope: VerifyScope): readonly Difference[] {
    const found: Difference[] = [];
    for (const family of families) {
      const rules = this.kernel.rules(family);
      const object = `IPv${family} rules`;
      if (rules === null) found.push({ kind: "rules", family, object, detail: "gone" });
      else if (!sameRules(rules.installed, installed))
        found.push({ kind: "rules", family, object, detail: "others" });
      else if (!rules.intact) found.push({ kind: "rules", family, object, detail: "a rule was replaced" });
      if (rules?.first === false) {
        found.push({
          kind: "jump-displaced",
          family,
          object: `IPv${family} jump`,
          detail: "another rule stands before it",
        });
      }
    }
    if (scopes.indexOf(scope) < scopes.indexOf("counts")) return found;
    for (const [key, instance] of installed.instances) {
      const difference = this.#setDifference(installed.program, key, instance, scope);
      if (difference !== null) found.push(difference);
    }
    return found;
  }

  #setDifference(
    program: RuleProgram,
    key: SetKey,
    instance: SetInstance,
    scope: VerifyScope,
  ): Difference | null {
    const set = this.kernel.set(instance.name);
    const object = instance.name;
    if (set === null) return { kind: "set-missing", family: null, object, detail: "gone" };
    const meant = program.sets.get(key);
    if (meant === undefined) return null;
    const right = scope === "members" ? set.holds(meant) : set.size === sizeOf(meant);
    return right ? null : { kind: "set-members", family: null, object, detail: `${set.size} members` };
  }
}

/** Hands out filters on one fake kernel; a second one is a restart. */
export function fakePacketFilterProvider(kernel: FakeKernel = new FakeKernel()): PacketFilterProvider & {
  readonly kernel: FakeKernel;
  /** The filters handed out, in order. */
  readonly opened: readonly FakePacketFilter[];
} {
  const opened: FakePacketFilter[] = [];
  return {
    kernel,
    opened,
    open() {
      const filter = new FakePacketFilter(kernel);
      opened.push(filter);
      return Promise.resolve(filter);
    },
  };
}

function sameRules(a: Installed | undefined, b: Installed | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  if (a.program.rulesDigest !== b.program.rulesDigest || a.program.drops !== b.program.drops) return false;
  if (a.instances.size !== b.instances.size) return false;
  return [...a.instances].every(([key, instance]) => b.instances.get(key)?.name === instance.name);
}

function sizeOf(set: RuleProgram["sets"] extends ReadonlyMap<SetKey, infer S> ? S : never): number {
  if (set.kind === "peers") return set.members.size;
  return set.parts.reduce((sum, part) => sum + part.members.size * part.ports.length, 0);
}

function throwIfAborted(options: CallOptions | undefined): void {
  if (options?.signal?.aborted !== true) return;
  throw new AntennaError({
    code: "aborted",
    operation: "packet filter",
    message: "the caller's signal was aborted",
  });
}

function broken(message: string): AntennaError {
  return new AntennaError({ code: "internal", operation: "fake packet filter", message });
}
