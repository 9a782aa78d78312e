import {
  comparePolicies,
  compile,
  formatVersion,
  type Policy,
  type PreviewReport,
  policyDigest,
  predictCost,
  type Version,
} from "@antenna/sdk";
import type { FleetPreviewDocument } from "../documents.js";
import type { AgentSession } from "../session/agent-session.js";

export interface PreviewOptions {
  readonly workload: string;
  readonly name: string;
  readonly from: Policy;
  /** What it was issued last; null: nothing. */
  readonly issued: Version | null;
  readonly to: Policy;
  /** The version that it would get at the earliest. */
  readonly next: Version;
  /** null: the agent is not connected. */
  readonly session: AgentSession | null;
  /** How many flows to name. */
  readonly examples: number;
}

/** What a new policy would change on one workload: the agent is asked what would be cut, all else is known here. */
export async function previewWorkload(
  options: PreviewOptions,
): Promise<FleetPreviewDocument["workloads"][number]> {
  const { workload, name, from, to, issued, next, session, examples } = options;
  const known = {
    workload,
    name,
    ...comparePolicies(from, to),
    from: issued === null ? null : formatVersion(issued),
    to: formatVersion(next),
    cost: predictCost(compile(to, { maxMembers: Number.MAX_SAFE_INTEGER })),
  };
  if (session === null) return { ...known, cuts: null };
  const answer = await session.preview(to, policyDigest(to), examples);
  return { ...known, cuts: answer.kind === "document" ? readCuts(answer.document) : null };
}

/** Its form is checked, for it goes into a document that others read. null: it is not one. */
function readCuts(document: string): PreviewReport["cuts"] | null {
  try {
    const { cuts } = JSON.parse(document) as { readonly cuts?: Partial<PreviewReport["cuts"]> };
    if (cuts === undefined || !Number.isSafeInteger(cuts.flows) || typeof cuts.complete !== "boolean")
      return null;
    if (!Array.isArray(cuts.examples)) return null;
    return { flows: cuts.flows as number, complete: cuts.complete, examples: cuts.examples };
  } catch {
    return null;
  }
}
