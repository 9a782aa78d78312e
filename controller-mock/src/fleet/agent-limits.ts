import type { Clock } from "@antenna/sdk";
import { CallRefusal } from "../session/call-refusal.js";
import { RateLimit } from "../session/rate-limit.js";

const sessionLimit = { burst: 60, perSecond: 1 };
const moveLimit = { burst: 60, perSecond: 1 };
/** A fleet that grows sends every member a policy per join, and each is reported twice. */
const statusLimit = { burst: 1000, perSecond: 50 };
const eventLimit = { burst: 200, perSecond: 2 };
/** A clone that tries again and again is told of once in a while. */
const cloneQuietMs = 60_000;
const mostClonesKept = 1000;
const mostDroppedKept = 4096;

/** What one workload may do, whatever its session: nobody keeps the store or its peers busy. */
export class AgentLimits {
  readonly #clock: Clock;
  readonly #sessions: RateLimit;
  readonly #moves: RateLimit;
  readonly #statuses: RateLimit;
  readonly #events: RateLimit;
  /** Events that were dropped since the last one that was kept. */
  readonly #dropped = new Map<string, number>();
  /** When (monotonic) a clone from an address was told of. */
  readonly #clones = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#sessions = new RateLimit(sessionLimit, clock);
    this.#moves = new RateLimit(moveLimit, clock);
    this.#statuses = new RateLimit(statusLimit, clock);
    this.#events = new RateLimit(eventLimit, clock);
  }

  /** @throws CallRefusal `too-fast` */
  takeSession(workload: string): void {
    requireRoom(this.#sessions, workload, "too many sessions one after the other");
  }

  /** Other addresses, which others have to be told of. @throws CallRefusal `too-fast` */
  takeMove(workload: string): void {
    requireRoom(this.#moves, workload, "the addresses change too often");
  }

  /** @throws CallRefusal `too-fast` */
  takeStatus(workload: string): void {
    requireRoom(this.#statuses, workload, "the state changes too often");
  }

  /** How many events before this one were dropped; null: this one is dropped too. */
  takeEvent(workload: string): number | null {
    const dropped = this.#dropped.get(workload) ?? 0;
    if (this.#events.take(workload)) {
      this.#dropped.delete(workload);
      return dropped;
    }
    if (dropped > 0 || this.#dropped.size < mostDroppedKept) this.#dropped.set(workload, dropped + 1);
    return null;
  }

  /** False: this clone from this address was told of a moment ago. */
  takeClone(workload: string, address: string): boolean {
    const key = `${workload} ${address}`;
    const now = this.#clock.now();
    if (now - (this.#clones.get(key) ?? Number.NEGATIVE_INFINITY) < cloneQuietMs) return false;
    this.#clones.delete(key);
    this.#clones.set(key, now);
    const [oldest] = this.#clones.keys();
    if (this.#clones.size > mostClonesKept && oldest !== undefined) this.#clones.delete(oldest);
    return true;
  }
}

function requireRoom(limit: RateLimit, workload: string, problem: string): void {
  if (!limit.take(workload)) throw new CallRefusal("too-fast", problem);
}
