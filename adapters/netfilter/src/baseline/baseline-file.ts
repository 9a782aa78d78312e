import { mkdir, open, readFile, rename, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { AntennaError, type Family, type SetInstance } from "@antenna/sdk";
import type { ChainBaselines } from "../apply/filter-tables.js";
import type { Backend } from "../backend/rule-table.js";

/** What we wrote last and what the kernel gave back for it: after a restart nothing else vouches for the rules. */
export interface Baseline {
  readonly rulesDigest: string;
  readonly backend: Backend;
  readonly chains: Readonly<Record<Family, ChainBaselines>>;
  readonly instances: readonly SetInstance[];
  /** Chains of an earlier policy that had to stay, empty. */
  readonly left: Readonly<Record<Family, readonly string[]>>;
  /** Filter tables that did not exist before our first write. */
  readonly createdTables: readonly CreatedTable[];
  /** Netfilter modules that were loaded before our first write; null: not known. */
  readonly modules: readonly string[] | null;
}

export interface CreatedTable {
  readonly backend: Backend;
  readonly family: Family;
}

/** Changes whenever the file or a fingerprint would mean something else; other formats are not read. */
const format = 1;
const fileName = "baseline.json";
const mostBytes = 16 * 1024 * 1024;

/** The baseline on disk: mode 0600, replaced atomically. */
export class BaselineFile {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
  }

  /** null: there is none that can be used; then nothing in the kernel is vouched for. */
  async load(): Promise<Baseline | null> {
    let text: string;
    try {
      text = await readFile(join(this.#folder, fileName), "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return null;
      throw this.#failure("read", error);
    }
    if (text.length > mostBytes) return null;
    try {
      return decode(JSON.parse(text));
    } catch {
      return null;
    }
  }

  async save(baseline: Baseline): Promise<void> {
    const path = join(this.#folder, fileName);
    const fresh = `${path}.new`;
    try {
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      const handle = await open(fresh, "w", 0o600);
      try {
        await handle.writeFile(JSON.stringify(encode(baseline)));
        await handle.sync();
      } finally {
        await handle.close();
      }
      await rename(fresh, path);
      const folder = await open(this.#folder, "r");
      try {
        await folder.sync();
      } finally {
        await folder.close();
      }
    } catch (error) {
      throw this.#failure("write", error);
    }
  }

  /** Takes the file away, and the folder when nothing else is in it. */
  async remove(): Promise<void> {
    for (const name of [fileName, `${fileName}.new`]) await rm(join(this.#folder, name), { force: true });
    await rmdir(this.#folder).catch(() => undefined);
  }

  #failure(verb: string, cause: unknown): AntennaError {
    return new AntennaError({
      code: "storage",
      operation: `${verb} ${join(this.#folder, fileName)}`,
      message: `${String(cause)}; check the state directory`,
      cause,
    });
  }
}

interface Stored {
  readonly format: number;
  readonly rulesDigest: string;
  readonly backend: Backend;
  readonly chains: Readonly<
    Record<"4" | "6", readonly (readonly [name: string, text: string, kernel: string])[]>
  >;
  readonly instances: readonly SetInstance[];
  /** Absent: none. */
  readonly left?: Baseline["left"];
  readonly createdTables: readonly CreatedTable[];
  readonly modules: readonly string[] | null;
}

function encode(baseline: Baseline): Stored {
  const rows = (chains: ChainBaselines) =>
    [...chains].map(([name, { text, kernel }]) => [name, text, kernel] as const);
  const { rulesDigest, backend, chains, instances, left, createdTables, modules } = baseline;
  return {
    format,
    rulesDigest,
    backend,
    chains: { 4: rows(chains[4]), 6: rows(chains[6]) },
    instances,
    left,
    createdTables,
    modules,
  };
}

/** @throws anything, when the bytes are not what `encode` makes. */
function decode(value: unknown): Baseline | null {
  const stored = value as Stored;
  if (stored.format !== format) return null;
  const chains = (rows: Stored["chains"]["4"]): ChainBaselines =>
    new Map(
      rows.map(([name, text, kernel]) => [String(name), { text: String(text), kernel: String(kernel) }]),
    );
  const { rulesDigest, backend, instances, left, createdTables, modules } = stored;
  if (typeof rulesDigest !== "string" || (backend !== "nft" && backend !== "legacy")) return null;
  if (!instances.every(isInstance) || !Array.isArray(createdTables)) return null;
  if (modules !== null && !Array.isArray(modules)) return null;
  return {
    rulesDigest,
    backend,
    chains: { 4: chains(stored.chains[4]), 6: chains(stored.chains[6]) },
    instances,
    left: { 4: (left?.[4] ?? []).map(String), 6: (left?.[6] ?? []).map(String) },
    createdTables,
    modules,
  };
}

function isInstance(value: SetInstance): boolean {
  return (
    /^ant-[a-z0-9-]{1,20}$/.test(value.name) &&
    typeof value.key === "string" &&
    (value.kind === "peers" || value.kind === "pairs") &&
    ([4, 6] as const).every(
      (family) =>
        (value.shapes[family] === "hosts" || value.shapes[family] === "blocks") &&
        Number.isSafeInteger(value.capacity[family]),
    )
  );
}
