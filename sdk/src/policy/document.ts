/**
 * Strict reading of YAML and JSON documents against expectations, as policies are read: every problem with its path, unknown
 * and duplicate keys refused, bounded. Subpath `@antenna/sdk/document`.
 */
export { quote } from "./address.js";
export { DocumentParser } from "./document-parser.js";
export {
  DocumentReader,
  type Expectation,
  type ListExpectation,
  type MapExpectation,
} from "./document-reader.js";
export { NamedSetsExpectation } from "./named-sets-expectation.js";
export { compareNames } from "./normalise.js";
export { nameProblem } from "./printable.js";
export { ProblemList } from "./problem-list.js";
export { expectService, expectServices, type TakeEntries } from "./service-expectation.js";
export { readValue } from "./value-events.js";
export { expectBoolean, expectOneOf } from "./word-expectation.js";
