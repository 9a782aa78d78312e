import type { StatusProblem } from "../documents.js";

/** The daemon's own codes, beside those of the agent. */
export type DaemonProblemCode =
  | "policy-refused"
  | "policy-missing"
  | "config-refused"
  | "resolvers-unknown"
  | "not-paired";

/** What is wrong on the daemon's side now, at most one of each code. */
export class Problems {
  readonly #standing = new Map<string, StatusProblem>();

  /** Gives true when this was not known yet, so that it is logged once. A problem that stands keeps its `since`. */
  raise(code: DaemonProblemCode, message: string): boolean {
    const before = this.#standing.get(code);
    if (before?.message === message) return false;
    this.#standing.set(code, { code, message, since: before?.since ?? new Date().toISOString() });
    return true;
  }

  clear(code: DaemonProblemCode): void {
    this.#standing.delete(code);
  }

  /**
   * These and the agent's, each code once; the daemon's words win, for they name the file. A refused policy file is the
   * daemon's alone to tell (`ofFile`): the agent does not hear when what it refused is offered no more.
   */
  with(others: readonly StatusProblem[], { ofFile }: { readonly ofFile: boolean }): readonly StatusProblem[] {
    const more = others.filter(
      ({ code }) => !(ofFile && code === "policy-refused") && !this.#standing.has(code),
    );
    return [...this.#standing.values(), ...more];
  }
}
