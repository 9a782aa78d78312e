/**
 * Where an enforcement point stands.
 *
 * - `starting`: nothing of a policy is in force yet, or no policy is known.
 * - `settling`: rules stand and drop nothing, until tracking knows the flows that were there before.
 * - `applying`: a newer policy is on its way into the kernel; the one before is in force.
 * - `in-sync`: the kernel means the policy.
 * - `degraded`: it does not, or not provably, or not fully; `problems` says why. The last good rules are kept.
 * - `rolled-back`: the agent went back to the last good policy by itself.
 * - `suspended`: the operator took the rules out.
 * - `idle`: the policy asks for no rules.
 */
export type SyncState =
  | "starting"
  | "settling"
  | "applying"
  | "in-sync"
  | "degraded"
  | "rolled-back"
  | "suspended"
  | "idle";
