import { type FSWatcher, watch } from "node:fs";
import { lstat, readlink, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

/** A file's name as a link of the chain that leads to it: `name` in `directory` decides what the path means. */
export interface WatchPoint {
  readonly directory: string;
  readonly name: string;
}

export interface FileWatchOptions {
  readonly path: string;
  /** Called after a change; never before the call before it has ended. */
  readonly onChange: () => Promise<void> | void;
  /** How long changes are gathered before one call, in milliseconds. Default 20. */
  readonly gatherMs?: number;
  /** How often the file is looked at in case no notice comes (network file systems), in milliseconds. Default 10,000. */
  readonly pollMs?: number;
}

/** As many symbolic links as the kernel follows (path_resolution(7)). */
const mostLinks = 40;

/**
 * Tells when a path begins to mean another content: written in place, renamed over, removed, made, or reached through
 * a symbolic link that was swapped (Kubernetes swaps a directory two links away from the file).
 */
export class FileWatch implements Disposable {
  readonly #path: string;
  readonly #onChange: () => Promise<void> | void;
  readonly #gatherMs: number;
  readonly #poll: NodeJS.Timeout;
  #watchers: FSWatcher[] = [];
  #points = "";
  #print = "";
  #gathering: NodeJS.Timeout | null = null;
  #looking = false;
  #again = false;
  #closed = false;

  private constructor(options: FileWatchOptions) {
    this.#path = resolve(options.path);
    this.#onChange = options.onChange;
    this.#gatherMs = options.gatherMs ?? 20;
    this.#poll = setInterval(() => void this.#look(), options.pollMs ?? 10_000).unref();
  }

  /** Resolves when every later change will be told; what is there now counts as seen. */
  static async open(options: FileWatchOptions): Promise<FileWatch> {
    const self = new FileWatch(options);
    await self.#arm();
    self.#print = await fingerprint(self.#path);
    return self;
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    clearInterval(this.#poll);
    if (this.#gathering !== null) clearTimeout(this.#gathering);
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
  }

  #notice(): void {
    this.#gathering ??= setTimeout(() => {
      this.#gathering = null;
      void this.#look();
    }, this.#gatherMs);
  }

  async #look(): Promise<void> {
    if (this.#looking) {
      this.#again = true;
      return;
    }
    this.#looking = true;
    do {
      this.#again = false;
      // Watchers first: a change after the fingerprint is then noticed.
      await this.#arm();
      const print = await fingerprint(this.#path);
      if (this.#closed) return;
      if (print !== this.#print) {
        this.#print = print;
        await this.#onChange();
      }
    } while (this.#again);
    this.#looking = false;
  }

  async #arm(): Promise<void> {
    const points = await watchPoints(this.#path);
    const key = JSON.stringify(points);
    if (key === this.#points || this.#closed) return;
    for (const watcher of this.#watchers) watcher.close();
    this.#points = key;
    this.#watchers = points.flatMap((point) => this.#watch(point));
  }

  #watch({ directory, name }: WatchPoint): FSWatcher[] {
    try {
      const watcher = watch(directory, { persistent: false }, (_, changed) => {
        if (changed === null || changed === name) this.#notice();
      });
      // The directory went away, or the kernel's limit of watches is reached: looking now and then remains.
      watcher.on("error", () => {
        watcher.close();
        this.#points = "";
      });
      return [watcher];
    } catch {
      this.#points = "";
      return [];
    }
  }
}

/** Every name that decides what `path` means: each symbolic link on the way, and the last name that exists or is missing. */
export async function watchPoints(path: string): Promise<readonly WatchPoint[]> {
  const points: WatchPoint[] = [];
  let rest = resolve(path).split("/").filter(Boolean);
  let at = "/";
  while (rest.length > 0) {
    const [name = "", ...after] = rest;
    const target = await linkTarget(join(at, name));
    if (target.kind === "missing" || (target.kind === "other" && after.length === 0)) {
      points.push({ directory: at, name });
      break;
    }
    if (target.kind === "link") {
      points.push({ directory: at, name });
      if (points.length > mostLinks) break;
      const next = resolve(at, target.to, ...after);
      rest = next.split("/").filter(Boolean);
      at = "/";
      continue;
    }
    at = join(at, name);
    rest = after;
  }
  return points;
}

type Target = { readonly kind: "missing" | "other" } | { readonly kind: "link"; readonly to: string };

async function linkTarget(path: string): Promise<Target> {
  try {
    const facts = await lstat(path);
    return facts.isSymbolicLink() ? { kind: "link", to: await readlink(path) } : { kind: "other" };
  } catch {
    return { kind: "missing" };
  }
}

/** Changes whenever the content of a file may have changed; of a missing one too. */
export async function fingerprint(path: string): Promise<string> {
  try {
    const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return [dev, ino, size, mtimeNs, ctimeNs].join(" ");
  } catch {
    return `no ${basename(path)} in ${dirname(path)}`;
  }
}
