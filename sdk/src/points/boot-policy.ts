import type { Policy } from "../policy/model.js";
import type { StoredState } from "../reconcile/policy-store.js";
import type { EnforceablePolicy } from "./admitted-policy.js";

/** What is enforced from the start on, before any policy arrives. */
export type BootMode = "last-known-good" | "closed" | "visibility";

/** null: nothing, until a policy arrives. */
export function bootPolicy(state: StoredState, boot: BootMode): EnforceablePolicy | null {
  const { policy, digest, proof } = state;
  if (policy !== null && boot !== "visibility")
    return { policy, version: policy.version, digest, ...(proof !== undefined && { proof }) };
  if (boot === "last-known-good") return null;
  const mode = boot === "closed" ? "full" : "visibility";
  return {
    policy: { ...nothingAllowed, ...(policy ?? {}), mode, version: null },
    version: null,
    digest: null,
  };
}

const nothingAllowed: Policy = {
  version: null,
  mode: "full",
  visibility: "blocked+allowed",
  reject: false,
  sets: new Map(),
  rules: [],
  enforce: [],
  identities: new Map(),
};
