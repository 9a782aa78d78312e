import { AntennaError } from "@antenna/sdk";

/**
 * Why a call is refused, as agents rely on it:
 *
 * - `unauthenticated`: the certificate is not accepted: none, forged, expired, of a pairing that is not known.
 * - `revoked`: the identity ended; the message begins with `revoked:`.
 * - `clone`: another holder of the identity is connected.
 * - `too-fast`: more calls or messages than are taken.
 * - `key-unknown`: no pairing key of this id and secret.
 * - `key-spent`: the pairing key is revoked, expired or used up; the message says which.
 * - `bad-request`: the message can't be read, or says what can't be.
 * - `unavailable`: the controller can't serve it now (it is closing, its store refuses); try again.
 */
export type RefusalKind =
  | "unauthenticated"
  | "revoked"
  | "clone"
  | "too-fast"
  | "key-unknown"
  | "key-spent"
  | "bad-request"
  | "unavailable";

/** What ends a call early. The message is for the agent's operator; it tells nothing of others. */
export class CallRefusal extends Error {
  readonly kind: RefusalKind;

  constructor(kind: RefusalKind, message: string) {
    super(kind === "revoked" ? `revoked: ${message}` : message);
    this.name = "CallRefusal";
    this.kind = kind;
  }

  /** Whatever ended the call; what is not meant for agents becomes words without detail. */
  static from(reason: unknown): CallRefusal {
    if (reason instanceof CallRefusal) return reason;
    if (reason instanceof AntennaError && reason.code === "input-refused") {
      return new CallRefusal("bad-request", reason.message.slice(0, 1000));
    }
    return new CallRefusal("unavailable", "the controller could not serve the call; its log says why");
  }
}
