import { connect } from "node:net";
import type { Policy } from "../policy/model.js";

/** What a try found: an answer, or a refusal, which proves that packets go through though nobody is at home. */
export type PathAnswer = "answered" | "refused";

/** A path that a policy must leave open: to the controller, to a canary. */
export interface PathAttempt {
  /** For people: `the controller`, `canary 10.0.0.5:5432/tcp`. */
  readonly name: string;
  /** Whether a refusal is as good as an answer: nothing more is asked of the path. */
  readonly refusalSuffices: boolean;
  /** Opens a new connection while `policy` (null: none) is in force; rejects when nothing comes back. The signal ends it. */
  open(signal: AbortSignal, policy: Policy | null): Promise<PathAnswer>;
  /** Why this very policy denies the attempt; null: it does not, what fails fails for another reason. */
  denial(policy: Policy): string | null;
}

/** Opens a TCP connection and closes it at once. `ECONNREFUSED` is an answer of the other end's kernel. */
export function openTcp(address: string, port: number, signal: AbortSignal): Promise<PathAnswer> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: address, port });
    const end = (settle: () => void): void => {
      signal.removeEventListener("abort", onAbort);
      socket.destroy();
      settle();
    };
    const onAbort = (): void => end(() => reject(new Error("no answer in time")));
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    socket.once("connect", () => end(() => resolve("answered")));
    socket.once("error", (error: NodeJS.ErrnoException) =>
      end(() => (error.code === "ECONNREFUSED" ? resolve("refused") : reject(error))),
    );
  });
}
