import type { Clock, LinkStatus } from "../../ports.js";
import { ProblemBoard, type ProblemCode } from "../../reconcile/problem-board.js";

/** How the link stands, and who wants to know when that changes. */
export class LinkState {
  readonly #controller: string;
  readonly #clock: Clock;
  readonly #board: ProblemBoard;
  readonly #listeners = new Set<(status: LinkStatus) => void>();
  #state: LinkStatus["state"] = "none";
  #lastSync: number | null = null;

  constructor(controller: string, clock: Clock) {
    this.#controller = controller;
    this.#clock = clock;
    this.#board = new ProblemBoard(clock, () => this.#tell());
  }

  get state(): LinkStatus["state"] {
    return this.#state;
  }

  status(): LinkStatus {
    return {
      state: this.#state,
      controller: this.#controller,
      lastSync: this.#lastSync === null ? null : new Date(this.#lastSync).toISOString(),
      problems: this.#board.list(),
    };
  }

  move(state: LinkStatus["state"]): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#tell();
  }

  /** The session stands now; not told, since it would be told with every message. */
  heard(): void {
    this.#lastSync = this.#clock.date().getTime();
  }

  raise(code: ProblemCode, message: string): void {
    this.#board.raise(code, message);
  }

  clear(...codes: readonly ProblemCode[]): void {
    for (const code of codes) this.#board.clear(code);
  }

  onStatus(listener: (status: LinkStatus) => void): Disposable {
    // One entry per call, also for a listener that is there already.
    const entry = (status: LinkStatus): void => listener(status);
    this.#listeners.add(entry);
    return { [Symbol.dispose]: () => void this.#listeners.delete(entry) };
  }

  close(): void {
    this.#listeners.clear();
    this.#board.close();
  }

  #tell(): void {
    if (this.#listeners.size === 0) return;
    const status = this.status();
    for (const listener of [...this.#listeners]) listener(status);
  }
}
