/** What the lab asks of the small process that stands for a workload's applications; one JSON object a line each way. */
export type PeerRequest =
  /** Answers every TCP connection's bytes with the same bytes. */
  | { readonly op: "listen"; readonly port: number }
  /** Tries one TCP connection; answers whether it was opened in time. */
  | { readonly op: "connect"; readonly host: string; readonly port: number; readonly timeoutMs: number }
  /** Opens a connection and sends a byte every 5 ms, counting what comes back. */
  | { readonly op: "stream-open"; readonly stream: string; readonly host: string; readonly port: number }
  | { readonly op: "stream-state"; readonly stream: string }
  /** Opens connections one after another until stopped. */
  | { readonly op: "load-start"; readonly load: string; readonly host: string; readonly port: number }
  | { readonly op: "load-stop"; readonly load: string };

export interface StreamState {
  readonly open: boolean;
  readonly echoes: number;
  /** Milliseconds since a byte last came back. */
  readonly silentMs: number;
}

export interface LoadResult {
  readonly connections: number;
  readonly failures: number;
  readonly seconds: number;
}

export type PeerAnswer =
  | { readonly id: number; readonly ok: true; readonly result: boolean | StreamState | LoadResult | null }
  | { readonly id: number; readonly ok: false; readonly error: string };
