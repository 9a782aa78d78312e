import type { AntennaError } from "../../error.js";
import type { CallFailure } from "./call-failure.js";

/** What became of one attempt to keep a session. */
export type Outcome =
  | { readonly kind: "again" } // at once: a new certificate, another identity
  | { readonly kind: "failed"; readonly words: string } // nobody, somebody else, or broken off
  | { readonly kind: "refused"; readonly words: string }
  | { readonly kind: "revoked"; readonly words: string };

/** A call that failed, in words for `status`. */
export function outcomeOf({ kind, words }: CallFailure): Outcome {
  switch (kind) {
    case "broken":
      return { kind: "failed", words: `the connection to the controller broke off: ${words}` };
    case "unauthenticated":
      return { kind: "refused", words: `the controller does not accept this host's certificate: ${words}` };
    case "revoked":
      return { kind: "revoked", words: `the controller has ended this host's identity: ${words}` };
    case "clone":
      return {
        kind: "refused",
        words: `the controller knows another live holder of this identity (was the state directory copied?): ${words}`,
      };
    case "refused":
      return { kind: "refused", words: `the controller refuses: ${words}` };
  }
}

/** With the words of the operating system or of the other side. */
export function textOf(error: AntennaError): string {
  return error.detail === null ? error.message : `${error.message} (${error.detail})`;
}
