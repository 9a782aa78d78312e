import { status } from "@grpc/grpc-js";
import type { CallRefusal, RefusalKind } from "../session/call-refusal.js";

const codes: Readonly<Record<RefusalKind, status>> = {
  unauthenticated: status.UNAUTHENTICATED,
  revoked: status.PERMISSION_DENIED,
  clone: status.ABORTED,
  "too-fast": status.RESOURCE_EXHAUSTED,
  "key-unknown": status.NOT_FOUND,
  "key-spent": status.FAILED_PRECONDITION,
  "bad-request": status.INVALID_ARGUMENT,
  unavailable: status.UNAVAILABLE,
};

/** How gRPC says it; agents rely on it. */
export function statusOf({ kind, message }: CallRefusal): {
  readonly code: status;
  readonly details: string;
} {
  return { code: codes[kind], details: message };
}
