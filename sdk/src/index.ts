export { type Agent, createAgent } from "./agent.js";
export type * from "./agent-calls.js";
export type * from "./agent-events.js";
export type { AgentOptions, Canary } from "./agent-options.js";
export { membersWithin } from "./agent-options.js";
export type * from "./agent-status.js";
export { contextDelta, Inventory } from "./context/inventory.js";
export type * from "./context/workload-context.js";
export * from "./error.js";
export type * from "./evaluate/essential.js";
export { builtinEssentials, type EssentialFacts } from "./evaluate/essentials.js";
export { type EvaluateOptions, evaluate } from "./evaluate/evaluate.js";
export { answerType, requestType } from "./evaluate/opening.js";
export type * from "./evaluate/packet.js";
export { comparePolicies } from "./points/policy-preview.js";
export { formatAddress, formatBlock, parseAddress } from "./policy/address.js";
export { AddressSet, AddressSetBuilder, type AddressSetDiff } from "./policy/address-set.js";
export type { Blocks } from "./policy/blocks.js";
export { applyDelta, type PolicyDelta, policyDelta, type SetDelta } from "./policy/delta.js";
export { policyDigest } from "./policy/digest.js";
export {
  countPolicy,
  type PolicyCounts,
  type PolicyRest,
  policyChunks,
  policyDocumentWithoutSets,
} from "./policy/format.js";
export { policyLimits } from "./policy/limits.js";
export * from "./policy/model.js";
export { normalisePeers, normaliseServices } from "./policy/normalise.js";
export { PolicyParser, type PolicyParserOptions, parsePolicy, policyFrom } from "./policy/parse.js";
export type { PolicyDocument, RuleDocument, ServiceDocument } from "./policy/policy-document.js";
export { type ReadPolicyOptions, readPolicyFile, readPolicyStream } from "./policy/policy-file.js";
export { formatPorts, normalisePorts } from "./policy/ports.js";
export { protocolName, protocolNumber } from "./policy/protocol.js";
export { setRoot } from "./policy/set-digest.js";
export {
  type AcceptedPolicy,
  admitVersion,
  compareVersions,
  formatVersion,
  parseVersion,
} from "./policy/version.js";
export type * from "./ports.js";
export { type CompileOptions, compile, defaultMaxMembers } from "./program/compile.js";
export { type PolicyCost, predictCost, requireAffordable } from "./program/cost.js";
export { decide } from "./program/decide.js";
export type * from "./program/program.js";
export type { SetChange } from "./program/set-change.js";
export { PairingKey } from "./protocol/identity/pairing-key.js";
export { type GrpcLinkOptions, grpcLink } from "./protocol/link/grpc-link.js";
export type { PairOptions, PairResult, UnpairOptions } from "./protocol/link/pair.js";
export { pair, unpair } from "./protocol/link/pairing.js";
export type * from "./reconcile/command.js";
export { planRemove, planSafe } from "./reconcile/plan.js";
export type { ProblemCode, StandingProblem } from "./reconcile/problem-board.js";
export type { SyncState } from "./reconcile/sync-state.js";
export { systemClock } from "./reconcile/system-clock.js";
