import { policyLimits } from "../../policy/limits.js";

/** Bounds of what is said on the wire; whoever says more is refused. Sizes in bytes. */
export const protocolLimits = {
  /** Of one encoded message: what gRPC takes when nobody sets it. */
  message: 4 * 1024 * 1024,
  /** Messages and entries in an encoded message, all together. */
  objects: {
    PairRequest: 0,
    PairResponse: 64,
    RenewRequest: 4,
    RenewResponse: 64,
    SessionRequest: 10_000,
    SessionResponse:
      policyLimits.entries + policyLimits.rules + policyLimits.identities + policyLimits.sets * 2 + 64,
  },
  /** Of one part of a policy, unless its header alone is larger. */
  part: 256 * 1024,
  /** Names: hosts, interfaces, processes, accounts, systems. */
  name: 255,
  /** Words for people. */
  words: 4_096,
  /** Every problem of a policy that was refused. */
  reason: 65_536,
  /** The document of a preview. */
  preview: 1024 * 1024,
  /** A certificate or a certificate request. */
  certificate: 16_384,
  certificates: 8,
  /** Id and secret of a pairing key. */
  pairingId: 64,
  pairingSecret: 64,
  token: 64,
  nonce: 64,
  /** An ECDSA signature (DER). */
  signature: 256,
  policyKeys: 16,
  capabilities: 64,
  problems: 256,
  /** With names of full length both lists and the tags still fit a message. */
  addresses: 4_096,
  services: 4_096,
  tags: 256,
  /** Of a tag's value. */
  tag: 1_024,
} as const;
