import {
  AntennaError,
  type CallOptions,
  type ChangeNotice,
  type Command,
  type ConnectionTable,
  type Difference,
  type FilterDescription,
  type Installed,
  type Logger,
  type PacketFilter,
  type ProgramSet,
  type Removal,
  type RuleProgram,
  type SetChange,
  type SetInstance,
  type SetKey,
  type VerifyScope,
} from "@antenna/sdk";
import { kernelError } from "./apply/kernel-error.js";
import { type KernelSets, meantSets } from "./apply/kernel-sets.js";
import type { Remover } from "./apply/remover.js";
import type { RuleKeeper } from "./apply/rule-keeper.js";
import type { Baseline } from "./baseline/baseline-file.js";
import type { Watch } from "./watch/watch.js";

/** The parts of a filter, opened in one network namespace; the filter closes them. */
export interface PacketFilterParts {
  readonly keeper: RuleKeeper;
  readonly sets: KernelSets;
  readonly remover: () => Remover;
  readonly watch: Watch;
  readonly connections: ConnectionTable;
  readonly logger: Logger;
  readonly close: () => void;
}

/**
 * PacketFilter on iptables and ipset, in the backend that holds the host's rules. What stands is judged by what the
 * kernel gives back now against what it gave back right after our own write; a comment or a name proves nothing.
 */
export class NetfilterPacketFilter implements PacketFilter {
  readonly connections: ConnectionTable;
  readonly #parts: PacketFilterParts;
  #closing: Promise<void> | null = null;

  constructor(parts: PacketFilterParts) {
    this.#parts = parts;
    this.connections = parts.connections;
  }

  describe(): FilterDescription {
    const { keeper, watch } = this.#parts;
    return {
      mechanism: `iptables-${keeper.backend ?? "nft"}`,
      intervals: watch.intervals,
      leftovers: keeper.leftovers(),
    };
  }

  async adopt(program: RuleProgram, options: CallOptions = {}): Promise<Installed | null> {
    return await this.#call("adopt what stands", options, async () => {
      const { keeper, sets, logger } = this.#parts;
      const baseline = await keeper.restore();
      if (baseline === null || baseline.rulesDigest !== program.rulesDigest) return null;
      const instances = instancesOf(baseline, program);
      if (instances === null) return null;
      const installed: Installed = { program, instances };
      for (const meant of meantSets(installed)) {
        const [found] = await sets.memberDifferences(meant, options);
        if (found === undefined) continue;
        logger.info({ found }, "a set is not as it was written: everything is written anew");
        return null;
      }
      return (await keeper.adopt(installed, baseline.backend)) ? installed : null;
    });
  }

  async present(options: CallOptions = {}): Promise<boolean> {
    return await this.#call("look for rules and sets of ours", options, async () => {
      const { keeper, sets } = this.#parts;
      return (await keeper.present()) || (await sets.instances(options)).size > 0;
    });
  }

  async instances(options: CallOptions = {}): Promise<ReadonlySet<string>> {
    return await this.#call("list sets", options, () => this.#parts.sets.instances(options));
  }

  async execute(commands: readonly Command[], options: CallOptions = {}): Promise<void> {
    const { keeper, watch } = this.#parts;
    await this.#call("write rules and sets", options, async () => {
      using _quiet = watch.pause();
      await keeper.noteModules();
      for (const command of commands) {
        options.signal?.throwIfAborted();
        await this.#execute(command, options);
      }
    });
  }

  async verify(
    installed: Installed,
    scope: VerifyScope,
    options: CallOptions = {},
  ): Promise<readonly Difference[]> {
    return await this.#call("verify", options, () => this.#differences(installed, scope, options));
  }

  async correction(
    instance: SetInstance,
    content: ProgramSet,
    options: CallOptions = {},
  ): Promise<SetChange | null> {
    const operation = `compare the members of ${instance.name}`;
    return await this.#call(operation, options, () =>
      this.#parts.sets.correction(instance, content, options),
    );
  }

  async sweep(installed: Installed | null, options: CallOptions = {}): Promise<void> {
    await this.#call("sweep sets", options, async () => {
      const { sets } = this.#parts;
      const live = new Set([...(installed?.instances.values() ?? [])].map((instance) => instance.name));
      let failure: unknown = null;
      for (const name of await sets.instances(options)) {
        if (live.has(name)) continue;
        options.signal?.throwIfAborted();
        // A rule of somebody else may name one of them: the others go all the same.
        await sets.destroy(name, options).catch((reason: unknown) => {
          failure ??= reason;
        });
      }
      if (failure !== null) throw failure;
    });
  }

  watch(installed: Installed | null, onChange: (notice: ChangeNotice) => void): void {
    this.#parts.watch.start(installed, onChange);
  }

  async remove(options: CallOptions = {}): Promise<Removal> {
    return await this.#call("remove rules and sets", options, async () => {
      const { keeper, watch } = this.#parts;
      watch.stop();
      if (!keeper.hasWritten) await keeper.restore();
      return await this.#parts.remover().remove();
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #close(): Promise<void> {
    this.#parts.watch.stop();
    await this.connections[Symbol.asyncDispose]();
    this.#parts.close();
  }

  async #execute(command: Command, options: CallOptions): Promise<void> {
    const { keeper, sets } = this.#parts;
    switch (command.kind) {
      case "create-set":
        return await sets.create(command.instance, command.content, options);
      case "add-members":
        return await sets.add(command.instance, command.members, options);
      case "delete-members":
        return await sets.delete(command.instance, command.members, options);
      case "switch-rules":
        return await keeper.switch(command.family, command.installed);
      case "remove-rules":
        return await keeper.remove(command.family);
      case "destroy-set":
        return await sets.destroy(command.instance.name, options);
    }
  }

  async #differences(
    installed: Installed,
    scope: VerifyScope,
    options: CallOptions,
  ): Promise<readonly Difference[]> {
    const { keeper, sets } = this.#parts;
    const found: Difference[] = [...(await keeper.differences(installed))];
    if (scope === "rules") return found;
    const meant = meantSets(installed);
    if (scope === "counts") return [...found, ...(await sets.countDifferences(meant, options))];
    for (const set of meant) found.push(...(await sets.memberDifferences(set, options)));
    return found;
  }

  /** One place where what any layer throws becomes an AntennaError. */
  async #call<Result>(operation: string, options: CallOptions, work: () => Promise<Result>): Promise<Result> {
    if (this.#closing !== null) {
      throw new AntennaError({ code: "closed", operation, message: "the packet filter was closed" });
    }
    try {
      options.signal?.throwIfAborted();
      return await work();
    } catch (error) {
      if (options.signal?.aborted === true) {
        const message = "aborted by the caller; what was already written stays";
        throw new AntennaError({ code: "aborted", operation, message, cause: error });
      }
      throw kernelError(error, operation);
    }
  }
}

/** The instances of a baseline by the program's keys; null: they are not those that the program needs. */
function instancesOf(baseline: Baseline, program: RuleProgram): ReadonlyMap<SetKey, SetInstance> | null {
  const instances = new Map<SetKey, SetInstance>();
  for (const instance of baseline.instances) {
    if (program.sets.get(instance.key)?.kind !== instance.kind) return null;
    instances.set(instance.key, instance);
  }
  return instances.size === program.sets.size ? instances : null;
}
