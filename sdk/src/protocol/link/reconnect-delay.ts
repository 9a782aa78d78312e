/** The longest wait before a new attempt, in milliseconds. */
export const longestDelayMs = 30_000;

/**
 * How long to wait before the next attempt, in milliseconds: up to 250 ms after the first failure, twice as much with each
 * further one, 30 s at most. Of that a random part between a quarter and the whole: agents that lost their controller together
 * come back spread out.
 *
 * @param failures in a row, 1 or more
 * @param random a number in [0, 1)
 */
export function reconnectDelay(failures: number, random: number): number {
  const ceiling = Math.min(longestDelayMs, 250 * 2 ** Math.min(16, Math.max(0, failures - 1)));
  return ceiling * (0.25 + 0.75 * random);
}

/** The wait after the controller has said no: long, since it takes a person to change that. */
export function refusedDelay(random: number): number {
  return longestDelayMs * (0.5 + 0.5 * random);
}
