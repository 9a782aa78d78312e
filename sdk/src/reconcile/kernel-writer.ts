import { AntennaError } from "../error.js";
import type { Family } from "../policy/model.js";
import type { Difference, PacketFilter, VerifyScope } from "../ports.js";
import type { RuleProgram, SetKey } from "../program/program.js";
import type { Command, Installed, Plan } from "./command.js";
import { readCorrections } from "./corrections.js";
import { planRemove, planRepair, planSafe } from "./plan.js";

/**
 * What is known about the kernel. `unknown`: something of ours may stand there, of a run before or of an apply that
 * failed half-way; the next plan builds on nothing that stands.
 */
export type Standing =
  | { readonly kind: "unknown" }
  | { readonly kind: "empty" }
  | { readonly kind: "installed"; readonly installed: Installed };

export interface SwitchResult {
  /** False: the kernel meant this already. */
  readonly wrote: boolean;
  /** A packet that passed may now be denied. */
  readonly narrowed: boolean;
}

export interface SwitchOptions {
  readonly signal: AbortSignal;
  /** Called when everything is ready, just before the first rules change. */
  readonly beforeRules?: () => Promise<void>;
}

const families: readonly Family[] = [4, 6];
const everything = { kind: "rules", family: null, object: "rules and sets" } as const;

/**
 * The one place that writes to a packet filter. It keeps what is known about the kernel, and forgets it when a write
 * fails half-way: from then on plans assume nothing, until one has gone through.
 *
 * Whatever fails, whenever: for every packet the verdict is that of the program before or of the one after, since
 * every plan holds that for each of its prefixes, and a plan from nothing known touches no set that stands.
 */
export class KernelWriter {
  readonly #filter: PacketFilter;
  #standing: Standing = { kind: "unknown" };
  #lastGood: Installed | null = null;
  /** Names in the kernel as far as known; null: to be asked for. */
  #live: ReadonlySet<string> | null = null;
  #untidy = false;

  constructor(filter: PacketFilter) {
    this.#filter = filter;
  }

  get standing(): Standing {
    return this.#standing;
  }

  /** The last program that stood complete; what drift is repaired towards. */
  get lastGood(): Installed | null {
    return this.#lastGood;
  }

  /** Reads what stands. The first of the candidates that it means is taken over without a write; null: none of them. */
  async look(candidates: readonly RuleProgram[], signal: AbortSignal): Promise<RuleProgram | null> {
    for (const program of candidates) {
      const installed = await this.#filter.adopt(program, { signal });
      if (installed !== null) {
        this.#untidy = true;
        this.#stand(installed);
        return program;
      }
    }
    const present = await this.#filter.present({ signal });
    this.#standing = present ? { kind: "unknown" } : { kind: "empty" };
    return null;
  }

  /** Brings the kernel from whatever stands to `program`. Rejects with what the kernel refused. */
  async switchTo(program: RuleProgram, options: SwitchOptions): Promise<SwitchResult> {
    const { signal } = options;
    const before = this.#standing;
    const known = before.kind === "installed" ? before.installed : null;
    const live = this.#live ?? (await this.#filter.instances({ signal }));
    const plan = planSafe(known, program, live);
    if (plan.commands.length === 0 && known !== null) {
      this.#stand(plan.installed);
      return { wrote: false, narrowed: plan.narrows };
    }
    // Names of instances that are left over are not to be given again.
    if (known === null) this.#untidy = true;
    const firstRules = plan.commands.findIndex((command) => command.kind === "switch-rules");
    try {
      await this.#write(async () => {
        if (options.beforeRules === undefined) return this.#filter.execute(plan.commands, { signal });
        await this.#filter.execute(plan.commands.slice(0, Math.max(0, firstRules)), { signal });
        await options.beforeRules();
        await this.#filter.execute(plan.commands.slice(Math.max(0, firstRules)), { signal });
      });
      if (firstRules >= 0) await this.#prove(plan.installed, signal);
    } catch (error) {
      await this.#dropUnused(signal);
      throw error;
    }
    this.#stand(plan.installed);
    return { wrote: true, narrowed: plan.narrows || known === null };
  }

  /**
   * What a failed attempt made would otherwise pile up, a set of each try. The kernel keeps every set that a rule names;
   * those of the last good program are kept for falling back.
   */
  async #dropUnused(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    // It may fail for every set that is in use, and for the same reason as the attempt.
    await this.#filter.sweep(this.#lastGood, { signal }).catch(() => undefined);
    this.#live = null;
  }

  /** Takes rules and sets out. */
  async clear(signal: AbortSignal): Promise<void> {
    const before = this.#standing;
    if (before.kind === "empty") return;
    await this.#write(async () => {
      if (before.kind === "installed") {
        await this.#filter.execute(planRemove(before.installed), { signal });
        await this.#filter.sweep(null, { signal });
      } else {
        await this.#filter.remove({ signal });
      }
    });
    this.forgetAll();
  }

  /** To be told when everything of ours was taken out by other means. */
  forgetAll(): void {
    this.#untidy = false;
    this.#standing = { kind: "empty" };
    this.#lastGood = null;
    this.#live = new Set();
  }

  /** After a failed switch: puts the last program that stood complete back, unless it still stands. */
  async fallBack(signal: AbortSignal): Promise<void> {
    const good = this.#lastGood;
    if (this.#standing.kind !== "unknown" || good === null) return;
    this.#untidy = true;
    const differences = await this.#filter.verify(good, "counts", { signal });
    if (differences.length === 0) this.#stand(good);
    else await this.switchTo(good.program, { signal });
  }

  /** True when instances that nobody uses may be left in the kernel. They harm no packet, and are swept last. */
  get untidy(): boolean {
    return this.#untidy && this.#standing.kind === "installed";
  }

  /** Destroys what is left over. */
  async tidy(signal: AbortSignal): Promise<void> {
    const standing = this.#standing;
    if (standing.kind !== "installed") return;
    await this.#filter.sweep(standing.installed, { signal });
    this.#untidy = false;
    this.#live = namesOf(standing.installed);
  }

  /** How the kernel differs from what was written; where nothing is to stand, whether something of ours does. */
  async verify(scope: VerifyScope, signal: AbortSignal): Promise<readonly Difference[]> {
    const standing = this.#standing;
    switch (standing.kind) {
      case "installed":
        return this.#filter.verify(standing.installed, scope, { signal });
      case "unknown":
        return [{ ...everything, detail: "not known: the last write failed half-way" }];
      case "empty":
        return (await this.#filter.present({ signal }))
          ? [{ ...everything, detail: "present, though nothing should be" }]
          : [];
    }
  }

  /**
   * Undoes what a foreign hand did. Rules are written again. Members that are missing or too many are added and deleted in
   * place, where no packet sees a mixture. A set that is gone, was made otherwise, or differs in too much is replaced by a
   * new instance with the right content, so that no packet meets it half-filled.
   */
  async repair(differences: readonly Difference[], signal: AbortSignal): Promise<void> {
    const standing = this.#standing;
    if (standing.kind !== "installed") return;
    const { installed } = standing;
    const broken = brokenSets(installed, differences);
    if (broken === null) {
      this.#standing = { kind: "unknown" };
      this.#live = null;
      await this.switchTo(installed.program, { signal });
      return;
    }
    if (broken.size > 0) {
      // Where the rules are wrong too, a member alone may mean what neither the one nor the other state means.
      const inPlace = differences.every((found) => found.kind === "set-members");
      const wrong = inPlace ? await this.#mend(installed, broken, signal) : broken;
      if (wrong.size > 0) await this.#replace(wrong, signal);
      return;
    }
    const commands: Command[] = families
      .filter((family) => differences.some((found) => found.family === null || found.family === family))
      .map((family) => ({ kind: "switch-rules", family, installed }));
    await this.#write(() => this.#filter.execute(commands, { signal }));
  }

  /**
   * Brings sets to their members and reads them again, since others may write at the same time. All sets are read: one that
   * nobody told of counts for what a packet sees. Gives the sets that are to be replaced.
   */
  async #mend(
    installed: Installed,
    broken: ReadonlySet<SetKey>,
    signal: AbortSignal,
  ): Promise<ReadonlySet<SetKey>> {
    const all = installed.instances.keys();
    const { corrections, untold } = await readCorrections(this.#filter, installed, all, signal);
    if (untold.size > 0) return new Set([...broken, ...untold, ...corrections.keys()]);
    if (corrections.size === 0) return untold;
    const plan = planRepair(installed, corrections, await this.#filter.instances({ signal }));
    await this.#execute(plan, signal);
    const after = await readCorrections(this.#filter, plan.installed, corrections.keys(), signal);
    return new Set([...after.untold, ...after.corrections.keys()]);
  }

  async #replace(keys: ReadonlySet<SetKey>, signal: AbortSignal): Promise<void> {
    if (this.#standing.kind !== "installed") return;
    const { installed } = this.#standing;
    const live = await this.#filter.instances({ signal });
    await this.#execute(planSafe(without(installed, keys), installed.program, live), signal);
  }

  /** A plan of a repair. Whatever it puts aside is swept later. */
  async #execute({ commands, installed }: Plan, signal: AbortSignal): Promise<void> {
    await this.#write(() => this.#filter.execute(commands, { signal }));
    if (commands.some(({ kind }) => kind === "create-set")) this.#untidy = true;
    this.#stand(installed);
  }

  async #prove(installed: Installed, signal: AbortSignal): Promise<void> {
    const differences = await this.#filter.verify(installed, "counts", { signal });
    if (differences.length === 0) return;
    this.#forget();
    const first = differences[0];
    throw new AntennaError({
      code: "kernel-refused",
      operation: "verify after apply",
      message:
        "the kernel holds something else than was written; another program may be writing at the same time",
      detail: differences.map((found) => `${found.object}: ${found.detail}`).join("\n"),
      cause: first,
    });
  }

  async #write(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      this.#forget();
      throw error;
    }
  }

  #forget(): void {
    this.#standing = { kind: "unknown" };
    this.#live = null;
  }

  #stand(installed: Installed): void {
    if (this.#standing.kind === "installed" && this.#standing.installed === installed) return;
    this.#standing = { kind: "installed", installed };
    this.#lastGood = installed;
    this.#live = this.#untidy ? null : namesOf(installed);
  }
}

/** Keys of the sets that differ; null when a difference names a set that is not in the program. */
function brokenSets(installed: Installed, differences: readonly Difference[]): ReadonlySet<SetKey> | null {
  const keys = new Set<SetKey>();
  for (const found of differences) {
    if (found.kind !== "set-missing" && found.kind !== "set-members") continue;
    const key = [...installed.instances.values()].find((instance) => instance.name === found.object)?.key;
    if (key === undefined) return null;
    keys.add(key);
  }
  return keys;
}

/** As if the sets had never been: a plan from here makes new instances of them and leaves the others alone. */
function without(installed: Installed, keys: ReadonlySet<SetKey>): Installed {
  const sets = new Map([...installed.program.sets].filter(([key]) => !keys.has(key)));
  const instances = new Map([...installed.instances].filter(([key]) => !keys.has(key)));
  return { program: { ...installed.program, sets, rulesDigest: "" }, instances };
}

function namesOf(installed: Installed): ReadonlySet<string> {
  return new Set([...installed.instances.values()].map((instance) => instance.name));
}
