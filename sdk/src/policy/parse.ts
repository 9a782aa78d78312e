import type { AddressSet } from "./address-set.js";
import { DocumentParser } from "./document-parser.js";
import { DocumentReader } from "./document-reader.js";
import type { Policy } from "./model.js";
import type { PolicyDocument } from "./policy-document.js";
import { PolicyExpectation } from "./policy-expectation.js";
import { ProblemList } from "./problem-list.js";
import { readValue } from "./value-events.js";

export interface PolicyParserOptions {
  /** What is being read, for messages: `read policy /etc/antenna/policy.yaml`. Default: `read a policy`. */
  readonly operation?: string;
  /** Bytes that will come, if that is known: what is too large is then refused before it is read. */
  readonly expectedBytes?: number;
}

/** Reads a policy document in chunks of any size: see `DocumentParser`. */
export class PolicyParser {
  readonly #operation: string;
  readonly #problems = new ProblemList();
  readonly #expectation: PolicyExpectation;
  readonly #parser: DocumentParser;

  constructor(options: PolicyParserOptions = {}) {
    this.#operation = options.operation ?? "read a policy";
    const { reader, expectation } = expectPolicy(this.#problems, null);
    this.#expectation = expectation;
    this.#parser = new DocumentParser(this.#problems, reader, options.expectedBytes ?? 0);
  }

  /** True when nothing that follows can change the refusal: reading on is of no use. */
  get failed(): boolean {
    return this.#parser.failed;
  }

  /** The chunk may be reused afterwards. */
  push(chunk: Uint8Array): void {
    this.#parser.push(chunk);
  }

  /** @throws AntennaError `input-refused` with every problem. */
  end(): Policy {
    this.#parser.end();
    this.#problems.throwIfAny(this.#operation);
    return this.#expectation.policy();
  }
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
