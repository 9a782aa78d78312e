import { type AddressSet, type ControllerLink, grpcLink } from "@antenna/sdk";
import type { Configuration } from "../config/keys.js";
import { Owned } from "../owned.js";
import { ControllerWay } from "./controller-way.js";
import type { Log } from "./log.js";
import { Pairing } from "./pairing.js";
import type { Platform } from "./platform.js";
import type { Problems } from "./problems.js";

export interface ControllerSideOptions {
  /** HOST:PORT */
  readonly controller: string;
  readonly values: Pick<Configuration, "stateDir" | "onAllow">;
  readonly version: string;
  readonly system: Platform;
  /** Upstream resolvers of this host. */
  readonly resolvers: () => readonly string[];
  readonly problems: Problems;
  readonly log: Log;
}

/** What a daemon has beside its agent when there is a controller. Nothing of it is loaded where there is none. */
export class ControllerSide implements AsyncDisposable {
  /** Owned by the agent that it is given to. */
  readonly link: ControllerLink;
  readonly #options: ControllerSideOptions;
  readonly #owned = new Owned();
  readonly #way: ControllerWay;
  #isTold = false;

  constructor(options: ControllerSideOptions) {
    const { controller, values, version, system, resolvers } = options;
    this.#options = options;
    this.link = grpcLink({ controller, stateDir: values.stateDir, agentVersion: version });
    this.#way = new ControllerWay({
      controller,
      resolvers,
      // Wherever it enforces, the daemon dials from its own namespace.
      foreign: async (packet) => {
        const loopback = await system.isOwnAddress(null, packet.peer);
        const question = { ...packet, direction: "out", loopback } as const;
        return await system.foreignRules(null, question, { accepted: values.onAllow === "accept" });
      },
    });
    this.#owned.use(this.link.onStatus(() => void this.#tellWay()));
  }

  /** False: it has to be paired first. */
  get isPaired(): boolean {
    return this.link.workload !== null;
  }

  /** Gets this host an identity, with the key if there is one; see `Pairing`. */
  pair(key: string | null, letThrough: (addresses: AddressSet, port: number) => Promise<void>): void {
    const { controller, values, problems, log: logger } = this.#options;
    const { stateDir } = values;
    const { link } = this;
    this.#owned.use(new Pairing({ controller, key, stateDir, link, letThrough, problems, logger }));
  }

  /** What of the owner's stops the way to the controller, in words; null: nothing. */
  inTheWay(): Promise<string | null> {
    return this.#way.inTheWay();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#owned[Symbol.asyncDispose]();
  }

  /** Into the log, once each time that the link goes down. */
  async #tellWay(): Promise<void> {
    const wasTold = this.#isTold;
    this.#isTold = this.link.status().problems.some(({ code }) => code === "link-down");
    if (!this.#isTold || wasTold) return;
    const words = await this.inTheWay();
    if (words !== null) this.#options.log.warn({ controller: this.#options.controller }, words);
  }
}
