import type {
  IssuedIdentity,
  PairRequestMessage,
  PairResponseMessage,
  RenewRequestMessage,
} from "@antenna/sdk/protocol";
import type { AgentIdentity } from "../identity/agent-certificate.js";
import type { SessionListener, SessionStream } from "../session/session-stream.js";

export type RenewStart = Extract<RenewRequestMessage, { kind: "start" }>;

/** What is behind the port. Everything that rejects or throws ends the call: CallRefusal as it says, the rest without detail. */
export interface AgentServiceHandler {
  /** `address` of the other end. */
  pair(request: PairRequestMessage, address: string): Promise<PairResponseMessage>;
  /** Is the certificate good, and the request of the same key? Before a nonce is spent on it. */
  openRenewal(start: RenewStart, address: string): void;
  /** The agent has answered `nonce` with `signature`. */
  renew(
    start: RenewStart,
    nonce: Uint8Array,
    signature: Uint8Array,
    address: string,
  ): Promise<IssuedIdentity>;
  /** Is this certificate (DER), which TLS has verified, good now? Throws when it is not. */
  authenticate(certificate: Uint8Array): AgentIdentity;
  /** Takes over a stream of that agent. */
  open(stream: SessionStream, identity: AgentIdentity): SessionListener;
}
