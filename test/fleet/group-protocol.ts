/** What a parent asks of a process of simulated agents, and what it answers; over the IPC channel of node:child_process. */

export interface AgentPlan {
  readonly name: string;
  readonly addresses: readonly string[];
  /** `id.secret.fingerprint` */
  readonly key: string;
}

export type GroupRequest =
  | { readonly method: "add"; readonly port: number; readonly agents: readonly AgentPlan[] }
  /** Resolves when all are paired. */
  | { readonly method: "pair"; readonly atOnce: number }
  /** Resolves when all are welcomed. */
  | { readonly method: "start" }
  /** Begins to note when policies come, forgetting what was noted. `address`: only those that admit it. */
  | { readonly method: "watch"; readonly address: string | null }
  /** Resolves when so many of the agents whose names begin so have got a policy that is noted. */
  | { readonly method: "noted"; readonly prefix: string; readonly count: number; readonly patienceMs: number }
  | { readonly method: "states" }
  | { readonly method: "stop" };

export interface NotedPolicy {
  readonly name: string;
  /** Milliseconds of CLOCK_MONOTONIC, the same in every process. */
  readonly at: number;
  readonly version: string;
  readonly probation: boolean;
}

export interface AgentState {
  readonly name: string;
  readonly workload: string;
  readonly isConnected: boolean;
  readonly welcomes: number;
  /** null: none. */
  readonly version: string | null;
  readonly digest: string | null;
  /** It is confirmed. */
  readonly isApplied: boolean;
}

export interface GroupAnswers {
  readonly add: null;
  readonly pair: null;
  readonly start: null;
  readonly watch: null;
  readonly noted: readonly NotedPolicy[];
  readonly states: { readonly agents: readonly AgentState[]; readonly faults: readonly string[] };
  readonly stop: null;
}

export interface NumberedRequest {
  readonly id: number;
  readonly request: GroupRequest;
}

export type NumberedAnswer =
  | { readonly id: number; readonly value: GroupAnswers[keyof GroupAnswers] }
  | { readonly id: number; readonly problem: string };

/** Milliseconds of CLOCK_MONOTONIC. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}
