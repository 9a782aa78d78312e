import {
  AntennaError,
  type Difference,
  type Family,
  type Installed,
  type Logger,
  type Removal,
  type SetInstance,
} from "@antenna/sdk";
import type { BackendDetector } from "../backend/backend-detector.js";
import { loadedModules } from "../backend/kernel-modules.js";
import type { Backend, TableReading } from "../backend/rule-table.js";
import type { Baseline, BaselineFile, CreatedTable } from "../baseline/baseline-file.js";
import { jumps, type Ruleset } from "../render/chain.js";
import { renderRules } from "../render/render-rules.js";
import type { RenderOptions } from "../render/verdict-chains.js";
import { type ChainBaselines, type FilterTables, hashChain } from "./filter-tables.js";
import { RateLimit } from "./rate-limit.js";
import { ruleDifferences } from "./rule-differences.js";

export interface RuleKeeperOptions {
  readonly tables: FilterTables;
  readonly detector: BackendDetector;
  readonly file: BaselineFile;
  readonly render: RenderOptions;
  readonly logger: Logger;
  /** Told of the nft generation that a write of ours made. */
  readonly onGeneration: (generation: number) => void;
}

/** What stands in one family by our own hand. */
interface Kept {
  readonly backend: Backend;
  readonly chains: ChainBaselines;
}

/** Of what was written last only the names: the members of its sets are the reconciler's to hold. */
interface Written {
  readonly rulesDigest: string;
  readonly instances: readonly SetInstance[];
}

export const families: readonly Family[] = [4, 6];
const backends: readonly Backend[] = ["nft", "legacy"];
/** Writes that only put back what somebody changed: so many processes a second, whatever the storm. */
const mostRepairs = 4;
const noChains: ChainBaselines = new Map();

/** The rules of one enforcement point: writes them, knows what the kernel gave back, and tells how it differs now. */
export class RuleKeeper {
  readonly #options: RuleKeeperOptions;
  readonly #repairs: RateLimit;
  readonly #kept: Record<Family, Kept | null> = { 4: null, 6: null };
  readonly #rendered = new WeakMap<Installed, Map<Family, Ruleset>>();
  #backend: Backend | null = null;
  #movedTo: Backend | null = null;
  #written: Written | null = null;
  #created: readonly CreatedTable[] = [];
  /** Loaded before our first write. */
  #modules: readonly string[] | null = null;
  /** Where rules of a run before may still stand besides the backend in use. */
  #othersCleared = false;

  constructor(options: RuleKeeperOptions) {
    this.#options = options;
    this.#repairs = new RateLimit(mostRepairs, 1_000);
  }

  /** The backend in use; null before the first look. */
  get backend(): Backend | null {
    return this.#backend;
  }

  /** The backend that holds the host's rules now, where it is not the one that holds ours. */
  get movedTo(): Backend | null {
    return this.#movedTo;
  }

  /** True when rules of ours stand by our own hand, or were taken over. */
  get hasWritten(): boolean {
    return this.#written !== null;
  }

  get created(): readonly CreatedTable[] {
    return this.#created;
  }

  /** Kernel modules that were loaded before our first write; null: not known. */
  get modules(): readonly string[] | null {
    return this.#modules;
  }

  /** To be called before the first write of any kind. */
  async noteModules(): Promise<void> {
    this.#modules ??= await loadedModules();
  }

  /** Finds out which backend to use, and whether the host's rules moved to the other one. */
  async look(): Promise<void> {
    const detected = await this.#options.detector.detect(this.#backend);
    if (this.#backend === null) this.#backend = detected;
    this.#movedTo = detected === this.#backend ? null : detected;
  }

  /** Reads the last baseline. What it says of a chain counts for as long as the kernel gives the chain back so. */
  async restore(): Promise<Baseline | null> {
    const baseline = await this.#options.file.load();
    if (baseline === null) return null;
    this.#created = baseline.createdTables;
    this.#modules = baseline.modules;
    for (const family of families) {
      this.#kept[family] = { backend: baseline.backend, chains: baseline.chains[family] };
      this.#options.tables.rememberLeft(baseline.backend, family, baseline.left[family]);
    }
    return baseline;
  }

  /** True when the rules of `installed` stand in that backend as the baseline says; then they are taken over. */
  async adopt(installed: Installed, backend: Backend): Promise<boolean> {
    for (const family of families) {
      const reading = await this.#options.tables.read(backend, family);
      if (this.#compare(installed, family, reading, backend).length > 0) return false;
    }
    this.#backend = backend;
    this.#written = writtenOf(installed);
    return true;
  }

  /** Everything of ours was taken out. */
  forget(): void {
    for (const family of families) this.#kept[family] = null;
    this.#written = null;
    this.#created = this.#created.filter(({ backend }) => backend === "legacy");
  }

  async switch(family: Family, installed: Installed): Promise<void> {
    const { tables, logger, onGeneration } = this.#options;
    await this.look();
    if (this.#movedTo !== null) {
      logger.warn(
        { from: this.#backend, to: this.#movedTo },
        "the host's rules moved to the other iptables backend: following",
      );
      this.#backend = this.#movedTo;
      this.#movedTo = null;
      this.#othersCleared = false;
    }
    const backend = this.#inUse;
    const ruleset = this.ruleset(installed, family);
    const kept = this.#kept[family];
    const known = kept !== null && kept.backend === backend ? kept.chains : noChains;
    const beforeWrite = async () => {
      if (isRepair(ruleset, known)) await this.#repairs.pass();
    };
    const result = await tables.switch(backend, ruleset, known, beforeWrite);
    this.#kept[family] = { backend, chains: result.baselines };
    this.#written = writtenOf(installed);
    if (result.written && result.reading.generation !== null) onGeneration(result.reading.generation);
    if (result.created) this.#rememberCreated({ backend, family });
    if (!this.#othersCleared) {
      const other = backend === "nft" ? "legacy" : "nft";
      await this.clear(other, family);
      const both = families.every((each) => this.#kept[each]?.backend === backend);
      if (both) this.#othersCleared = true;
    }
    if (result.written) await this.#save();
  }

  /** Takes our rules of the family out of both backends. */
  async remove(family: Family): Promise<void> {
    for (const backend of backends) await this.clear(backend, family);
    this.#kept[family] = null;
    if (families.every((each) => this.#kept[each] === null)) this.#written = null;
  }

  /** Takes our rules out of one backend; true: there were some. */
  async clear(backend: Backend, family: Family): Promise<boolean> {
    const { tables, onGeneration } = this.#options;
    if (!holdsOurs(await tables.read(backend, family))) return false;
    const reading = await tables.clear(backend, family);
    if (reading?.generation != null) onGeneration(reading.generation);
    return reading !== null;
  }

  /** Chains of ours that nobody needs, and that stay since a rule of somebody else leads to them. */
  leftovers(): Removal["residues"] {
    return backends.flatMap((backend) =>
      families.flatMap((family) =>
        [...this.#options.tables.left(backend, family)].map((chain) => leftover(backend, family, chain)),
      ),
    );
  }

  /** True when any chain or jump of ours stands in either backend. */
  async present(): Promise<boolean> {
    for (const backend of backends) {
      for (const family of families) {
        if (holdsOurs(await this.#options.tables.read(backend, family))) return true;
      }
    }
    return false;
  }

  async differences(installed: Installed): Promise<readonly Difference[]> {
    await this.look();
    const found: Difference[] = [];
    if (this.#movedTo !== null) {
      const detail = `the host's rules are in iptables-${this.#movedTo} now, ours in iptables-${this.#backend}`;
      found.push({ kind: "backend", family: null, object: `iptables-${this.#movedTo}`, detail });
    }
    for (const family of families) {
      const reading = await this.#options.tables.read(this.#inUse, family);
      found.push(...this.compare(installed, family, reading));
    }
    return found;
  }

  /** How what was read differs from `installed` in the backend in use. */
  compare(installed: Installed, family: Family, reading: TableReading): readonly Difference[] {
    return this.#compare(installed, family, reading, this.#inUse);
  }

  #compare(
    installed: Installed,
    family: Family,
    reading: TableReading,
    backend: Backend,
  ): readonly Difference[] {
    const kept = this.#kept[family];
    const known = kept !== null && kept.backend === backend ? kept.chains : noChains;
    const left = this.#options.tables.left(backend, family);
    return ruleDifferences(this.ruleset(installed, family), reading, known, left);
  }

  ruleset(installed: Installed, family: Family): Ruleset {
    let byFamily = this.#rendered.get(installed);
    if (byFamily === undefined) {
      byFamily = new Map();
      this.#rendered.set(installed, byFamily);
    }
    let ruleset = byFamily.get(family);
    if (ruleset === undefined) {
      ruleset = renderRules(installed, family, this.#options.render);
      byFamily.set(family, ruleset);
    }
    return ruleset;
  }

  get #inUse(): Backend {
    if (this.#backend !== null) return this.#backend;
    throw new AntennaError({
      code: "internal",
      operation: "read rules",
      message: "no backend was chosen yet",
    });
  }

  #rememberCreated(table: CreatedTable): void {
    const known = this.#created.some(
      (each) => each.backend === table.backend && each.family === table.family,
    );
    if (!known) this.#created = [...this.#created, table];
  }

  async #save(): Promise<void> {
    const written = this.#written;
    if (written === null) return;
    const { file, logger, tables } = this.#options;
    const left = (family: Family) => [...tables.left(this.#inUse, family)];
    try {
      await file.save({
        ...written,
        backend: this.#inUse,
        left: { 4: left(4), 6: left(6) },
        chains: { 4: this.#kept[4]?.chains ?? noChains, 6: this.#kept[6]?.chains ?? noChains },
        createdTables: this.#created,
        modules: this.#modules,
      });
    } catch (error) {
      // A full disk must not stop enforcement: without a baseline the next start writes everything anew.
      logger.warn({ error }, "the baseline of the rules could not be stored");
    }
  }
}

function leftover(backend: Backend, family: Family, chain: string): Removal["residues"][number] {
  const program = family === 4 ? "iptables" : "ip6tables";
  return {
    kind: "chain",
    name: `iptables-${backend} IPv${family} ${chain}`,
    reason: `a rule that is not ours leads to it, so it was emptied and stays; delete that rule (${program}-${backend}-save shows it)`,
  };
}

function writtenOf({ program, instances }: Installed): Written {
  return { rulesDigest: program.rulesDigest, instances: [...instances.values()] };
}

export function holdsOurs(reading: TableReading): boolean {
  return reading.chains.size > 0 || jumps.some((jump) => reading.builtins[jump.builtin].jumps.length > 0);
}

/** Nothing new is meant: whatever has to be written was taken away by somebody else. */
function isRepair(ruleset: Ruleset, known: ChainBaselines): boolean {
  return ruleset.chains.every((chain) => known.get(chain.name)?.text === hashChain(chain));
}
