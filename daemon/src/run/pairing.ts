import { setTimeout as sleep } from "node:timers/promises";
import { AddressSet, AntennaError, type ControllerLink, type Logger, pair } from "@antenna/sdk";
import { controllerAddresses, splitController } from "./controller-way.js";
import type { Problems } from "./problems.js";

export interface PairingOptions {
  /** HOST:PORT */
  readonly controller: string;
  /** null: somebody else pairs this host (`antenna pair`); its way to the controller is kept open for that. */
  readonly key: string | null;
  readonly stateDir: string;
  /** It sees by itself when the host is paired. */
  readonly link: ControllerLink;
  /** Lets the controller's port pass, whatever the policy in force says; resolves when it does. */
  readonly letThrough: (addresses: AddressSet, port: number) => Promise<void>;
  readonly problems: Problems;
  readonly logger: Logger;
}

/** Nobody answers: soon again. Somebody says no: later, it may be his mistake. */
const soon = { firstMs: 500, mostMs: 30_000 };
const later = { firstMs: 60_000, mostMs: 3_600_000 };
const lookAgainMs = 60_000;

/**
 * Gets a host that has no identity one: lets its controller's addresses through and, with a pairing key at hand, pairs, for as
 * long as it takes. Meanwhile the last known good policy is enforced.
 */
export class Pairing implements AsyncDisposable {
  readonly #options: PairingOptions;
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;
  #key: string | null;
  #passing: AddressSet = AddressSet.empty;

  constructor(options: PairingOptions) {
    this.#options = options;
    this.#key = options.key;
    this.#running = this.#run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { link, problems } = this.#options;
    using _paired = link.onStatus(() => {
      if (link.workload !== null) this.#stop.abort();
    });
    for (let failures = 0; link.workload === null && !this.#stop.signal.aborted; failures += 1) {
      await this.#letThrough();
      const waitMs = this.#key === null ? lookAgainMs : await this.#pair(this.#key, failures);
      if (waitMs === null) break;
      await sleep(waitMs, undefined, { signal: this.#stop.signal, ref: false }).catch(() => undefined);
    }
    this.#key = null;
    problems.clear("not-paired");
  }

  /** How long to wait before the next attempt; null: there is none. */
  async #pair(key: string, failures: number): Promise<number | null> {
    const { controller, stateDir, problems, logger } = this.#options;
    try {
      const { workload } = await pair({ controller, key, stateDir, signal: this.#stop.signal });
      logger.info({ controller, workload }, "paired");
      return null;
    } catch (reason) {
      const error = AntennaError.from(reason, `pair with ${controller}`);
      if (error.code === "aborted" || error.code === "busy" || error.code === "corrupt") return null;
      const { firstMs, mostMs } = error.code === "unreachable" ? soon : later;
      const waitMs = Math.min(mostMs, firstMs * 2 ** Math.min(failures, 20)) * (0.5 + Math.random() / 2);
      const words = error.detail === null ? error.message : `${error.message} (${error.detail})`;
      const message = `${words}; tried again in ${Math.ceil(waitMs / 1_000)} s`;
      if (problems.raise("not-paired", message)) logger.warn({ controller, code: error.code }, message);
      return waitMs;
    }
  }

  /** A policy of before, or of a file, may deny it. */
  async #letThrough(): Promise<void> {
    const { controller, letThrough, logger } = this.#options;
    const { host, port } = splitController(controller);
    try {
      const addresses = AddressSet.from(await controllerAddresses(host));
      if (addresses.equals(this.#passing)) return;
      await letThrough(addresses, port);
      this.#passing = addresses;
    } catch (reason) {
      logger.debug({ err: reason, controller }, "the controller is not let through");
    }
  }
}
