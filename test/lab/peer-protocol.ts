/** What the lab asks of the small process that stands for a workload's applications; one JSON object a line each way. */
export type PeerRequest =
  /** Answers every TCP connection's bytes with the same bytes. */
  | { readonly op: "listen"; readonly port: number }
  /** Sends every UDP datagram back to where it came from. */
  | { readonly op: "echo"; readonly port: number }
  /** Tries one TCP connection; answers whether it was opened in time. */
  | { readonly op: "connect"; readonly host: string; readonly port: number; readonly timeoutMs: number }
  /** Opens a connection and sends a byte every 5 ms, counting what comes back. */
  | { readonly op: "stream-open"; readonly stream: string; readonly host: string; readonly port: number }
  | { readonly op: "stream-state"; readonly stream: string }
  /** Opens connections one after another until stopped. */
  | { readonly op: "load-start"; readonly load: string; readonly host: string; readonly port: number }
  | { readonly op: "load-stop"; readonly load: string }
  /** Counts UDP datagrams that arrive on a port. */
  | { readonly op: "sink"; readonly port: number }
  | { readonly op: "sink-state"; readonly port: number }
  /** Sends numbered UDP datagrams at a steady rate, from as many source ports in turn as `flows` says. */
  | {
      readonly op: "pump-start";
      readonly pump: string;
      readonly host: string;
      readonly port: number;
      readonly perSecond: number;
      readonly flows: number;
    }
  | { readonly op: "pump-stop"; readonly pump: string };

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

export interface PumpResult {
  readonly sent: number;
  /** Datagrams that the sender's own kernel refused (EPERM: its own rules). */
  readonly refused: number;
}

export interface SinkState {
  readonly received: number;
}

export type PeerResult = boolean | StreamState | LoadResult | PumpResult | SinkState | null;

export type PeerAnswer =
  | { readonly id: number; readonly ok: true; readonly result: PeerResult }
  | { readonly id: number; readonly ok: false; readonly error: string };
