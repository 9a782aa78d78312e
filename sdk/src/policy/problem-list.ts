import { AntennaError, type Problem } from "../error.js";
import { policyLimits } from "./limits.js";

/** Every problem of an input, the first thousand in words, the rest as a count. */
export class ProblemList {
  readonly #problems: Problem[] = [];
  #more = 0;

  add(path: string, problem: string): void {
    if (this.#problems.length < policyLimits.problems) this.#problems.push({ path, problem });
    else this.#more++;
  }

  get isEmpty(): boolean {
    return this.#problems.length === 0;
  }

  list(): readonly Problem[] {
    if (this.#more === 0) return this.#problems;
    return [...this.#problems, { path: "", problem: `and ${this.#more} more problems` }];
  }

  /** @throws AntennaError `input-refused` with all of them, when there is one. */
  throwIfAny(operation: string): void {
    const [first] = this.#problems;
    if (first === undefined) return;
    const others = this.#problems.length + this.#more - 1;
    const where = first.path === "" ? "" : `${first.path}: `;
    const message = `refused: ${where}${first.problem}${others === 0 ? "" : ` (and ${others} more)`}`;
    throw new AntennaError({ code: "input-refused", operation, message, problems: this.list() });
  }
}
