import type { Logger } from "../ports.js";

export interface LogEntry {
  readonly level: "debug" | "info" | "warn" | "error";
  readonly facts: object;
  readonly message: string;
}

/** Keeps what was logged, the latest `capacity` entries. */
export class MemoryLogger implements Logger {
  readonly #entries: LogEntry[] = [];
  readonly #capacity: number;

  constructor(capacity = 1_000) {
    this.#capacity = capacity;
  }

  get entries(): readonly LogEntry[] {
    return this.#entries;
  }

  debug(facts: object, message: string): void {
    this.#keep({ level: "debug", facts, message });
  }

  info(facts: object, message: string): void {
    this.#keep({ level: "info", facts, message });
  }

  warn(facts: object, message: string): void {
    this.#keep({ level: "warn", facts, message });
  }

  error(facts: object, message: string): void {
    this.#keep({ level: "error", facts, message });
  }

  #keep(entry: LogEntry): void {
    this.#entries.push(entry);
    if (this.#entries.length > this.#capacity) this.#entries.shift();
  }
}
