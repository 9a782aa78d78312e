/** Validity of a certificate, in milliseconds since 1970. */
export interface Validity {
  readonly from: number;
  readonly to: number;
}

/** What a clock says of a certificate. `early`: it cannot be that early, the certificate is there: the clock is wrong. */
export type LifeStage = "early" | "valid" | "due" | "expired";

/** Due for renewal from two thirds of the life on. */
export function lifeStage({ from, to }: Validity, now: number): LifeStage {
  if (now < from) return "early";
  if (now >= to) return "expired";
  return now >= from + ((to - from) * 2) / 3 ? "due" : "valid";
}

/**
 * Milliseconds until the renewal: at two thirds of the life, earlier by up to a tenth of it, so that agents that were paired
 * together do not renew together; in whole minutes, and never less than `leastMs`.
 *
 * @param random a number in [0, 1)
 */
export function renewalDelay({ from, to }: Validity, now: number, random: number, leastMs: number): number {
  const due = from + (to - from) * (2 / 3 - random / 10);
  // Whole minutes: Node keeps a list for each length of a timer that was cleared, until that time is over.
  const delay = Math.ceil((due - now) / minuteMs) * minuteMs;
  return Math.min(longestTimerMs, Math.max(leastMs, delay));
}

const minuteMs = 60_000;

/** A longer timer of Node fires at once. */
const longestTimerMs = 2 ** 31 - 1;
