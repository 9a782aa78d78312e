import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AntennaError, type Family } from "@antenna/sdk";
import type { LegacyTable } from "../backend/legacy-table.js";
import type { NftTable } from "../backend/nft-table.js";
import { type Backend, jumpIsFirst, type TableReading } from "../backend/rule-table.js";
import type { Chain, Ruleset } from "../render/chain.js";
import {
  deletionText,
  removalText,
  savedRules,
  switchText,
  withProtocolNumber,
} from "../render/restore-text.js";
import { restoreError } from "./kernel-error.js";
import type { RestorePrograms } from "./restore-program.js";
import { uncalled } from "./rule-differences.js";

/** What we wrote and what the kernel gave back for it, chain by chain. */
export type ChainBaselines = ReadonlyMap<string, ChainBaseline>;

export interface ChainBaseline {
  /** Hash of the rules as written. */
  readonly text: string;
  /** Fingerprint of the rules as read back. */
  readonly kernel: string;
}

export interface WriteResult {
  readonly baselines: ChainBaselines;
  /** False: everything stood already. */
  readonly written: boolean;
  /** The table as it stands now. */
  readonly reading: TableReading;
  /** The table did not exist before. */
  readonly created: boolean;
}

/** Tries of a write in which somebody else's write came between. */
const mostTries = 5;

/** Writes rulesets into the filter table, and keeps a baseline only of what nobody else touched meanwhile. */
export class FilterTables {
  readonly nft: NftTable;
  readonly legacy: LegacyTable;
  readonly #programs: RestorePrograms;
  readonly #left = new Map<string, ReadonlySet<string>>();

  constructor(nft: NftTable, legacy: LegacyTable, programs: RestorePrograms) {
    this.nft = nft;
    this.legacy = legacy;
    this.#programs = programs;
  }

  /** Chains of ours, empty, that could not be deleted, since a rule of somebody else leads to them. */
  left(backend: Backend, family: Family): ReadonlySet<string> {
    return this.#left.get(`${backend} ${family}`) ?? new Set();
  }

  /** What `left` was in a run before. */
  rememberLeft(backend: Backend, family: Family, names: readonly string[]): void {
    this.#left.set(`${backend} ${family}`, new Set(names));
  }

  async read(backend: Backend, family: Family): Promise<TableReading> {
    const reading = await (backend === "nft" ? this.nft : this.legacy).read(family);
    this.#setLeft(backend, family, [...this.left(backend, family)], reading);
    return reading;
  }

  /**
   * Brings the table to the ruleset in one transaction. Chains that `known` vouches for and that the kernel still gives
   * back as they were are not written. When somebody else writes in between, what stands must read exactly as it was
   * meant; else all of it is written again, a few times.
   *
   * @param beforeWrite awaited before each program that writes; may hold it back.
   */
  async switch(
    backend: Backend,
    ruleset: Ruleset,
    known: ChainBaselines,
    beforeWrite: () => Promise<void>,
  ): Promise<WriteResult> {
    let trusted = known;
    let created = false;
    const before = this.left(backend, ruleset.family);
    let referenced = before;
    for (let tries = 1; tries <= mostTries; tries++) {
      const compose = (reading: TableReading) =>
        switchText(ruleset, reading, standing(ruleset, reading, trusted), referenced);
      let write: TableWrite;
      try {
        write = await this.write(backend, ruleset.family, compose, beforeWrite);
      } catch (error) {
        // A rule of somebody else may lead to a chain that is to go. Emptied, the chain does nothing, and may stay.
        if (!isRefusal(error) || referenced !== before) throw error;
        referenced = staleChains(ruleset, await this.read(backend, ruleset.family));
        if (referenced.size === 0) throw error;
        continue;
      }
      created ||= write.created;
      const certain = write.text === null || write.quiet || (await this.#readsAsMeant(backend, ruleset));
      if (certain && isComplete(ruleset, write.reading, referenced)) {
        let { reading } = write;
        const stale = [...staleChains(ruleset, reading)];
        if (write.text !== null && stale.length > 0) {
          reading = await this.#deleteEmpty(backend, ruleset.family, stale, beforeWrite);
        }
        this.#setLeft(backend, ruleset.family, stale, reading);
        demandCalled(ruleset, reading);
        const baselines = baselinesOf(ruleset, write.reading);
        return { baselines, written: write.text !== null, reading, created };
      }
      trusted = new Map();
    }
    throw new AntennaError({
      code: "busy",
      operation: `write rules of IPv${ruleset.family}`,
      message: `others changed the rules during each of ${mostTries} writes; ours may be altered, find out who writes all the time (nft monitor)`,
    });
  }

  /**
   * Takes jumps and chains of ours out; null: there are none. A chain that a rule of somebody else leads to is emptied and
   * stays: see `left`.
   */
  async clear(backend: Backend, family: Family): Promise<TableReading | null> {
    try {
      const whole = await this.write(backend, family, (reading) => removalText(reading, new Set()));
      return whole.text === null ? null : whole.reading;
    } catch (error) {
      if (!isRefusal(error)) throw error;
    }
    const all = (reading: TableReading) => removalText(reading, new Set(reading.chains.keys()));
    const emptied = await this.write(backend, family, all);
    const names = [...emptied.reading.chains.keys()];
    const reading = await this.#deleteEmpty(backend, family, names);
    this.#setLeft(backend, family, names, reading);
    return reading;
  }

  /**
   * Deletes chains that hold no rule, all but those that a rule of somebody else leads to: of several that are refused
   * together each half is tried.
   */
  async #deleteEmpty(
    backend: Backend,
    family: Family,
    names: readonly string[],
    beforeWrite?: () => Promise<void>,
  ): Promise<TableReading> {
    try {
      const write = await this.write(backend, family, (found) => deletionText(found, names), beforeWrite);
      return write.reading;
    } catch (error) {
      if (!isRefusal(error)) throw error;
    }
    if (names.length === 1) return await this.read(backend, family);
    const middle = names.length >> 1;
    await this.#deleteEmpty(backend, family, names.slice(0, middle), beforeWrite);
    return await this.#deleteEmpty(backend, family, names.slice(middle), beforeWrite);
  }

  #setLeft(backend: Backend, family: Family, names: readonly string[], reading: TableReading): void {
    const left = new Set(names.filter((name) => reading.chains.has(name)));
    this.#left.set(`${backend} ${family}`, left);
  }

  /** One transaction composed from what is read right before it, and what is read right after it. */
  async write(
    backend: Backend,
    family: Family,
    compose: (reading: TableReading) => string | null,
    beforeWrite: () => Promise<void> = async () => undefined,
  ): Promise<TableWrite> {
    const operation = `restore rules of IPv${family} (iptables-${backend})`;
    if (backend === "legacy") {
      return await this.#writeLegacy(operation, family, compose, beforeWrite);
    }
    for (let tries = 1; ; tries++) {
      let before = await this.nft.read(family);
      let text = compose(before);
      if (text === null) return { text, reading: before, quiet: true, created: false };
      await beforeWrite();
      if ((await this.nft.generation()).id !== before.generation) {
        before = await this.nft.read(family);
        text = compose(before);
        if (text === null) return { text, reading: before, quiet: true, created: false };
      }
      const result = await this.#programs.restore(backend, family, text);
      if (result.code !== 0) {
        // A jump that was there when we read may be gone by now: then it is no refusal of ours.
        const now = await this.nft.generation();
        if (now.id !== before.generation && tries < mostTries) continue;
        throw restoreError(operation, text, result);
      }
      const reading = await this.nft.read(family);
      const quiet = before.generation !== null && reading.generation === nextGeneration(before.generation);
      return { text, reading, quiet, created: !before.exists };
    }
  }

  /** The lock is held from before the reading to the end of the read-back: whoever respects it can't come between. */
  async #writeLegacy(
    operation: string,
    family: Family,
    compose: (reading: TableReading) => string | null,
    beforeWrite: () => Promise<void>,
  ): Promise<TableWrite> {
    await using _lock = await this.#programs.lock();
    const before = await this.legacy.read(family);
    const text = compose(before);
    if (text === null) return { text, reading: before, quiet: true, created: false };
    await beforeWrite();
    const result = await this.#programs.restore("legacy", family, text);
    if (result.code !== 0) throw restoreError(operation, text, result);
    return { text, reading: this.legacy.readRegistered(family), quiet: true, created: !before.exists };
  }

  /** Compares as text what stands with what was meant. */
  async #readsAsMeant(backend: Backend, ruleset: Ruleset): Promise<boolean> {
    const saved = await this.#programs.save(backend, ruleset.family, "filter");
    if (saved.code !== 0) return false;
    const protocols = await readFile("/etc/protocols", "latin1").catch(() => "");
    return ruleset.chains.every((chain) => {
      const found = savedRules(saved.stdout, chain.name);
      return (
        found.length === chain.rules.length &&
        chain.rules.every(
          (rule, index) =>
            rule === found[index] ||
            withProtocolNumber(rule, protocols) === withProtocolNumber(found[index] ?? "", protocols),
        )
      );
    });
  }
}

function isRefusal(error: unknown): boolean {
  return error instanceof AntennaError && error.code === "kernel-refused";
}

export interface TableWrite {
  /** null: nothing had to be written. */
  readonly text: string | null;
  readonly reading: TableReading;
  /** Nobody else wrote between the reading before and the reading after. */
  readonly quiet: boolean;
  /** The table did not exist before. */
  readonly created: boolean;
}

export function hashChain(chain: Chain): string {
  return createHash("sha256").update(chain.rules.join("\n")).digest("hex");
}

/** The chains that need no writing: meant as they were written, standing as they were read back. */
function standing(ruleset: Ruleset, reading: TableReading, known: ChainBaselines): ReadonlySet<string> {
  const keep = new Set<string>();
  for (const chain of ruleset.chains) {
    const baseline = known.get(chain.name);
    if (baseline === undefined || baseline.text !== hashChain(chain)) continue;
    if (reading.chains.get(chain.name) === baseline.kernel) keep.add(chain.name);
  }
  return keep;
}

function isComplete(ruleset: Ruleset, reading: TableReading, left: ReadonlySet<string>): boolean {
  return (
    [...staleChains(ruleset, reading)].every((name) => left.has(name) && reading.empty?.has(name)) &&
    ruleset.chains.every((chain) => reading.chains.has(chain.name)) &&
    ruleset.jumps.every((jump) => jumpIsFirst(reading.builtins[jump.builtin]))
  );
}

/** Chains of our names that the ruleset does not know. */
function staleChains(ruleset: Ruleset, reading: TableReading): ReadonlySet<string> {
  const wanted = new Set(ruleset.chains.map((chain) => chain.name));
  return new Set([...reading.chains.keys()].filter((name) => !wanted.has(name)));
}

/** Rules that stand and that nobody meets must not look like enforcement. */
function demandCalled({ family, jumps }: Ruleset, reading: TableReading): void {
  const idle = jumps.find(({ builtin }) => reading.builtins[builtin].called === false);
  if (idle === undefined) return;
  const table = family === 4 ? "ip filter" : "ip6 filter";
  throw new AntennaError({
    code: "kernel-refused",
    operation: `enforce in chain ${idle.builtin} of table ${table}`,
    message: `${uncalled}; nothing is enforced until it is called again: wake the table (nft add table ${table}), or delete a chain that has no hook`,
  });
}

function baselinesOf(ruleset: Ruleset, reading: TableReading): ChainBaselines {
  return new Map(
    ruleset.chains.map((chain) => [
      chain.name,
      { text: hashChain(chain), kernel: reading.chains.get(chain.name) ?? "" },
    ]),
  );
}

/** 32 bits that skip 0 (net/netfilter/nf_tables_api.c, nf_tables_commit). */
function nextGeneration(generation: number): number {
  return (generation + 1) >>> 0 || 1;
}
