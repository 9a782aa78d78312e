import assert from "node:assert/strict";

/** Prints how long something took, so that every run leaves its figures, and gives the 99th percentile. All in milliseconds. */
export function figures(what: string, times: readonly number[]): number {
  const sorted = times.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
  const [p50, p99, worst] = [at(0.5), at(0.99), at(1)].map(Math.round);
  console.log(`${what}: ${times.length} times; p50 ${p50} ms, p99 ${p99} ms, worst ${worst} ms`);
  return at(0.99);
}

/** The long form runs in `npm run soak`. */
export function times(few: number, many: number): number {
  return process.env.ANTENNA_SOAK === "1" ? many : few;
}

/**
 * Asserts a promised time on a machine that others use too: a round that is over is done again, three times at most, and each
 * leaves its figures.
 */
export async function within(limitMs: number, round: () => Promise<number>): Promise<void> {
  const found: number[] = [];
  while (found.length < 3) {
    found.push(await round());
    if ((found.at(-1) ?? Number.NaN) <= limitMs) return;
    console.log(`over ${limitMs} ms; once more`);
  }
  assert.fail(`three rounds, each over ${limitMs} ms: ${found.map(Math.round).join(", ")}`);
}
