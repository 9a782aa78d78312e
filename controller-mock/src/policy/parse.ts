import { AntennaError } from "@antenna/sdk";
import { DocumentParser, DocumentReader, ProblemList, readValue } from "@antenna/sdk/document";
import { LabelPolicyExpectation } from "./label-policy-expectation.js";
import type { LabelPolicy } from "./model.js";

/**
 * A label policy from its document: JSON when the first character that is not space is `{` (up to 32 MiB), else YAML (up to
 * 4 MiB).
 *
 * @throws AntennaError `input-refused`; `problems` lists every one as `path: problem`.
 */
export function parseLabelPolicy(
  source: string | Uint8Array,
  operation = "read a label policy",
): LabelPolicy {
  const bytes = typeof source === "string" ? Buffer.from(source, "utf8") : source;
  return readLabelPolicy(operation, (reader, problems) => {
    const parser = new DocumentParser(problems, reader, bytes.length);
    parser.push(bytes);
    parser.end();
  });
}

/**
 * A label policy from a value in memory, under the same rules as from text.
 *
 * @throws AntennaError `input-refused`
 */
export function labelPolicyFrom(document: unknown, operation = "read a label policy"): LabelPolicy {
  return readLabelPolicy(operation, (reader, problems) => {
    const problem = readValue(document, reader);
    if (problem !== null) problems.add("", problem);
  });
}

function readLabelPolicy(
  operation: string,
  read: (reader: DocumentReader, problems: ProblemList) => void,
): LabelPolicy {
  const problems = new ProblemList();
  const expectations: LabelPolicyExpectation[] = [];
  const reader = new DocumentReader(problems, (self) => {
    const expectation = new LabelPolicyExpectation(self, problems);
    expectations.push(expectation);
    return expectation;
  });
  read(reader, problems);
  problems.throwIfAny(operation);
  const policy = expectations[0]?.policy ?? null;
  if (policy !== null) return policy;
  const message = "a document that ended early was not refused; please report this";
  throw new AntennaError({ code: "internal", operation, message });
}
