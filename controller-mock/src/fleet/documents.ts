import { formatVersion } from "@antenna/sdk";
import type { KeyDocument, WorkloadDocument } from "../documents.js";
import type { PairingKeyRecord, WorkloadRecord } from "../store-port.js";

const aheadProblem = {
  code: "policy-refused",
  message:
    "it tells of a version that was never issued here, and is issued nothing; if this controller was restored from a backup, raise the epoch: `antenna-controller policy epoch --raise`",
};

/** What is listed of a workload: as its agent last told, connected or not. */
export function workloadDocument(
  record: WorkloadRecord,
  { online, ahead }: { readonly online: boolean; readonly ahead: boolean },
): WorkloadDocument {
  const { id, name, host, labels, claims, reported, issued } = record;
  const applied = reported?.applied ?? null;
  return {
    id,
    name,
    host,
    labels,
    addresses: claims.map(({ address, scope, state, reason }) => ({ address, scope, state, reason })),
    online,
    mode: reported?.mode ?? null,
    policyVersion: issued === null ? null : formatVersion(issued.version),
    appliedVersion: applied === null ? null : formatVersion(applied.version),
    state: record.state === "revoked" ? "revoked" : (reported?.state ?? null),
    problems: [...(reported?.problems ?? []), ...(ahead ? [aheadProblem] : [])],
  };
}

/** Without its secret, which is kept nowhere. */
export function keyDocument(record: PairingKeyRecord): KeyDocument {
  const { id, labels, uses, used, expires, addresses, delegate, revoked } = record;
  return { id, labels, uses, used, expires, addresses, delegate, revoked };
}
