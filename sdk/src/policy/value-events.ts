import { quote } from "./address.js";
import type { DocumentSink } from "./document-sink.js";
import { policyLimits } from "./limits.js";
import { isWellFormed, unpaired } from "./printable.js";

/**
 * A value in memory as the events that its JSON would make: plain objects and Maps are maps, arrays are lists. What JSON
 * has no form for is reported.
 *
 * @returns null, or what is wrong with the value as a whole.
 */
export function readValue(value: unknown, sink: DocumentSink): string | null {
  return new ValueReader(sink).read(value, 0)
    ? null
    : `is nested more than ${policyLimits.depth} levels deep`;
}

class ValueReader {
  readonly #sink: DocumentSink;
  readonly #scratch = Buffer.alloc(policyLimits.textBytes);

  constructor(sink: DocumentSink) {
    this.#sink = sink;
  }

  /** False: too deep. */
  read(value: unknown, depth: number): boolean {
    if (depth > policyLimits.depth) return false;
    if (typeof value === "string") {
      if (!isWellFormed(value)) this.#sink.misfit(unpaired);
      else this.#sink.text(...this.#encode(value));
    } else if (typeof value === "number" || typeof value === "bigint") this.#sink.number(String(value));
    else if (typeof value === "boolean") this.#sink.boolean(value);
    else if (value === null) this.#sink.nothing();
    else if (Array.isArray(value)) return this.#list(value, depth);
    else if (typeof value === "object") return this.#map(value, depth);
    else this.#sink.misfit(`is ${typeof value}, which a document cannot hold`);
    return true;
  }

  #list(values: readonly unknown[], depth: number): boolean {
    this.#sink.beginList();
    for (const value of values) if (!this.read(value, depth + 1)) return false;
    this.#sink.endList();
    return true;
  }

  #map(value: object, depth: number): boolean {
    const entries: Iterable<[unknown, unknown]> = value instanceof Map ? value : Object.entries(value);
    this.#sink.beginMap();
    for (const [key, item] of entries) {
      // As JSON.stringify does: an optional key that is undefined is not there.
      if (item === undefined) continue;
      if (typeof key === "string" && isWellFormed(key)) this.#sink.key(...this.#encode(key));
      else this.#sink.misfitKey(String(key), `the key ${quote(String(key))} is not a text`);
      if (!this.read(item, depth + 1)) return false;
    }
    this.#sink.endMap();
    return true;
  }

  #encode(value: string): [Uint8Array, number, number, boolean] {
    const written = this.#scratch.write(value, "utf8");
    return [this.#scratch, 0, written, Buffer.byteLength(value, "utf8") === written];
  }
}
