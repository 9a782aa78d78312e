/** One kind of UDP datagram that is sent again and again, always from a new port after a few. */
export interface Probe {
  /** Names it on both ends. */
  readonly tag: string;
  readonly source: string;
  readonly host: string;
  readonly port: number;
}

/** What a test asks of the process that sends and receives probes; one JSON object a line each way. */
export type TrafficRequest =
  | { readonly op: "receive"; readonly ports: readonly number[] }
  /** Replaces what was sent before; sending begins at `resume`. */
  | { readonly op: "probes"; readonly probes: readonly Probe[]; readonly perSecond: number }
  /** With `renew` from new ports. */
  | { readonly op: "resume"; readonly renew: boolean }
  /** Stops sending; answers when everything is with the kernel. */
  | { readonly op: "pause" }
  | { readonly op: "counts" };

export interface TrafficCounts {
  readonly sent: Readonly<Record<string, number>>;
  /** Not taken by the sender's own kernel: a rule of its OUTPUT. */
  readonly refused: Readonly<Record<string, number>>;
  readonly received: Readonly<Record<string, number>>;
}

export type TrafficAnswer =
  | { readonly id: number; readonly ok: true; readonly result: TrafficCounts | null }
  | { readonly id: number; readonly ok: false; readonly error: string };
