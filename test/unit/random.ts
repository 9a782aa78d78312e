/** A seeded source of choices: the same seed gives the same run (mulberry32). */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** An integer in [0, 2^32). */
  word(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** An integer in [0, bound). */
  below(bound: number): number {
    return this.word() % bound;
  }

  /** An integer in [from, to]. */
  between(from: number, to: number): number {
    return from + this.below(to - from + 1);
  }

  chance(probability: number): boolean {
    return this.word() < probability * 0x1_0000_0000;
  }

  pick<T>(choices: readonly T[]): T {
    if (choices.length === 0) throw new RangeError("nothing to pick from");
    return choices[this.below(choices.length)] as T;
  }

  /** `count` picks, duplicates possible. */
  picks<T>(count: number, choices: readonly T[]): T[] {
    return Array.from({ length: count }, () => this.pick(choices));
  }
}

/** The seed of this run: ANTENNA_SEED fixes it, otherwise it is new each time. It is printed, so that a run can be repeated. */
export function runSeed(what: string): number {
  const fixed = process.env.ANTENNA_SEED;
  const seed = fixed === undefined ? Math.floor(Math.random() * 0x7fff_ffff) : Number(fixed);
  console.log(`${what}: ANTENNA_SEED=${seed}`);
  return seed;
}
