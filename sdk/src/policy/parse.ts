import type { AddressSet } from "./address-set.js";
import { DocumentReader } from "./document-reader.js";
import { JsonScanner } from "./json-scanner.js";
import { policyLimits } from "./limits.js";
import type { Policy } from "./model.js";
import type { PolicyDocument } from "./policy-document.js";
import { PolicyExpectation } from "./policy-expectation.js";
import { ProblemList } from "./problem-list.js";
import { readValue } from "./value-events.js";
import { readYaml } from "./yaml-events.js";

export interface PolicyParserOptions {
  /** What is being read, for messages: `read policy /etc/antenna/policy.yaml`. Default: `read a policy`. */
  readonly operation?: string;
  /** Bytes that will come, if that is known: what is too large is then refused before it is read. */
  readonly expectedBytes?: number;
}

/**
 * Reads a policy document in chunks of any size. JSON (the first character that is not space is `{`) is scanned as it
 * comes, in constant memory besides the policy itself; YAML is kept, up to 4 MiB, and parsed at the end.
 */
export class PolicyParser {
  readonly #operation: string;
  readonly #expectedBytes: number;
  readonly #problems = new ProblemList();
  readonly #reader: DocumentReader;
  readonly #expectation: PolicyExpectation;
  readonly #scanner: JsonScanner;
  #form: "unknown" | "json" | "yaml" = "unknown";
  /** What came before the form was known, or the whole of a YAML document. */
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #bytes = 0;
  /** Bytes of the byte order mark seen so far; 3: over, or there is none. */
  #mark = 0;
  #failed = false;

  constructor(options: PolicyParserOptions = {}) {
    this.#operation = options.operation ?? "read a policy";
    this.#expectedBytes = options.expectedBytes ?? 0;
    const { reader, expectation } = expectPolicy(this.#problems, null);
    this.#reader = reader;
    this.#expectation = expectation;
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

  /** @throws AntennaError `input-refused` with every problem. */
  end(): Policy {
    if (!this.#failed) {
      const problem = this.#form === "json" ? this.#scanner.end() : this.#readYaml();
      if (problem !== null) this.#fail(problem);
    }
    this.#problems.throwIfAny(this.#operation);
    return this.#expectation.policy();
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

/**
 * A policy from its document: JSON when the first character that is not space is `{`, else YAML.
 *
 * @throws AntennaError `input-refused`; `problems` lists every one as `path: problem`.
 */
export function parsePolicy(source: string | Uint8Array, options: PolicyParserOptions = {}): Policy {
  const bytes = typeof source === "string" ? Buffer.from(source, "utf8") : source;
  const parser = new PolicyParser({ ...options, expectedBytes: bytes.length });
  parser.push(bytes);
  return parser.end();
}

/**
 * A policy from a value in memory, under the same rules as from text.
 *
 * @throws AntennaError `input-refused`
 */
export function policyFrom(document: PolicyDocument, operation = "read a policy"): Policy {
  return readPolicyValue(document, null, operation);
}

/** As `policyFrom`; with `sets` given, the document has neither sets nor a version. */
export function readPolicyValue(
  document: unknown,
  sets: ReadonlyMap<string, AddressSet> | null,
  operation: string,
): Policy {
  const problems = new ProblemList();
  const { reader, expectation } = expectPolicy(problems, sets);
  const problem = readValue(document, reader);
  if (problem !== null) problems.add("", problem);
  problems.throwIfAny(operation);
  return expectation.policy();
}

function expectPolicy(problems: ProblemList, sets: ReadonlyMap<string, AddressSet> | null) {
  let expectation: PolicyExpectation | null = null;
  const reader = new DocumentReader(problems, (self) => {
    expectation = new PolicyExpectation(self, problems, sets);
    return expectation;
  });
  if (expectation === null) throw new TypeError("the reader made no expectation");
  return { reader, expectation: expectation as PolicyExpectation };
}
