import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

export interface GarbageCollectorOptions {
  /** Gives what the C library holds back to the system. */
  readonly trim: () => void;
  /** How long nothing must have been told before the rest is collected, in milliseconds. Default 2,000. */
  readonly restMs?: number;
}

/** Memory outside the heap that is worth a collection (5 to 10 ms) in the midst of work: so much more than after the last. */
const worthBytes = 4 * 1024 * 1024;
/** Of so much, part may be of use no more whether it grew or not. */
const muchBytes = 8 * 1024 * 1024;

/**
 * Sets live in typed arrays, and these outside the heap. V8 lets 64 MiB of them pile up after they are dropped
 * (`kExternalAllocationSoftLimit`), nearly as much as the whole daemon is meant to take. So the moments at which large
 * ones are dropped are told here.
 */
export class GarbageCollector implements Disposable {
  readonly #options: GarbageCollectorOptions;
  readonly #gc: () => void;
  #heldBytes = 0;
  #rest: NodeJS.Timeout | null = null;

  constructor(options: GarbageCollectorOptions) {
    this.#options = options;
    // The one way to a collector that a program can take for itself; V8 has to be told that it is wanted.
    setFlagsFromString("--expose-gc");
    const gc: unknown = runInNewContext("gc");
    setFlagsFromString("--no-expose-gc");
    this.#gc = typeof gc === "function" ? () => void gc() : () => undefined;
  }

  /** Much memory is about to be asked for. */
  makeRoom(): void {
    if (outsideBytes() >= muchBytes) this.#collect();
    this.#restLater();
  }

  /** Work with sets came to an end, or to a stage. */
  worked(): void {
    if (outsideBytes() >= this.#heldBytes + worthBytes) this.#collect();
    this.#restLater();
  }

  [Symbol.dispose](): void {
    if (this.#rest !== null) clearTimeout(this.#rest);
    this.#rest = null;
  }

  #restLater(): void {
    if (this.#rest !== null) {
      this.#rest.refresh();
      return;
    }
    this.#rest = setTimeout(() => {
      this.#rest = null;
      this.#collect();
      this.#options.trim();
    }, this.#options.restMs ?? 2_000).unref();
  }

  #collect(): void {
    this.#gc();
    this.#heldBytes = outsideBytes();
  }
}

/** V8's own figure, `external_memory`, still counts what a collection has just found: it is swept in the background. */
function outsideBytes(): number {
  return process.memoryUsage().arrayBuffers;
}
