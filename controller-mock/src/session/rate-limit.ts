import type { Clock } from "@antenna/sdk";

export interface RateLimitOptions {
  /** So many at once. */
  readonly burst: number;
  /** So many a second in the long run. */
  readonly perSecond: number;
}

interface Bucket {
  tokens: number;
  filledAt: number;
}

/** Keys that are remembered at most; the one that was quiet for longest is forgotten. */
const mostKeys = 4096;

/** Token buckets by key (an address, a workload), bounded. */
export class RateLimit {
  readonly #options: RateLimitOptions;
  readonly #clock: Clock;
  /** In the order of last use. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(options: RateLimitOptions, clock: Clock) {
    this.#options = options;
    this.#clock = clock;
  }

  /** True: there is room for one more of this key. */
  has(key: string): boolean {
    return this.#fill(key).tokens >= 1;
  }

  /** True: there was room for one more of this key, and it is taken. */
  take(key: string): boolean {
    const bucket = this.#fill(key);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  #fill(key: string): Bucket {
    const { burst, perSecond } = this.#options;
    const now = this.#clock.now();
    const bucket = this.#buckets.get(key) ?? { tokens: burst, filledAt: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.filledAt) / 1000) * perSecond);
    bucket.filledAt = now;
    this.#buckets.delete(key);
    this.#buckets.set(key, bucket);
    if (this.#buckets.size > mostKeys) {
      const [oldest] = this.#buckets.keys();
      if (oldest !== undefined) this.#buckets.delete(oldest);
    }
    return bucket;
  }
}
