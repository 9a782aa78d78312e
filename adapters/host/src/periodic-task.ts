import type { Logger } from "@antenna/sdk";

export interface PeriodicTaskOptions {
  readonly every: "minute" | "hour";
  readonly work: () => Promise<void>;
  /** A number in [0, 1): hosts that start together must not ask together. */
  readonly random: () => number;
  readonly logger: Logger;
}

/** Work at a second (and minute) of its own, never twice at once; what it throws is logged. Does not keep the process alive. */
export class PeriodicTask implements AsyncDisposable {
  readonly #stop: () => void | Promise<void>;

  private constructor(stop: () => void | Promise<void>) {
    this.#stop = stop;
  }

  /**
   * node-cron says when; it does not run the work. After a step of the clock its own runner looks at every slot in between, one
   * after the other (4.6): at thirty million of a host that booted in 1970, and the process hears of nothing else.
   */
  static async start(options: PeriodicTaskOptions): Promise<PeriodicTask> {
    const { createTask } = await import("node-cron");
    const { every, work, random, logger } = options;
    const [second, minute] = [Math.floor(random() * 60), Math.floor(random() * 60)];
    const when = every === "minute" ? `${second} * * * * *` : `${second} ${minute} * * * *`;
    const task = createTask(when, () => undefined);
    let timer: NodeJS.Timeout | null = null;
    let isOver = false;
    const plan = (): void => {
      if (isOver) return;
      const [next] = task.getNextRuns(1);
      const delayMs = Math.max(0, (next?.getTime() ?? 0) - Date.now());
      timer = setTimeout(() => void run(), delayMs).unref();
    };
    const run = async (): Promise<void> => {
      await work().catch((error: unknown) => logger.warn({ err: error }, "periodic work failed"));
      plan();
    };
    plan();
    return new PeriodicTask(() => {
      isOver = true;
      if (timer !== null) clearTimeout(timer);
      return task.destroy();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stop();
  }
}
