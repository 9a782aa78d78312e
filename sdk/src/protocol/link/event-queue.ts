/** Something that operators want to know of. */
export interface AgentEvent {
  readonly type: string;
  readonly time: Date;
  readonly message: string;
}

/** Events that wait for a session: the newest hundred; older ones are dropped and counted. */
export class EventQueue {
  readonly #events: AgentEvent[] = [];
  readonly #capacity: number;
  #dropped = 0;

  constructor(capacity = 100) {
    this.#capacity = capacity;
  }

  get isEmpty(): boolean {
    return this.#events.length === 0;
  }

  push(event: AgentEvent): void {
    this.#events.push(event);
    if (this.#events.length <= this.#capacity) return;
    this.#events.shift();
    this.#dropped += 1;
  }

  take(): AgentEvent | null {
    return this.#events.shift() ?? null;
  }

  /** How many were dropped since this was asked last. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }
}
