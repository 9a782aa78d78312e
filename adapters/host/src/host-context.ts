import { hostname } from "node:os";
import { Links, LocalAddresses, NETLINK_ROUTE, NETLINK_SOCK_DIAG, NetlinkSocket } from "@antenna/netlink";
import type { ContextFacts, ContextSource, ContextSourceOptions } from "@antenna/sdk";
import { readCloud } from "./cloud/cloud-facts.js";
import { type MetadataAddress, metadataService } from "./cloud/metadata-request.js";
import { workloadAddresses } from "./interface-addresses.js";
import { ListeningServices } from "./listening-services.js";
import { readOperatingSystem } from "./operating-system.js";
import { PeriodicTask } from "./periodic-task.js";
import { askVirtualization, readMachine, readVirtualization } from "./virtualization.js";

export interface HostContextOptions {
  /** Ask the cloud's metadata service. Default true. */
  readonly cloud?: boolean;
  /** Where it answers. Default 169.254.169.254:80. */
  readonly metadata?: MetadataAddress;
}

/** Changes of addresses come in bursts, of an interface that goes up for example. */
const gatherMs = 10;

/**
 * Who a Linux host is: name, system, addresses (followed by rtnetlink), listening services (looked at once a minute: the
 * kernel tells nobody when a socket begins to listen), the cloud's facts (once an hour: tags change).
 */
export function hostContext(options: HostContextOptions = {}): ContextSource {
  return new HostContext(options);
}

class HostContext implements ContextSource {
  readonly name = "host";
  readonly #options: HostContextOptions;
  readonly #ending = new AbortController();
  readonly #held: (Disposable | AsyncDisposable)[] = [];
  #begun: Promise<void> | null = null;

  constructor(options: HostContextOptions) {
    this.#options = options;
  }

  start(onFacts: (facts: ContextFacts) => void, options: ContextSourceOptions): void {
    if (this.#begun !== null) throw new TypeError("the context of a host is started once");
    const tell = (facts: ContextFacts): void => {
      if (!this.#ending.signal.aborted) onFacts(facts);
    };
    this.#begun = this.#begin(tell, options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#ending.abort();
    await this.#begun;
    for (const held of this.#held.splice(0).reverse()) {
      if (Symbol.asyncDispose in held) await held[Symbol.asyncDispose]();
      else held[Symbol.dispose]();
    }
  }

  async #begin(tell: (facts: ContextFacts) => void, options: ContextSourceOptions): Promise<void> {
    const { logger } = options;
    const part = async (what: string, work: () => Promise<void>): Promise<void> => {
      await work().catch((error: unknown) => logger.warn({ err: error }, `${what} can't be read`));
    };
    await part("the operating system", async () => {
      tell({ hostname: hostname(), os: await readOperatingSystem() });
    });
    await part("addresses", () => this.#followAddresses(tell, options));
    await part("listening services", () => this.#followServices(tell, options));
    const machine = await readMachine();
    const virtualization = await readVirtualization(machine);
    tell({ virtualization });
    const slow: Promise<void>[] = [];
    if (virtualization === null) {
      const ask = async (): Promise<void> =>
        tell({ virtualization: await askVirtualization(this.#ending.signal) });
      slow.push(part("virtualization", ask));
    }
    if (this.#options.cloud ?? true) {
      const at = this.#options.metadata ?? metadataService;
      const ask = async (): Promise<void> => {
        const cloud = await readCloud(at, machine, this.#ending.signal);
        if (cloud !== null) tell({ cloud });
      };
      slow.push(part("the cloud's metadata", ask));
      this.#held.push(await PeriodicTask.start({ every: "hour", work: ask, random: options.random, logger }));
    }
    // Nobody waits for a metadata service that does not answer.
    void Promise.all(slow);
  }

  async #followAddresses(tell: (facts: ContextFacts) => void, options: ContextSourceOptions): Promise<void> {
    const { namespace, clock, logger } = options;
    const socket = NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace, keepAlive: false });
    this.#held.push(socket);
    const [links, addresses] = [new Links(socket), new LocalAddresses(socket)];
    let told = "";
    let turn: Promise<void> = Promise.resolve();
    const read = async (): Promise<void> => {
      const found = workloadAddresses(await links.list(), await addresses.list());
      const text = JSON.stringify(found);
      if (text === told) return;
      told = text;
      tell({ addresses: found });
    };
    let gathering: Disposable | null = null;
    const onChange = (): void => {
      gathering ??= clock.after(gatherMs, () => {
        gathering = null;
        turn = turn.then(read).catch((error: unknown) => {
          if (!this.#ending.signal.aborted) logger.warn({ err: error }, "addresses can't be read");
        });
      });
    };
    // Listening comes first: what changes while the first list is read is heard.
    this.#held.push(links.watch(onChange), addresses.watch(onChange));
    this.#held.push({ [Symbol.dispose]: () => gathering?.[Symbol.dispose]() });
    await read();
  }

  async #followServices(tell: (facts: ContextFacts) => void, options: ContextSourceOptions): Promise<void> {
    const { namespace, random, logger } = options;
    const socket = NetlinkSocket.open({ protocol: NETLINK_SOCK_DIAG, namespace, keepAlive: false });
    this.#held.push(socket);
    const services = new ListeningServices(socket);
    let told = "";
    const read = async (): Promise<void> => {
      const found = await services.read();
      const text = JSON.stringify(found);
      if (text === told) return;
      told = text;
      tell({ services: found });
    };
    await read();
    this.#held.push(await PeriodicTask.start({ every: "minute", work: read, random, logger }));
  }
}
