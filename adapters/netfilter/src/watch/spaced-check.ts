import type { Clock } from "@antenna/sdk";

/** The share of one core that a check may cost. */
const share = 0.002;
const rememberedRuns = 5;

export interface SpacedCheckOptions {
  readonly clock: Pick<Clock, "after">;
  /** The pause between two runs while they cost little. */
  readonly firstMs: number;
  /** The pause never grows beyond this, whatever it costs. */
  readonly mostMs: number;
  /** True: so little is looked at that the first pause is kept, whatever a run seems to have cost. Default: never. */
  readonly isSmall?: () => boolean;
  /** Does the check and gives the milliseconds of work that it took; null: it was not done. Never rejects. */
  readonly run: () => Promise<number | null>;
}

/** Repeats a check, spaced so that it takes no more than its share of a core. */
export class SpacedCheck {
  readonly #options: SpacedCheckOptions;
  #timer: Disposable | null = null;
  #running = false;
  #costs: number[] = [];

  constructor(options: SpacedCheckOptions) {
    this.#options = options;
  }

  get intervalMs(): number {
    const { firstMs, mostMs, isSmall } = this.#options;
    if (isSmall?.() === true) return firstMs;
    // The cheapest of the last runs: the others waited for a processor, or for the compiler.
    const costMs = Math.min(...this.#costs);
    if (!Number.isFinite(costMs)) return firstMs;
    return Math.round(Math.min(mostMs, Math.max(firstMs, costMs / share)));
  }

  start(): void {
    if (this.#timer === null && !this.#running) this.#schedule();
  }

  stop(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = null;
    this.#running = false;
  }

  #schedule(): void {
    this.#timer = this.#options.clock.after(this.intervalMs, () => void this.#run());
  }

  async #run(): Promise<void> {
    this.#running = true;
    const timer = this.#timer;
    const tookMs = await this.#options.run();
    if (tookMs !== null) this.#costs = [...this.#costs.slice(1 - rememberedRuns), tookMs];
    // Stopped, or stopped and started again, while it ran.
    if (this.#timer !== timer || timer === null) return;
    this.#running = false;
    this.#schedule();
  }
}
