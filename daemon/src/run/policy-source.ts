import { setTimeout as sleep } from "node:timers/promises";
import { AntennaError, type Logger, type Policy } from "@antenna/sdk";
import { FileWatch, fingerprint } from "./file-watch.js";
import type { Problems } from "./problems.js";

export interface PolicySourceOptions {
  readonly path: string;
  /** Reads and checks a policy file; rejects with AntennaError. */
  readonly read: (path: string, signal: AbortSignal) => Promise<Policy>;
  /** Makes a policy the one in force. */
  readonly apply: (policy: Policy) => Promise<void>;
  readonly problems: Problems;
  readonly logger: Logger;
  /** How long a file that can't be read may still be on its way from an editor, in milliseconds. Default 250. */
  readonly graceMs?: number;
}

/** Keeps the policy in force the one that a file holds. What can't be read changes nothing but `problems`. */
export class PolicySource implements Disposable {
  readonly #options: PolicySourceOptions;
  readonly #closed = new AbortController();
  #watch: FileWatch | null = null;
  /** Loads one after the other, in the order in which they were asked for. */
  #turn: Promise<void> = Promise.resolve();

  private constructor(options: PolicySourceOptions) {
    this.#options = options;
  }

  /** Watches from now on, and begins with what the file holds now. */
  static async open(options: PolicySourceOptions): Promise<PolicySource> {
    const source = new PolicySource(options);
    source.#watch = await FileWatch.open({ path: options.path, onChange: () => source.reload() });
    void source.reload();
    return source;
  }

  /** Reads the file again, changed or not. Never rejects; resolves when it was read, applying goes on. */
  reload(): Promise<void> {
    this.#turn = this.#turn.then(() => this.#load());
    return this.#turn;
  }

  [Symbol.dispose](): void {
    this.#closed.abort();
    this.#watch?.[Symbol.dispose]();
  }

  async #load(): Promise<void> {
    const { path, problems, logger } = this.#options;
    const before = await fingerprint(path);
    let policy: Policy;
    try {
      policy = await this.#options.read(path, this.#closed.signal);
    } catch (reason) {
      if (!this.#closed.signal.aborted) await this.#refuse(reason, before);
      return;
    }
    problems.clear("policy-missing");
    // Of what the file held before. Applying may take as long as settling does; a refusal comes at once.
    problems.clear("policy-refused");
    logger.info(
      { path, mode: policy.mode, rules: policy.rules.length, sets: policy.sets.size },
      "policy read",
    );
    void this.#apply(policy);
  }

  async #apply(policy: Policy): Promise<void> {
    const { path, problems, logger } = this.#options;
    try {
      await this.#options.apply(policy);
    } catch (reason) {
      const error = AntennaError.from(reason, `apply ${path}`);
      if (error.code === "closed" || error.code === "aborted") return;
      const refused = ["input-refused", "version-refused", "over-budget"].includes(error.code);
      if (refused) problems.raise("policy-refused", `${path}: ${words(error)}`);
      logger.error(
        { path, code: error.code, err: error.message, detail: error.detail },
        "policy not applied",
      );
    }
  }

  async #refuse(reason: unknown, before: string): Promise<void> {
    const { path, problems, logger, graceMs = 250 } = this.#options;
    await sleep(graceMs, undefined, { ref: false });
    // Somebody is still writing: the watch tells when it changed, and that state is the one to judge.
    if ((await fingerprint(path)) !== before) return;
    const error = AntennaError.from(reason, `read ${path}`);
    const missing = isMissing(error);
    const code = missing ? "policy-missing" : "policy-refused";
    problems.clear(missing ? "policy-refused" : "policy-missing");
    const message = missing
      ? `${path} does not exist; what is in force stays, and the file is applied as soon as it is there`
      : `${path}: ${words(error)}; what is in force stays`;
    if (problems.raise(code, message))
      logger.error({ path, code, problems: error.problems.slice(0, 20) }, message);
  }
}

/** The first reasons, in one line. */
function words(error: AntennaError): string {
  const [first, ...more] = error.problems;
  if (first === undefined) return error.message;
  const where = first.path === "" ? first.problem : `${first.path}: ${first.problem}`;
  return more.length === 0 ? where : `${where} (and ${more.length} more; see \`antenna policy check\`)`;
}

function isMissing(error: AntennaError): boolean {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if ("code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR")) return true;
  }
  return false;
}
