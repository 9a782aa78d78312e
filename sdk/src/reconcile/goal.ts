import type { AntennaError } from "../error.js";
import type { RuleProgram } from "../program/program.js";

/**
 * What is to stand in the kernel. `rules`: a program, made when it is needed, so that bursts are compiled once.
 * `nothing`: no rule of ours.
 */
export type Goal =
  | {
      readonly kind: "rules";
      /** False: visibility, which drops nothing and never settles. */
      readonly enforcing: boolean;
      /** `observing`: the same program, dropping nothing. Asked twice, it gives the same object. */
      readonly program: (observing: boolean) => RuleProgram;
    }
  | { readonly kind: "nothing"; readonly state: "idle" | "suspended" };

/** How a goal ended. */
export interface GoalOutcome {
  /** False: the kernel meant it already, nothing was written. */
  readonly wrote: boolean;
  /** True: a later goal came first, and is in force. */
  readonly superseded: boolean;
}

export interface NumberedGoal {
  readonly serial: number;
  readonly goal: Goal;
}

interface Waiter {
  readonly serial: number;
  readonly resolve: (outcome: GoalOutcome) => void;
  readonly reject: (error: AntennaError) => void;
}

/** The latest goal, the latest that stands, and who waits for which. */
export class GoalQueue {
  #serial = 0;
  #current: NumberedGoal | null = null;
  #standing: NumberedGoal | null = null;
  #reachedSerial = 0;
  #wrote = false;
  #waiters: Waiter[] = [];

  /** The latest goal. */
  get current(): NumberedGoal | null {
    return this.#current;
  }

  /** True while the latest goal does not stand. */
  get isBehind(): boolean {
    return this.#current !== null && this.#standing?.serial !== this.#current.serial;
  }

  get wasReached(): boolean {
    return this.#reachedSerial > 0;
  }

  /** Settles when `goal`, or a later one, is resolved or rejected. */
  push(goal: Goal): Promise<GoalOutcome> {
    this.#serial += 1;
    const serial = this.#serial;
    this.#current = { serial, goal };
    return new Promise((resolve, reject) => {
      this.#waiters.push({ serial, resolve, reject });
    });
  }

  /** Something was written on the way to the goal in hand. */
  wrote(): void {
    this.#wrote = true;
  }

  stands(goal: NumberedGoal): void {
    this.#standing = goal;
  }

  /** The goal that stands, once: null when it was given before. */
  reached(): Goal | null {
    const standing = this.#standing;
    if (standing === null || standing.serial === this.#reachedSerial) return null;
    this.#reachedSerial = standing.serial;
    return standing.goal;
  }

  /** Whoever waits for the goal that stands, or for one before it, goes on. */
  resolve(): void {
    const serial = this.#standing?.serial ?? 0;
    const wrote = this.#wrote;
    this.#wrote = false;
    for (const waiter of this.#take(serial)) waiter.resolve({ wrote, superseded: waiter.serial < serial });
  }

  reject(serial: number, error: AntennaError): void {
    for (const waiter of this.#take(serial)) waiter.reject(error);
  }

  rejectAll(error: AntennaError): void {
    this.reject(this.#serial, error);
  }

  /** There is no goal any more; whoever waits for one goes on. */
  forget(): void {
    this.#current = null;
    this.#standing = null;
    for (const waiter of this.#take(this.#serial)) waiter.resolve({ wrote: true, superseded: true });
  }

  #take(serial: number): readonly Waiter[] {
    const due = this.#waiters.filter((waiter) => waiter.serial <= serial);
    this.#waiters = this.#waiters.filter((waiter) => waiter.serial > serial);
    return due;
  }
}
