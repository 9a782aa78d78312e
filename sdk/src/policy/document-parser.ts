import type { DocumentReader } from "./document-reader.js";
import { JsonScanner } from "./json-scanner.js";
import { policyLimits } from "./limits.js";
import type { ProblemList } from "./problem-list.js";
import { readYaml } from "./yaml-events.js";

/**
 * Reads a document in chunks of any size, strictly, against what is expected of it. JSON (the first character that is not space is `{`) is scanned as it
 * comes, in constant memory besides what is made of it; YAML is kept, up to 4 MiB, and parsed at the end.
 */
export class DocumentParser {
  readonly #expectedBytes: number;
  readonly #problems: ProblemList;
  readonly #reader: DocumentReader;
  readonly #scanner: JsonScanner;
  #form: "unknown" | "json" | "yaml" = "unknown";
  /** What came before the form was known, or the whole of a YAML document. */
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #bytes = 0;
  /** Bytes of the byte order mark seen so far; 3: over, or there is none. */
  #mark = 0;
  #failed = false;

  /** `expectedBytes`: bytes that will come; 0: not known. */
  constructor(problems: ProblemList, reader: DocumentReader, expectedBytes: number) {
    this.#problems = problems;
    this.#reader = reader;
    this.#expectedBytes = expectedBytes;
    this.#scanner = new JsonScanner(reader);
    if (this.#expectedBytes > policyLimits.jsonBytes) this.#fail(tooLarge);
  }

  /** True when nothing that follows can change the refusal: reading on is of no use. */
  get failed(): boolean {
    return this.#failed;
  }

  /** The chunk may be reused afterwards. */
  push(chunk: Uint8Array): void {
    if (this.#failed) return;
    this.#bytes += chunk.length;
    if (this.#bytes > policyLimits.jsonBytes) {
      this.#fail(tooLarge);
      return;
    }
    const rest = this.#skipMark(chunk);
    if (this.#form === "unknown") this.#form = formOf(rest);
    if (this.#form === "json") {
      const kept = this.#kept;
      this.#kept = [];
      for (const bytes of [...kept, rest]) this.#scan(bytes);
      return;
    }
    if (this.#form === "yaml" && Math.max(this.#expectedBytes, this.#bytes) > policyLimits.yamlBytes) {
      this.#fail(tooLargeYaml);
    } else this.#keep(rest);
  }

  /** The document is over; what is wrong with it is among the problems. */
  end(): void {
    if (this.#failed) return;
    const problem = this.#form === "json" ? this.#scanner.end() : this.#readYaml();
    if (problem !== null) this.#fail(problem);
  }

  #scan(bytes: Uint8Array): void {
    if (this.#failed) return;
    const problem = this.#scanner.push(bytes);
    if (problem !== null) this.#fail(problem);
  }

  /** Spaces before the first character count in YAML, and nobody writes megabytes of them. */
  #keep(bytes: Uint8Array): void {
    this.#keptBytes += bytes.length;
    if (this.#keptBytes > policyLimits.yamlBytes) this.#fail(tooLargeYaml);
    else this.#kept.push(new Uint8Array(bytes));
  }

  #readYaml(): string | null {
    const bytes = Buffer.concat(this.#kept);
    this.#kept = [];
    const cutMark = this.#mark === 1 || this.#mark === 2;
    if (this.#form === "unknown" && !cutMark) return "the document is empty";
    const text = cutMark ? null : decode(bytes);
    return text === null ? "is not UTF-8" : readYaml(text, this.#reader);
  }

  /** UTF-8's byte order mark, EF BB BF, may be cut by chunks. */
  #skipMark(chunk: Uint8Array): Uint8Array {
    let at = 0;
    while (this.#mark < 3 && at < chunk.length) {
      if (chunk[at] !== byteOrderMark[this.#mark]) {
        const begun = byteOrderMark.slice(0, this.#mark);
        this.#mark = 3;
        // A beginning alone is no mark; it goes where it belongs, and will be refused there.
        return begun.length === 0 ? chunk : Buffer.concat([begun, chunk.subarray(at)]);
      }
      at++;
      this.#mark++;
    }
    return chunk.subarray(at);
  }

  #fail(problem: string): void {
    this.#failed = true;
    this.#kept = [];
    this.#problems.add("", problem);
  }
}

const byteOrderMark = Uint8Array.of(0xef, 0xbb, 0xbf);
const tooLarge = `is larger than ${policyLimits.jsonBytes >> 20} MiB, which is the most that is read`;
const tooLargeYaml = `is larger than ${policyLimits.yamlBytes >> 20} MiB, the most for YAML; write it as JSON (up to ${policyLimits.jsonBytes >> 20} MiB)`;

/** null: not UTF-8. (`node:buffer` has a check of its own; importing it loads streams and blobs, 5 MB of them.) */
function decode(bytes: Uint8Array): string | null {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

function formOf(bytes: Uint8Array): "unknown" | "json" | "yaml" {
  for (const byte of bytes) {
    if (byte === 0x20 || byte === 0x09 || byte === 0x0a || byte === 0x0d) continue;
    return byte === 0x7b ? "json" : "yaml";
  }
  return "unknown";
}
