import type { ContextSource, ContextSourceOptions } from "../ports.js";
import type { ContextFacts, WorkloadContext } from "./workload-context.js";

/** Merges what the sources know into the context of a workload, and tells when it changed. */
export class Inventory implements AsyncDisposable {
  readonly #sources: readonly ContextSource[];
  readonly #onChange: () => void;
  #facts: ContextFacts = {};
  #started = false;

  constructor(sources: readonly ContextSource[], onChange: () => void) {
    this.#sources = sources;
    this.#onChange = onChange;
  }

  /** Idempotent. */
  start(options: ContextSourceOptions): void {
    if (this.#started) return;
    this.#started = true;
    for (const source of this.#sources) source.start((facts) => this.#merge(facts), options);
  }

  /** null: name and system, which every context has, are not known yet. */
  context(): WorkloadContext | null {
    const { hostname, os, virtualization, addresses, services, cloud } = this.#facts;
    if (hostname === undefined || os === undefined) return null;
    return {
      hostname,
      os,
      virtualization: virtualization ?? null,
      addresses: addresses ?? [],
      services: services ?? [],
      cloud: cloud ?? null,
    };
  }

  #merge(facts: ContextFacts): void {
    this.#facts = { ...this.#facts, ...facts };
    this.#onChange();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#sources.map((source) => source[Symbol.asyncDispose]()));
  }
}

/** The parts of `after` that `before` does not have, each whole; everything if there is no before. */
export function contextDelta(before: WorkloadContext | null, after: WorkloadContext): ContextFacts {
  if (before === null) return after;
  const changed = Object.entries(after).filter(
    ([part, value]) => JSON.stringify(value) !== JSON.stringify(before[part as keyof WorkloadContext]),
  );
  return Object.fromEntries(changed);
}
