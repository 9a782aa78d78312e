/**
 * What can go wrong, as a closed list; callers decide by code and errno, never by text.
 *
 * - `refused`: the kernel answered with an errno.
 * - `overflow`, `dump-interrupted`: the answer is incomplete, ask again.
 * - `malformed`: bytes that are no netlink message; from a hostile or broken peer.
 * - `unavailable`: the addon can't load here; the message says what to do.
 * - `closed`, `aborted`: the caller's own doing.
 */
export type NetlinkErrorCode =
  | "refused"
  | "overflow"
  | "dump-interrupted"
  | "malformed"
  | "unavailable"
  | "closed"
  | "aborted";

export interface NetlinkErrorOptions {
  readonly code: NetlinkErrorCode;
  /** What was being done: `bind`, `send`, `setns /run/netns/web1`. */
  readonly operation: string;
  readonly message: string;
  /** Positive errno of the refusal, 0 if there is none. */
  readonly errno?: number;
  readonly cause?: unknown;
}

const brand = Symbol.for("@antenna/netlink.NetlinkError");

/** The one error class of this package. `instanceof` holds across two installed copies. */
export class NetlinkError extends Error {
  readonly code: NetlinkErrorCode;
  readonly operation: string;
  readonly errno: number;
  readonly [brand] = true;

  constructor(options: NetlinkErrorOptions) {
    super(`${options.operation}: ${options.message}`, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "NetlinkError";
    this.code = options.code;
    this.operation = options.operation;
    this.errno = options.errno ?? 0;
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === "object" && value !== null && brand in value;
  }
}
