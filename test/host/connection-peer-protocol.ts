/** What a peer can be told to do. A connection's key is `OWNPORT-OTHERPORT`. */
export type PeerCall =
  | { readonly do: "listen"; readonly host: string; readonly port: number }
  | {
      readonly do: "connect";
      readonly host: string;
      readonly port: number;
      readonly localPort: number | null;
    }
  | { readonly do: "push"; readonly key: string; readonly bytes: number; readonly flush: boolean }
  | { readonly do: "finish"; readonly key: string }
  | { readonly do: "report"; readonly key: string }
  | { readonly do: "bind"; readonly host: string; readonly port: number }
  | { readonly do: "send"; readonly from: number; readonly host: string; readonly port: number }
  | { readonly do: "datagrams"; readonly port: number };

export interface TcpReport {
  readonly received: number;
  readonly error: string | null;
  readonly ended: boolean;
  readonly closed: boolean;
}

export interface PeerRequest {
  readonly id: number;
  readonly call: PeerCall;
}

export interface PeerAnswer {
  readonly id: number;
  readonly value: unknown;
  readonly error: string | null;
}
