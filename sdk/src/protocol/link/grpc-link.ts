import { AntennaError } from "../../error.js";
import type { Version } from "../../policy/model.js";
import type { CallOptions, Clock, ControllerLink, LinkedAgent, LinkStatus, Logger } from "../../ports.js";
import { systemClock } from "../../reconcile/system-clock.js";
import { IdentityStore } from "../identity/identity-store.js";
import type { Identity } from "../identity/stored-identity.js";
import { PolicyKeyChain } from "../signature/policy-key-chain.js";
import { verifyPolicy } from "../signature/policy-proof.js";
import { parseControllerAddress } from "./controller-address.js";
import { EventQueue } from "./event-queue.js";
import { LinkState } from "./link-state.js";

export interface GrpcLinkOptions {
  /** `HOST:PORT` */
  readonly controller: string;
  /** Where `pair` stored the identity. */
  readonly stateDir: string;
  /** Of the program, for people at the controller. Default: empty. */
  readonly agentVersion?: string;
  /** What the agent can do beyond the protocol's revision. Default: `commit-confirm`, `preview`. */
  readonly capabilities?: readonly string[];
  /** A number in [0, 1), for jitter. Default: Math.random. */
  readonly random?: () => number;
}

/**
 * The link to a controller over gRPC with mutual TLS, as the identity that `pair` stored. A host that is not paired, or
 * unpaired while it runs, waits until it is. gRPC, protocol and TLS code are loaded when there is something to connect to.
 *
 * @throws AntennaError `input-refused` for an address that is none.
 */
export function grpcLink(options: GrpcLinkOptions): ControllerLink {
  return new GrpcLink(options);
}

class GrpcLink implements ControllerLink {
  readonly #options: GrpcLinkOptions;
  readonly #store: IdentityStore;
  readonly #state: LinkState;
  readonly #events = new EventQueue();
  readonly #stop = new AbortController();
  #keys: { readonly identity: Identity; readonly chain: PolicyKeyChain } | null = null;
  #loop: import("./link-loop.js").LinkLoop | null = null;
  #running: Promise<void> | null = null;

  constructor(options: GrpcLinkOptions) {
    const controller = parseControllerAddress(options.controller);
    this.#options = options;
    this.#store = IdentityStore.open(options.stateDir);
    this.#state = new LinkState(controller.text, systemClock);
  }

  get workload(): string | null {
    return this.#store.identity?.workload ?? null;
  }

  status(): LinkStatus {
    return this.#state.status();
  }

  open(agent: LinkedAgent, { clock, logger }: { readonly clock: Clock; readonly logger: Logger }): void {
    if (this.#running !== null || this.#stop.signal.aborted)
      throw new AntennaError({ code: "closed", operation: "open the link", message: "it is opened once" });
    this.#running = this.#run(agent, clock, logger).catch((reason: unknown) => {
      const error = AntennaError.from(reason, "keep the link to the controller");
      logger.error({ err: error }, "the link has stopped; the last policy stays in force");
      this.#state.raise("link-down", `${error.message}; restart the agent`);
    });
  }

  changed(what: "context" | "report"): void {
    this.#loop?.session?.changed(what);
    if (what === "context") this.#loop?.contextChanged();
  }

  tell(event: { readonly type: string; readonly time: Date; readonly message: string }): void {
    this.#events.push(event);
    this.#loop?.session?.changed("events");
  }

  vouches(version: Version, digest: string, proof: Uint8Array | null): boolean {
    const { identity } = this.#store;
    if (identity === null || proof === null) return false;
    const claim = { workload: identity.workload, version, digest };
    return verifyPolicy(claim, proof, this.#chain(identity), { retired: true });
  }

  async probe({ signal }: CallOptions = {}): Promise<void> {
    if (this.#loop !== null) return await this.#loop.probe(signal);
    const message = "the link has never been connected";
    throw new AntennaError({ code: "unreachable", operation: "probe the controller", message });
  }

  onStatus(listener: (status: LinkStatus) => void): Disposable {
    return this.#state.onStatus(listener);
  }

  /** Ends the session and resolves when the connection is gone. Idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#running;
    await this.#store.idle();
    this.#state.close();
  }

  async #run(agent: LinkedAgent, clock: Clock, logger: Logger): Promise<void> {
    // With an identity or without: the first thing that is loaded is what follows from there being a controller.
    const { LinkLoop } = await import("./link-loop.js");
    if (this.#stop.signal.aborted) return;
    const {
      agentVersion = "",
      capabilities = ["commit-confirm", "preview"],
      random = Math.random,
    } = this.#options;
    this.#loop = new LinkLoop({
      ...{ agent, clock, logger, random, agentVersion, capabilities },
      ...{ store: this.#store, state: this.#state, events: this.#events, signal: this.#stop.signal },
      controller: parseControllerAddress(this.#options.controller),
      keys: (identity) => this.#chain(identity),
    });
    await this.#loop.run();
  }

  #chain(identity: Identity): PolicyKeyChain {
    if (this.#keys?.identity !== identity)
      this.#keys = { identity, chain: PolicyKeyChain.pinned(identity.policyKeys) };
    return this.#keys.chain;
  }
}
