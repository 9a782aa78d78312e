export { agentService, protocolRevision, type ServiceMethod } from "./codec/agent-service.js";
export { contextParts } from "./codec/context-message.js";
export {
  decodePairRequest,
  decodePairResponse,
  encodePairRequest,
  encodePairResponse,
  isWorkloadId,
  type PairRequestMessage,
  type PairResponseMessage,
} from "./codec/pair-message.js";
export {
  type AssembledPolicy,
  assemblePart,
  PolicyAssembler,
  type PolicyAssemblerOptions,
} from "./codec/policy-assembler.js";
export type { PackedChange, PolicyHeader, PolicyPart } from "./codec/policy-part.js";
export { type PolicySeal, policyPart, policyParts } from "./codec/policy-parts.js";
export { protocolLimits } from "./codec/protocol-limits.js";
export * from "./codec/renew-message.js";
export * from "./codec/session-request.js";
export * from "./codec/session-response.js";
export type { StatusMessage } from "./codec/status-message.js";
export type { IssuedIdentity, PolicyKey, Trust } from "./codec/trust-message.js";
export { controllerName } from "./identity/certificate-chain.js";
export { PairingKey } from "./identity/pairing-key.js";
export {
  generatePolicyKey,
  type PolicySigningKey,
  policyKeyId,
  policySigningKey,
} from "./signature/policy-key.js";
export { type PinnedKeys, PolicyKeyChain } from "./signature/policy-key-chain.js";
export {
  type PolicyClaim,
  proofProblem,
  signPolicy,
  type VerifyOptions,
  verifyPolicy,
} from "./signature/policy-proof.js";
export { renewalText } from "./signature/signed-text.js";
