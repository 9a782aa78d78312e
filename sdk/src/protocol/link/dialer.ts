import { AntennaError } from "../../error.js";
import { AddressSet } from "../../policy/address-set.js";
import type { Clock, LinkedAgent, Logger } from "../../ports.js";
import { readCertificate } from "../identity/certificate-chain.js";
import type { IdentityStore } from "../identity/identity-store.js";
import { Channel } from "./channel.js";
import {
  aborted,
  type ControllerAddress,
  labelOf,
  nameLookup,
  resolveController,
} from "./controller-address.js";
import type { TlsPeer } from "./pinned-tls.js";

export interface DialerOptions {
  readonly controller: ControllerAddress;
  readonly store: IdentityStore;
  readonly clock: Clock;
  readonly logger: Logger;
}

const connectTimeoutMs = 10_000;

/** Opens connections to the controller as the identity in the store; one address after another, the last good one first. */
export class Dialer {
  readonly #options: DialerOptions;
  readonly #lookup = nameLookup();
  #addresses: readonly string[] = [];

  constructor(options: DialerOptions) {
    this.#options = options;
  }

  /**
   * Resolves the name, has the agent let the addresses through, then dials them. When the name does not resolve, the
   * addresses of the last time are taken.
   *
   * @throws AntennaError `unreachable`, `untrusted`, `corrupt`, `aborted`
   */
  async dial(agent: LinkedAgent, signal: AbortSignal): Promise<Channel> {
    const { controller } = this.#options;
    const addresses = await this.#resolve(signal);
    await unlessAborted(agent.reach(AddressSet.from(addresses), controller.port), signal);
    this.#addresses = addresses;
    return await this.redial(signal);
  }

  /** As `dial`, to the addresses of the last time: they are let through already. */
  async redial(signal: AbortSignal): Promise<Channel> {
    let failure: AntennaError | null = null;
    const { text } = this.#options.controller;
    for (const address of this.#addresses) {
      try {
        const channel = await this.#open(address, signal);
        this.#addresses = [address, ...this.#addresses.filter((each) => each !== address)];
        return channel;
      } catch (reason) {
        const error = AntennaError.from(reason, `connect to ${text}`);
        if (error.code === "aborted") throw error;
        // Somebody who answers falsely says more than nobody.
        if (failure === null || failure.code === "unreachable") failure = error;
      }
    }
    const message = "no address is known yet";
    throw failure ?? new AntennaError({ code: "unreachable", operation: `connect to ${text}`, message });
  }

  async #resolve(signal: AbortSignal): Promise<readonly string[]> {
    const { controller, logger, store } = this.#options;
    const { traces } = store;
    const remembered = traces.controller === controller.text ? traces.addresses : [];
    let found: readonly string[];
    try {
      found = await resolveController(controller, this.#lookup, signal);
      if (found.length === 0) throw noAddress(controller);
    } catch (reason) {
      if (signal.aborted || remembered.length === 0) throw reason;
      logger.debug(
        { err: reason, addresses: remembered },
        "controller not resolved: the last addresses are taken",
      );
      return remembered;
    }
    if (!sameMembers(found, remembered)) {
      await store
        .saveTraces({ token: traces.token, controller: controller.text, addresses: found })
        .catch((err: unknown) => logger.warn({ err }, "addresses of the controller not stored"));
    }
    const known = this.#addresses.filter((each) => found.includes(each));
    return [...known, ...found.filter((each) => !known.includes(each))];
  }

  #open(address: string, signal: AbortSignal): Promise<Channel> {
    const { clock, controller } = this.#options;
    const peer = this.#peer(labelOf(controller, address));
    return Channel.open({ address, port: controller.port, peer, clock, timeoutMs: connectTimeoutMs, signal });
  }

  #peer(label: string): TlsPeer {
    const { store } = this.#options;
    const { identity } = store;
    const [own] = identity?.certificateChain ?? [];
    if (identity === null || own === undefined)
      throw new AntennaError({
        code: "denied",
        operation: `connect to ${label}`,
        message: "this host is not paired; run `antenna pair`",
      });
    const chain = identity.certificateChain.map((der) => readCertificate(der).toString()).join("");
    return {
      label,
      roots: identity.roots.map(readCertificate),
      // The controller made the certificate then: whatever had run out by that day has run out.
      notBefore: new Date(readCertificate(own).validFrom),
      identity: { chain, key: store.privateKeyPem() },
    };
  }
}

function noAddress(controller: ControllerAddress): AntennaError {
  return new AntennaError({
    code: "unreachable",
    operation: `resolve ${controller.host}`,
    message: "the name of the controller has no address",
  });
}

function sameMembers(a: readonly string[], b: readonly string[]): boolean {
  return a.length === b.length && a.every((each) => b.includes(each));
}

function unlessAborted(work: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const stop = (): void => reject(aborted("let the controller through", signal));
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
