import { readdir, readFile, stat } from "node:fs/promises";
import { release } from "node:os";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";

/** Where a part of the kernel is. */
export type Presence =
  | "built-in"
  | "loaded"
  /** Its module is installed, and loads when it is used. */
  | "loadable"
  | "missing"
  /** Nothing that can be read without a probe tells. */
  | "unknown";

/** What a running kernel was built with, as far as files tell: nothing is loaded by looking. */
export class KernelBuild {
  readonly release: string;
  /** Options set in the configuration, `y` or `m`; null: it is not published. */
  readonly #options: ReadonlyMap<string, string> | null;
  readonly #builtIn: ReadonlySet<string>;
  readonly #installed: ReadonlySet<string> | null;
  readonly #loaded: ReadonlySet<string>;

  constructor(facts: {
    readonly release: string;
    readonly config: string | null;
    /** modules.builtin; null: not there. */
    readonly builtIn: string | null;
    /** modules.dep; null: not there. */
    readonly installed: string | null;
    /** Names in /sys/module. */
    readonly loaded: readonly string[];
  }) {
    this.release = facts.release;
    this.#options = facts.config === null ? null : parseConfig(facts.config);
    this.#builtIn = new Set(moduleNames(facts.builtIn ?? ""));
    this.#installed = facts.installed === null ? null : new Set(moduleNames(facts.installed));
    this.#loaded = new Set(facts.loaded);
  }

  static async read(): Promise<KernelBuild> {
    const name = release();
    const folder = (await isDirectory(`/lib/modules/${name}`))
      ? `/lib/modules/${name}`
      : `/usr/lib/modules/${name}`;
    return new KernelBuild({
      release: name,
      config:
        (await unpacked("/proc/config.gz")) ??
        (await text(`/boot/config-${name}`)) ??
        (await text(`${folder}/config`)),
      builtIn: await text(`${folder}/modules.builtin`),
      installed: await text(`${folder}/modules.dep`),
      loaded: await readdir("/sys/module").catch(() => []),
    });
  }

  /** `option` without CONFIG_; `module`: null for a part that is never a module. */
  find(option: string, module: string | null): Presence {
    if (module !== null && this.#builtIn.has(module)) return "built-in";
    const set = this.#options?.get(option);
    if (set === "y") return "built-in";
    if (module !== null && this.#loaded.has(module)) return "loaded";
    if (module !== null && this.#installed?.has(module) === true) return "loadable";
    if (this.#options !== null && set === undefined) return "missing";
    if (set === "m") return this.#installed === null ? "unknown" : "missing";
    return this.#installed === null || module === null ? "unknown" : "missing";
  }
}

function parseConfig(config: string): ReadonlyMap<string, string> {
  const options = config.matchAll(/^CONFIG_([A-Z0-9_]+)=([ym])$/gm);
  return new Map([...options].map((match) => [match[1] ?? "", match[2] ?? ""]));
}

/** `kernel/net/netfilter/xt_set.ko.xz: …` → `xt_set`; a dash in a file's name is an underscore in the module's. */
function moduleNames(list: string): string[] {
  return [...list.matchAll(/^(?:[^:\n]*\/)?([^/:\n]+?)\.ko(?:\.\w+)?(?::|$)/gm)].map((match) =>
    (match[1] ?? "").replaceAll("-", "_"),
  );
}

async function text(path: string): Promise<string | null> {
  return await readFile(path, "latin1").catch(() => null);
}

async function unpacked(path: string): Promise<string | null> {
  const packed = await readFile(path).catch(() => null);
  if (packed === null) return null;
  return (
    (await promisify(gunzip)(packed, { maxOutputLength: 4 * 1024 * 1024 }).catch(() => null))?.toString(
      "latin1",
    ) ?? null
  );
}

async function isDirectory(path: string): Promise<boolean> {
  return (await stat(path).catch(() => null))?.isDirectory() === true;
}
