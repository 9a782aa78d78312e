import { AntennaError, type Family, type Removal } from "@antenna/sdk";
import { loadedModules } from "../backend/kernel-modules.js";
import type { NetworkNamespace } from "../backend/network-namespace.js";
import type { Backend } from "../backend/rule-table.js";
import type { BaselineFile } from "../baseline/baseline-file.js";
import type { FilterTables } from "./filter-tables.js";
import type { KernelSets } from "./kernel-sets.js";
import { deleteFilterTable } from "./nft-table-removal.js";
import type { RestorePrograms } from "./restore-program.js";
import { families, holdsOurs, type RuleKeeper } from "./rule-keeper.js";

type Removed = Removal["removed"][number];
type Residue = Removal["residues"][number];

const NF_ACCEPT = 1;
const mostTries = 3;

/** Takes everything of ours out of the kernel: rules first, then sets; tells what has to stay, and why. */
export class Remover {
  readonly #keeper: RuleKeeper;
  readonly #tables: FilterTables;
  readonly #sets: KernelSets;
  readonly #file: BaselineFile;
  readonly #namespace: NetworkNamespace;
  readonly #programs: RestorePrograms;
  readonly #removed: Removed[] = [];
  readonly #residues: Residue[] = [];

  constructor(parts: {
    readonly keeper: RuleKeeper;
    readonly tables: FilterTables;
    readonly sets: KernelSets;
    readonly file: BaselineFile;
    readonly namespace: NetworkNamespace;
    readonly programs: RestorePrograms;
  }) {
    this.#keeper = parts.keeper;
    this.#tables = parts.tables;
    this.#sets = parts.sets;
    this.#file = parts.file;
    this.#namespace = parts.namespace;
    this.#programs = parts.programs;
  }

  async remove(): Promise<Removal> {
    for (const backend of ["nft", "legacy"] as const) {
      for (const family of families) await this.#removeRules(backend, family);
    }
    this.#residues.push(...this.#keeper.leftovers());
    for (const family of families) if (this.#tables.legacy.isHidden(family)) this.#tellHidden(family);
    await this.#removeSets();
    for (const { backend, family } of this.#keeper.created) {
      if (backend === "nft") await this.#removeNftTable(family);
      else await this.#tellLegacyTable(family);
    }
    await this.#tellModules();
    await this.#programs.tidy();
    await this.#file.remove();
    this.#keeper.forget();
    return { removed: this.#removed, residues: this.#residues };
  }

  async #removeRules(backend: Backend, family: Family): Promise<void> {
    const before = await this.#tables.read(backend, family);
    if (!holdsOurs(before)) return;
    const chains = [...before.chains.keys()].sort();
    const place = `iptables-${backend} IPv${family}`;
    await this.#keeper.clear(backend, family);
    const kept = this.#tables.left(backend, family);
    for (const name of chains) {
      if (!kept.has(name)) this.#removed.push({ kind: "chain", name: `${place} ${name}` });
    }
    for (const builtin of ["INPUT", "OUTPUT"] as const) {
      if (before.builtins[builtin].jumps.length === 0) continue;
      this.#removed.push({ kind: "jump", name: `${place} ${builtin}` });
    }
  }

  #tellHidden(family: Family): void {
    const reason =
      "whether rules of ours stand there is not known: only uid 0 may read it; purge as root if one ran as root before";
    this.#residues.push({ kind: "unread", name: `iptables-legacy IPv${family}`, reason });
  }

  async #removeSets(): Promise<void> {
    const names = await this.#sets.instances();
    for (const name of [...names].sort()) {
      try {
        await this.#sets.destroy(name);
        this.#removed.push({ kind: "set", name });
      } catch (error) {
        const { detail, message } = AntennaError.from(error, `destroy set ${name}`);
        const reason = `the kernel keeps it, most likely a rule that is not ours names it: ${detail ?? message}`;
        this.#residues.push({ kind: "set", name, reason });
      }
    }
  }

  /** A table that our first write made goes when nobody else has put anything into it. */
  async #removeNftTable(family: Family): Promise<void> {
    const name = `ip${family === 4 ? "" : "6"} filter`;
    for (let tries = 1; tries <= mostTries; tries++) {
      const { generation } = await this.#tables.read("nft", family);
      const found = await this.#tables.nft.contents(family);
      if (found === null || generation === null) return;
      const others = found.chains.filter((chain) => chain.hook === null || chain.policy !== NF_ACCEPT);
      if (found.rules > 0 || others.length > 0) {
        const reason = "our first write made the table, but others use it by now";
        this.#residues.push({ kind: "table", name, reason });
        return;
      }
      if (await deleteFilterTable(this.#namespace.path, family, generation)) {
        this.#removed.push({ kind: "table", name });
        return;
      }
    }
    this.#residues.push({ kind: "table", name, reason: "others changed rules during each try to delete it" });
  }

  async #tellModules(): Promise<void> {
    const before = this.#keeper.modules;
    if (before === null) return;
    for (const name of await loadedModules()) {
      if (before.includes(name)) continue;
      const reason =
        "loaded since our first write, which may have pulled it in; it does nothing by itself, modprobe -r or a restart unloads it";
      this.#residues.push({ kind: "module", name, reason });
    }
  }

  async #tellLegacyTable(family: Family): Promise<void> {
    const registered = await this.#tables.legacy.registered(family);
    if (!registered.includes("filter")) return;
    const name = `${family === 4 ? "ip" : "ip6"}_tables filter`;
    const reason =
      "registered by our first write; the kernel keeps a table until its module is unloaded or the host restarts";
    this.#residues.push({ kind: "legacy-table", name, reason });
  }
}
