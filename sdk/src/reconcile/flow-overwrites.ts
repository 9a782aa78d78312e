import type { Clock, ConnectionTable, TrackedFlow } from "../ports.js";

type Overwritten = Parameters<Parameters<ConnectionTable["onOverwritten"]>[0]>[0];

/** One report of flows whose cut was undone and done again. */
export interface OverwrittenFlows {
  readonly by: Overwritten["by"];
  readonly flows: number;
  /** Some of them, at most 20. */
  readonly examples: readonly TrackedFlow[];
}

/** After a report the next ones of its kind are gathered for so long: a flushed table undoes thousands of cuts at once. */
const gatherMs = 1_000;
const maxExamples = 20;

/** Tells of the first flow at once, of those that follow together. */
export class FlowOverwrites {
  readonly #clock: Clock;
  readonly #tell: (report: OverwrittenFlows) => void;
  readonly #gathering = new Map<Overwritten["by"], { flows: number; examples: TrackedFlow[] }>();
  readonly #timers = new Set<Disposable>();
  #ended = false;

  constructor(clock: Clock, signal: AbortSignal, tell: (report: OverwrittenFlows) => void) {
    this.#clock = clock;
    this.#tell = tell;
    signal.addEventListener("abort", () => this.#end(), { once: true });
  }

  add({ flow, by }: Overwritten): void {
    const gathered = this.#gathering.get(by);
    if (gathered === undefined) {
      this.#tell({ by, flows: 1, examples: [flow] });
      if (!this.#ended) this.#gather(by);
      return;
    }
    gathered.flows += 1;
    if (gathered.examples.length < maxExamples) gathered.examples.push(flow);
  }

  #gather(by: Overwritten["by"]): void {
    this.#gathering.set(by, { flows: 0, examples: [] });
    const timer = this.#clock.after(gatherMs, () => {
      this.#timers.delete(timer);
      if (this.#report(by)) this.#gather(by);
    });
    this.#timers.add(timer);
  }

  #report(by: Overwritten["by"]): boolean {
    const gathered = this.#gathering.get(by);
    this.#gathering.delete(by);
    if (gathered === undefined || gathered.flows === 0) return false;
    this.#tell({ by, ...gathered });
    return true;
  }

  #end(): void {
    this.#ended = true;
    for (const timer of this.#timers) timer[Symbol.dispose]();
    this.#timers.clear();
    for (const by of [...this.#gathering.keys()]) this.#report(by);
  }
}
