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
  /** What the kernel gave back of the refused request (its payload), where it repeats more than the header. */
  readonly request?: Uint8Array;
  /** Who holds what was asked for. */
  readonly holder?: Holder;
  readonly cause?: unknown;
}

/** A process that holds a lock or a name, as /proc and the socket's credentials tell. */
export interface Holder {
  /** 0: not visible from here (another PID namespace). */
  readonly pid: number;
  /** Effective user id; null: not known. */
  readonly uid: number | null;
  /** The command's name; null: not known. */
  readonly command: string | null;
}

const brand = Symbol.for("@antenna/netlink.NetlinkError");

/** The one error class of this package. `instanceof` holds across two installed copies. */
export class NetlinkError extends Error {
  readonly code: NetlinkErrorCode;
  readonly operation: string;
  readonly errno: number;
  readonly request: Uint8Array | null;
  readonly holder: Holder | null;
  readonly [brand] = true;

  constructor(options: NetlinkErrorOptions) {
    super(
      `${options.operation}: ${options.message}`,
      options.cause === undefined ? undefined : { cause: options.cause },
    );
    this.name = "NetlinkError";
    this.code = options.code;
    this.operation = options.operation;
    this.errno = options.errno ?? 0;
    this.request = options.request ?? null;
    this.holder = options.holder ?? null;
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === "object" && value !== null && brand in value;
  }
}
