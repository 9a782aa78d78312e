import type { Kill } from "./kill-at.js";

/** What a test asks of the apply program; one JSON object a line each way. */
export type ApplyRequest =
  /** What is in force, once nothing is under way any more? */
  | { readonly op: "stand" }
  | {
      readonly op: "apply";
      readonly file: string /** null: it is not traced. */;
      readonly kill: Kill | null;
    };

export interface ApplyAnswer {
  readonly state: string;
  /** null: no policy yet. */
  readonly policyDigest: string | null;
  /** How the kernel differs from what is in force. */
  readonly differences: readonly string[];
  readonly problems: readonly string[];
  /** Why the apply was given up; null: it was not. */
  readonly refused: string | null;
}
