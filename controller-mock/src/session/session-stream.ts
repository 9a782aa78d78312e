import type { CallRefusal } from "./call-refusal.js";

/** One stream of an agent, whatever carries it. */
export interface SessionStream {
  /** Address of the other end. */
  readonly address: string;
  /** Address and port, for people. */
  readonly peer: string;
  /** Resolves when the bytes are on their way: true, or when the stream is over: false. One at a time. */
  send(message: Uint8Array): Promise<boolean>;
  /** Ends the stream, by force when the other end does not read. null: nothing is wrong. Idempotent. */
  end(refusal: CallRefusal | null): void;
}

/** What a stream tells. Nothing after `closed`. */
export interface SessionListener {
  message(bytes: Uint8Array): void;
  closed(): void;
}
