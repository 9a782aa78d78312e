import type { Logger } from "@antenna/sdk";
import { FileWatch } from "./file-watch.js";
import { findResolvers, resolvConfOf } from "./resolvers.js";

export interface ResolverWatchOptions {
  readonly namespace: string | null;
  /** Called when the upstream resolvers became others. */
  readonly onChange: (servers: readonly string[]) => void;
  readonly logger: Logger;
}

/** Knows the upstream resolvers of the namespace, and hears of their change. */
export class ResolverWatch implements Disposable {
  readonly #options: ResolverWatchOptions;
  #watches: readonly FileWatch[] = [];
  #files: readonly string[] = [];
  #servers: readonly string[] = [];
  #closed = false;

  private constructor(options: ResolverWatchOptions) {
    this.#options = options;
  }

  static async open(options: ResolverWatchOptions): Promise<ResolverWatch> {
    const watch = new ResolverWatch(options);
    await watch.#read();
    return watch;
  }

  get servers(): readonly string[] {
    return this.#servers;
  }

  /** Reads again now; tells when they became others. */
  async refresh(): Promise<void> {
    const before = this.#servers.join(" ");
    await this.#read();
    if (this.#closed || this.#servers.join(" ") === before) return;
    this.#options.logger.info({ resolvers: this.#servers }, "the resolvers changed");
    this.#options.onChange(this.#servers);
  }

  [Symbol.dispose](): void {
    this.#closed = true;
    for (const watch of this.#watches) watch[Symbol.dispose]();
  }

  async #read(): Promise<void> {
    const { servers, files } = await findResolvers(await resolvConfOf(this.#options.namespace));
    this.#servers = servers;
    if (files.join("\n") === this.#files.join("\n")) return;
    const opened = await Promise.all(
      files.map((path) =>
        FileWatch.open({ path, pollMs: 60_000, gatherMs: 200, onChange: () => this.refresh() }),
      ),
    );
    for (const watch of this.#watches) watch[Symbol.dispose]();
    this.#files = files;
    this.#watches = opened;
    if (this.#closed) for (const watch of opened) watch[Symbol.dispose]();
  }
}
