/** What a part opened, closed in the opposite order; all of it, also when one of them fails. */
export class Owned implements AsyncDisposable {
  readonly #resources: (Disposable | AsyncDisposable)[] = [];

  /** Takes it over and gives it back. */
  use<T extends Disposable | AsyncDisposable>(resource: T): T {
    this.#resources.push(resource);
    return resource;
  }

  /** Rejects with the first failure, after everything was closed. */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    for (let resource = this.#resources.pop(); resource !== undefined; resource = this.#resources.pop()) {
      try {
        if (Symbol.asyncDispose in resource) await resource[Symbol.asyncDispose]();
        else resource[Symbol.dispose]();
      } catch (reason) {
        failures.push(reason);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
