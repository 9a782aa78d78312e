/** How the wait between two attempts grows. */
export interface Backoff {
  readonly firstMs: number;
  readonly maxMs: number;
}

/**
 * Wait in milliseconds before attempt `failures + 1`: doubled with every failure up to `maxMs`, of which a random
 * share of up to a quarter is taken off, so that many agents that fail together do not come back together.
 *
 * @param random a number in [0, 1)
 */
export function backoffDelay(backoff: Backoff, failures: number, random: number): number {
  const full = Math.min(backoff.maxMs, backoff.firstMs * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return full * (1 - random / 4);
}
