/**
 * Bounds of what is read. They bound the memory that a hostile document can take; the host's budget, which is narrower,
 * is judged by whoever enforces.
 */
export const policyLimits = {
  /** Larger JSON is refused by its size, before it is read. */
  jsonBytes: 32 * 1024 * 1024,
  /** YAML is the form for people; its parser holds the document as a whole. */
  yamlBytes: 4 * 1024 * 1024,
  /** Nodes of a YAML document, guessed from its punctuation before it is parsed. */
  yamlNodes: 1_000_000,
  /** Nodes that the aliases of a YAML document stand for, all together. */
  yamlAliasNodes: 100_000,
  /** Nesting of a document; a policy needs 6. */
  depth: 32,
  /** Bytes of one text; the longest that means anything is an identity. */
  textBytes: 4_096,
  /** Bytes of the id of a rule and of the name of a set. */
  nameBytes: 128,
  /** Bytes of an IKE identity. */
  identityBytes: 1_024,
  sets: 65_536,
  rules: 65_536,
  identities: 65_536,
  /** Peers, services and port ranges of all rules together. */
  entries: 262_144,
  /** Members of all sets together, duplicates counted. */
  members: 1_048_576,
  /** Problems listed; the rest is counted. */
  problems: 1_000,
} as const;
