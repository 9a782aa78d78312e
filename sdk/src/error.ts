/**
 * What can go wrong, as a closed list. Callers decide by code, never by text.
 *
 * - `input-refused`: the policy, delta or configuration is not valid; `problems` lists every reason.
 * - `version-refused`: a lower version than the last accepted, or an equal one with another digest.
 * - `over-budget`: the host's budget does not admit the policy; nothing was done.
 * - `not-permitted`: a capability is missing; the message names it.
 * - `unsupported`: the kernel or a program lacks something; the message names it.
 * - `busy`: somebody else holds what we need (a lock, a namespace, a state directory); the message names the holder.
 * - `kernel-refused`: the kernel or a kernel tool refused a write; `detail` holds its exact words.
 * - `storage`: the state directory could not be read or written.
 * - `corrupt`: stored state fails its checksum.
 * - `unreachable`: nobody answers at the controller's address, or the name has none, or the answer broke off.
 * - `untrusted`: whoever answers there does not prove to be the controller; nothing was said to it.
 * - `denied`: the controller answers and does not let this host in; the message has its reason.
 * - `aborted`: the caller's signal was aborted.
 * - `closed`: the object was used after `close()`.
 * - `internal`: a broken invariant; a bug worth a report.
 */
export type ErrorCode =
  | "input-refused"
  | "version-refused"
  | "over-budget"
  | "not-permitted"
  | "unsupported"
  | "busy"
  | "kernel-refused"
  | "storage"
  | "corrupt"
  | "unreachable"
  | "untrusted"
  | "denied"
  | "aborted"
  | "closed"
  | "internal";

/** One reason why an input was refused: where, and what is wrong there. */
export interface Problem {
  /** Path into the document, like `rules[0].services[0].ports[1]`; the empty string is the document itself. */
  readonly path: string;
  /** What is wrong and what would be right, like `70000 is not a port (1-65535)`. */
  readonly problem: string;
}

export interface AntennaErrorOptions {
  readonly code: ErrorCode;
  /** What was being done, on what: `ipset create ant-3f…`. */
  readonly operation: string;
  /** What failed and what to do next, in a sentence. */
  readonly message: string;
  /** The exact words of the operating system or of a program, if any. */
  readonly detail?: string;
  readonly problems?: readonly Problem[];
  readonly cause?: unknown;
}

const brand = Symbol.for("@antenna/sdk.AntennaError");

/** The one error class of the SDK and its adapters. `instanceof` holds across two installed copies. */
export class AntennaError extends Error {
  readonly code: ErrorCode;
  readonly operation: string;
  readonly detail: string | null;
  readonly problems: readonly Problem[];
  readonly [brand] = true;

  constructor(options: AntennaErrorOptions) {
    super(
      `${options.operation}: ${options.message}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = "AntennaError";
    this.code = options.code;
    this.operation = options.operation;
    this.detail = options.detail ?? null;
    this.problems = options.problems ?? [];
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === "object" && value !== null && brand in value;
  }

  /** Wraps whatever was thrown; an AntennaError passes through unchanged. */
  static from(reason: unknown, operation: string): AntennaError {
    if (reason instanceof AntennaError) return reason;
    const aborted = reason instanceof Error && reason.name === "AbortError";
    const message = reason instanceof Error ? reason.message : String(reason);
    return new AntennaError({ code: aborted ? "aborted" : "internal", operation, message, cause: reason });
  }
}
