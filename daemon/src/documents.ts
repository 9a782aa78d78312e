import type {
  AgentStatus,
  Explanation,
  PolicyCost,
  PreviewReport,
  Problem,
  Removal,
  VerifyReport,
  WorkloadContext,
} from "@antenna/sdk";

/** What a daemon adds to a problem's code: those of the agent, and its own. */
export interface StatusProblem {
  readonly code: string;
  readonly message: string;
  /** Wall clock, ISO 8601. */
  readonly since: string;
}

/** `antenna status --json`. */
export interface StatusDocument extends Omit<AgentStatus, "problems"> {
  readonly budget: BudgetDocument;
  readonly losses: { readonly events: number; readonly summaries: number };
  readonly problems: readonly StatusProblem[];
  readonly daemon: {
    readonly version: string;
    readonly pid: number;
    readonly uptimeSeconds: number;
    readonly stateDir: string;
    readonly namespace: string | null;
    /** The policy file; null: none. */
    readonly policy: string | null;
  };
}

export interface BudgetDocument {
  readonly cpuPercent: Usage;
  readonly memoryMiB: Usage;
  readonly diskMiB: Usage;
  readonly enforcement: { readonly cpuSeconds: number };
  readonly level: "full";
}

export interface Usage {
  readonly used: number;
  readonly limit: number;
}

/** `antenna context --json`. */
export interface ContextDocument extends WorkloadContext {
  readonly workload: string;
  /** Those of this host; none are looked for in this version. */
  readonly containers: readonly never[];
}

/** What a daemon answers to `context`. */
export interface ContextAnswer {
  readonly workload: string;
  /** null: not gathered, or not yet. */
  readonly context: WorkloadContext | null;
  /** HOST:PORT of who is told; null: nobody. */
  readonly controller: string | null;
  readonly namespace: string | null;
}

/** `antenna policy check --json`. */
export interface PolicyCheckDocument {
  readonly ok: boolean;
  readonly version: string | null;
  readonly digest: string | null;
  readonly cost: PolicyCost | null;
  readonly problems: readonly Problem[];
}

/** `antenna policy preview --json`. */
export type PolicyPreviewDocument = PreviewReport;

/** One of the owner's rules that decides about a packet before or after ours. */
export interface ForeignRule {
  readonly table: string;
  readonly chain: string;
  /** As `iptables -S` prints it. */
  readonly rule: string;
  /** What it does to the packet; `unknown`: it carries a match that is not understood. */
  readonly verdict: "dropped" | "rejected" | "unknown";
  /** For `unknown`: the part that is not understood. */
  readonly reason: string | null;
}

/** `antenna explain --json`. */
export interface ExplainDocument extends Explanation {
  readonly foreign: readonly ForeignRule[];
}

/** `antenna verify --json`. */
export type VerifyDocument = VerifyReport;

/** `antenna purge --json`. */
export type PurgeDocument = Removal;

/** `antenna check --json`. */
export interface CheckDocument {
  readonly ok: boolean;
  readonly items: readonly CheckItem[];
}

export interface CheckItem {
  readonly name: string;
  readonly state: "green" | "yellow" | "red";
  /** What is there; null: nothing. */
  readonly found: string | null;
  /** What to do about it; null: nothing to do. */
  readonly advice: string | null;
}
