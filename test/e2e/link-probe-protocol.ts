/** What a test asks of the prober (`link-prober.ts`) in a host's namespace; one JSON object a line each way. */
export type ProbeRequest =
  /** Pairs the host and probes until everybody answers; time runs from the pairing call. */
  | ({
      readonly op: "join";
      readonly controller: string;
      readonly key: string;
      readonly stateDir: string;
    } & ProbeTargets)
  /** Gives the host up, as `antenna unpair` does. */
  | { readonly op: "unpair"; readonly stateDir: string }
  /** Another address instead of the own one, with its prefix; time runs from the call that adds the new one. */
  | ({ readonly op: "move"; readonly from: string; readonly to: string } & ProbeTargets)
  /** Probes until everybody answers; time runs from `since`. */
  | ({ readonly op: "reach"; readonly since: number } & ProbeTargets)
  /** Probes until nobody answers any more; time runs from `since`. */
  | ({ readonly op: "lose"; readonly since: number } & ProbeTargets);

export interface ProbeTargets {
  /** Each echoes UDP datagrams at this port. */
  readonly targets: readonly string[];
  readonly port: number;
  readonly patienceMs: number;
}

/** Milliseconds. */
export interface ProbeResult {
  /** Until the identity was there; null: nobody paired. */
  readonly pairedMs: number | null;
  /** Until the first answer (`lose`: until the first fell silent); null: never. */
  readonly firstMs: number | null;
  /** Until the last one's; null: some never did. */
  readonly allMs: number | null;
  /** Those that never did. */
  readonly late: readonly string[];
}

export type ProbeAnswer =
  | { readonly id: number; readonly ok: true; readonly result: ProbeResult }
  | { readonly id: number; readonly ok: false; readonly error: string };

/** Milliseconds of CLOCK_MONOTONIC, which all processes of a machine share. */
export function sharedNow(): number {
  return Number(process.hrtime.bigint() / 1_000n) / 1_000;
}
