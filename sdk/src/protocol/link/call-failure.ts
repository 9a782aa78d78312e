import type { ServiceError } from "@grpc/grpc-js";
import { AntennaError } from "../../error.js";

/**
 * What a call that failed means to the link. The codes are those of gRPC; the reason in words is the controller's own.
 *
 * - `broken`: nobody answers, or the answer broke off: come back later.
 * - `unauthenticated`: the certificate is not accepted (UNAUTHENTICATED): renew it, and if that is refused too, wait.
 * - `revoked`: the identity was ended (PERMISSION_DENIED).
 * - `clone`: another holder of this identity is connected (ABORTED).
 * - `refused`: anything else that the controller says no with.
 */
export type FailureKind = "broken" | "unauthenticated" | "revoked" | "clone" | "refused";

export interface CallFailure {
  readonly kind: FailureKind;
  /** Of google.rpc.Code; null: it was no answer of gRPC. */
  readonly code: number | null;
  /** For people, bounded and printable: the other side's words. */
  readonly words: string;
}

const longestWords = 300;
/** Numbers of google.rpc.Code; grpc-js itself is not loaded for them. */
const kinds: Readonly<Record<number, FailureKind>> = {
  0: "broken", // OK: ended without a reason
  1: "broken", // CANCELLED
  2: "broken", // UNKNOWN: an error inside the server
  4: "broken", // DEADLINE_EXCEEDED
  7: "revoked", // PERMISSION_DENIED
  8: "broken", // RESOURCE_EXHAUSTED: too much at once, or a message too large
  10: "clone", // ABORTED
  13: "broken", // INTERNAL
  14: "broken", // UNAVAILABLE
  16: "unauthenticated", // UNAUTHENTICATED
};

export function callFailure(reason: unknown): CallFailure {
  if (isServiceError(reason)) {
    const { code } = reason;
    return { kind: kinds[code] ?? "refused", code, words: clean(reason.details || `gRPC code ${code}`) };
  }
  return {
    kind: "broken",
    code: null,
    words: clean(reason instanceof Error ? reason.message : String(reason)),
  };
}

/** On one line, without control characters, of bounded length. */
export function clean(words: string): string {
  const line = words
    .slice(0, 4 * longestWords)
    .replace(/[\p{C}\s]+/gu, " ")
    .trim();
  return line.length <= longestWords ? line : `${line.slice(0, longestWords)}…`;
}

/** The failure of a call as an error of the SDK. */
export function failureError(failure: CallFailure, operation: string, cause?: unknown): AntennaError {
  const messages: Readonly<Record<FailureKind, string>> = {
    broken: "the connection to the controller broke off; try again",
    unauthenticated: "the controller does not accept this host's certificate",
    revoked: "the controller has ended this host's identity; pair again with a key that is still good",
    clone: "the controller knows another live holder of this identity; was the state directory copied?",
    refused: "the controller refuses",
  };
  return new AntennaError({
    code: failure.kind === "broken" ? "unreachable" : "denied",
    operation,
    message: messages[failure.kind],
    detail: failure.words,
    ...(cause === undefined ? {} : { cause }),
  });
}

function isServiceError(reason: unknown): reason is ServiceError {
  return (
    reason instanceof Error && "code" in reason && typeof reason.code === "number" && "details" in reason
  );
}
