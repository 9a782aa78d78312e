import { AntennaError } from "../../error.js";
import type { Clock, LinkedAgent, Logger, OfferOutcome } from "../../ports.js";
import { agentService } from "../codec/agent-service.js";
import type { WelcomeMessage } from "../codec/session-response.js";
import type { Trust } from "../codec/trust-message.js";
import { readCertificate } from "../identity/certificate-chain.js";
import type { IdentityStore } from "../identity/identity-store.js";
import type { Identity } from "../identity/stored-identity.js";
import { followTrust } from "../identity/trust.js";
import type { PolicyKeyChain } from "../signature/policy-key-chain.js";
import { callFailure } from "./call-failure.js";
import { lifeStage, renewalDelay, type Validity } from "./certificate-life.js";
import type { Channel } from "./channel.js";
import type { ControllerAddress } from "./controller-address.js";
import { ControllerTime } from "./controller-time.js";
import { Dialer } from "./dialer.js";
import type { EventQueue } from "./event-queue.js";
import { type Outcome, outcomeOf, textOf } from "./link-outcome.js";
import type { LinkState } from "./link-state.js";
import { reconnectDelay, refusedDelay } from "./reconnect-delay.js";
import { renewIdentity } from "./renew.js";
import { Session, type SessionEnd } from "./session.js";

export interface LinkLoopOptions {
  readonly agent: LinkedAgent;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random: () => number;
  readonly agentVersion: string;
  readonly capabilities: readonly string[];
  readonly controller: ControllerAddress;
  readonly store: IdentityStore;
  readonly state: LinkState;
  readonly events: EventQueue;
  readonly keys: (identity: Identity) => PolicyKeyChain;
  readonly signal: AbortSignal;
}

/** A session that stood for less has not proved that connecting works. */
const provenMs = 10_000;
const probeTimeoutMs = 10_000;
const renewRetryMs = 60_000;

/** Connects, keeps a session, renews the certificate, and comes back after whatever went wrong, until it is stopped. */
export class LinkLoop {
  readonly #options: LinkLoopOptions;
  readonly #dialer: Dialer;
  readonly #time: ControllerTime;
  #session: Session | null = null;
  #channel: Channel | null = null;
  /** An address of this host that the session stands on, and that the context has told; null: it never did (loopback). */
  #standsOn: string | null = null;
  #wake: () => void = () => {};
  #failures = 0;
  /** A renewal since the last welcome: if the new certificate is not accepted either, another one will not be. */
  #renewedInVain = false;
  #refused: OfferOutcome | null = null;
  #lastWords = "";
  /** By the latest look, this host's clock is not the controller's. */
  #isSkewed = false;

  constructor(options: LinkLoopOptions) {
    this.#options = options;
    this.#dialer = new Dialer(options);
    this.#time = new ControllerTime(options.clock);
  }

  /**
   * The context has changed. A session that stood on an address which this host no longer has is dead, and nobody would tell
   * for half a minute: it is left at once, and the next one begins from where the host is now.
   */
  contextChanged(): void {
    const { agent, logger, state } = this.#options;
    const addresses = agent.context()?.addresses.map(({ address }) => address) ?? [];
    const local = this.#channel?.localAddress ?? null;
    if (this.#session === null || this.#channel === null || local === null) {
      // Perhaps there is a way now.
      if (state.state === "connecting") this.#wake();
      return;
    }
    if (addresses.includes(local)) this.#standsOn = local;
    else if (this.#standsOn === local) {
      logger.info({ address: local }, "the address that the link stood on is gone; connecting anew");
      this.#channel.abandon();
      this.#session.end();
    }
  }

  /** null: there is none now. */
  get session(): Session | null {
    return this.#session;
  }

  async run(): Promise<void> {
    const { signal, store } = this.#options;
    using _watch = store.watch(() => this.#onIdentityChanged());
    const stop = (): void => {
      this.#session?.end();
      this.#wake();
    };
    signal.addEventListener("abort", stop, { once: true });
    while (!signal.aborted) {
      const { identity } = store;
      if (identity === null) await this.#wait(null, () => this.#tellUnpaired());
      else await this.#settle(await this.#attempt(identity));
    }
    signal.removeEventListener("abort", stop);
  }

  /** A connection of its own, as this host; resolves once the controller has answered on it. */
  async probe(signal: AbortSignal | undefined): Promise<void> {
    const { clock, signal: closing } = this.#options;
    const end = new AbortController();
    const stop = (): void => end.abort();
    const sources = signal === undefined ? [closing] : [closing, signal];
    for (const source of sources) {
      if (source.aborted) stop();
      source.addEventListener("abort", stop, { once: true });
    }
    using _timer = clock.after(probeTimeoutMs, stop);
    try {
      const channel = await this.#dialer.redial(end.signal);
      await channel.close();
    } finally {
      for (const source of sources) source.removeEventListener("abort", stop);
    }
  }

  async #attempt(identity: Identity): Promise<Outcome> {
    const { agent, signal, state } = this.#options;
    if (identity.revoked) state.move("revoked");
    else if (state.state === "none" || state.state === "connected") state.move("connecting");
    state.clear("not-paired", "state-corrupt");
    try {
      await using channel = await this.#dialer.dial(agent, signal);
      if (channel.skew !== null) this.#tellSkew(identity, channel.skew);
      const stage = lifeStage(validityOf(identity), this.#time.now());
      if (stage === "expired" && !this.#renewedInVain) return await this.#renew(channel);
      return await this.#hold(channel, identity);
    } catch (reason) {
      const error = AntennaError.from(reason, `connect to ${this.#options.controller.text}`);
      return { kind: "failed", words: textOf(error) };
    }
  }

  /** A session, from hello to its end. */
  async #hold(channel: Channel, identity: Identity): Promise<Outcome> {
    const { agent, agentVersion, capabilities, clock, events, logger, state, store } = this.#options;
    let welcomeAt: number | null = null;
    let renewal: Disposable | null = null;
    const session = new Session({
      ...{ agent, agentVersion, capabilities, clock, queue: events, workload: identity.workload },
      stream: channel.stream(agentService.session.path),
      token: store.traces.token,
      keys: () => this.#options.keys(store.identity ?? identity),
      refused: () => this.#refused,
      events: {
        onWelcome: (welcome) => {
          welcomeAt = clock.now();
          this.#onWelcome(channel, welcome);
          renewal = this.#renewLater(channel, session, 1_000);
        },
        onHeard: () => {
          state.heard();
          // The clock may have been set while the session stands.
          if ((this.#time.skew() !== null) !== this.#isSkewed) this.#followSkew();
        },
        onTrust: (trust) => this.#follow(channel, trust),
        onRefused: (outcome) => this.#onRefused(outcome),
        onOffered: () => {
          this.#refused = null;
          state.clear("policy-refused");
        },
        onUnsendable: (err) => logger.error({ err }, "something cannot be told to the controller"),
      },
    });
    this.#session = session;
    this.#channel = channel;
    this.contextChanged();
    try {
      const end = await session.run();
      if (welcomeAt !== null && clock.now() - welcomeAt >= provenMs) this.#failures = 0;
      return await this.#conclude(end, channel);
    } finally {
      this.#session = null;
      this.#channel = null;
      this.#standsOn = null;
      (renewal as Disposable | null)?.[Symbol.dispose]();
    }
  }

  async #conclude(end: SessionEnd, channel: Channel): Promise<Outcome> {
    switch (end.kind) {
      case "ended":
        return { kind: "again" };
      case "silent":
        return { kind: "failed", words: end.words };
      case "violation":
        return { kind: "failed", words: `the controller breaks the protocol: ${end.words}` };
      case "failed":
        if (end.failure.kind === "unauthenticated" && !this.#renewedInVain) return await this.#renew(channel);
        return outcomeOf(end.failure);
    }
  }

  async #renew(channel: Channel): Promise<Outcome> {
    const { clock, logger, signal, store } = this.#options;
    try {
      const { problem } = await renewIdentity(channel, store, { clock, signal });
      this.#renewedInVain = true;
      this.#tellTrust(problem);
      logger.info({ workload: store.identity?.workload }, "certificate renewed");
      return { kind: "again" };
    } catch (reason) {
      if (reason instanceof AntennaError) return { kind: "failed", words: textOf(reason) };
      const failure = callFailure(reason);
      const outcome = outcomeOf(failure);
      return outcome.kind === "again"
        ? outcome
        : { kind: outcome.kind, words: `not renewed: ${outcome.words}` };
    }
  }

  /** While the session stands; then a new one begins with the new certificate. */
  #renewLater(channel: Channel, session: Session, leastMs: number): Disposable {
    const { clock, logger, random, store } = this.#options;
    const { identity } = store;
    let isOver = false;
    let timer: Disposable | null = null;
    const plan = (least: number): void => {
      if (identity === null || isOver) return;
      const delay = renewalDelay(validityOf(identity), this.#time.now(), random(), least);
      timer = clock.after(delay, () => void renew());
    };
    const renew = async (): Promise<void> => {
      const outcome = await this.#renew(channel);
      if (isOver) return;
      if (outcome.kind === "again") return session.end();
      logger.warn({ reason: outcome.words }, "certificate not renewed; tried again soon");
      plan(renewRetryMs * (0.5 + random()));
    };
    plan(leastMs);
    return {
      [Symbol.dispose]: () => {
        isOver = true;
        timer?.[Symbol.dispose]();
      },
    };
  }

  #onWelcome(channel: Channel, welcome: WelcomeMessage): void {
    const { controller, events, logger, state, store } = this.#options;
    this.#renewedInVain = false;
    this.#lastWords = "";
    this.#time.tell(welcome.time);
    this.#store(store.saveTraces({ ...store.traces, controller: controller.text, token: welcome.token }));
    if (store.identity?.revoked === true)
      this.#store(store.updateIdentity({ ...store.identity, revoked: false }));
    this.#follow(channel, welcome.trust);
    this.#followSkew();
    state.heard();
    state.clear("link-down");
    state.move("connected");
    const dropped = events.takeDropped();
    logger.info({ controller: controller.text, workload: welcome.workload }, "connected to the controller");
    if (dropped > 0) logger.warn({ dropped }, "events dropped while the controller was away");
  }

  #followSkew(): void {
    const { state } = this.#options;
    const skew = this.#time.skew();
    this.#isSkewed = skew !== null;
    if (skew === null) state.clear("clock-skew");
    else state.raise("clock-skew", skew);
  }

  #follow(channel: Channel, trust: Trust): void {
    const { logger, store } = this.#options;
    const { identity } = store;
    if (identity === null) return;
    const followed = followTrust(identity, trust, channel.sent);
    this.#tellTrust(followed.problem);
    if (followed.identity === identity) return;
    logger.info({ roots: trust.roots.length, keys: trust.policyKeys.length }, "roots and policy keys follow");
    this.#store(store.updateIdentity(followed.identity));
  }

  #tellTrust(problem: string | null): void {
    if (problem === null) this.#options.state.clear("trust-refused");
    else
      this.#options.state.raise(
        "trust-refused",
        `roots or keys that the controller told are not taken: ${problem}`,
      );
  }

  #onRefused(outcome: OfferOutcome): void {
    const { logger, state } = this.#options;
    this.#refused = outcome;
    const version = `${outcome.version.epoch}.${outcome.version.sequence}`;
    const message = `policy ${version} from the controller is refused, the one before stays: ${outcome.reason}`;
    logger.warn({ version, reason: outcome.reason }, "policy from the controller refused");
    state.raise("policy-refused", message);
  }

  /** Says how it stands and waits for the next attempt. */
  async #settle(outcome: Outcome): Promise<void> {
    const { controller, logger, random, signal, state, store } = this.#options;
    if (signal.aborted || outcome.kind === "again") return;
    this.#failures += 1;
    if (outcome.words !== this.#lastWords)
      logger.warn({ controller: controller.text, reason: outcome.words }, `link ${outcome.kind}`);
    this.#lastWords = outcome.words;
    const isSaidNo = outcome.kind !== "failed";
    const { identity } = store;
    if (outcome.kind === "revoked" && identity !== null && !identity.revoked)
      this.#store(store.updateIdentity({ ...identity, revoked: true }));
    if (isSaidNo) this.#renewedInVain = false;
    state.raise(
      "link-down",
      `${outcome.words}; the last policy is enforced, and the controller is tried again${this.#expiryNote()}`,
    );
    if (isSaidNo) state.move(outcome.kind);
    else if (store.identity?.revoked !== true) state.move("connecting");
    const delay = isSaidNo ? refusedDelay(random()) : reconnectDelay(this.#failures, random());
    await this.#wait(delay, () => {});
  }

  /** Expired is told from unreachable by this host's own clock. */
  #expiryNote(): string {
    const { identity } = this.#options.store;
    if (identity === null || lifeStage(validityOf(identity), this.#time.now()) !== "expired") return "";
    const { to } = validityOf(identity);
    return ` (by this host's clock its certificate expired on ${new Date(to).toISOString()}; it is renewed when the controller answers)`;
  }

  #tellUnpaired(): void {
    const { controller, state, store } = this.#options;
    state.move("none");
    state.clear("link-down", "clock-skew", "trust-refused", "state-corrupt", "not-paired");
    if (store.damage === null)
      state.raise(
        "not-paired",
        `this host has no identity; run \`antenna pair --controller ${controller.text}\``,
      );
    else
      state.raise(
        "state-corrupt",
        `the identity is damaged: ${store.damage}; restore it, or run \`antenna unpair\` and pair again`,
      );
  }

  #tellSkew(identity: Identity, skew: "early" | "late"): void {
    const now = this.#options.clock.date().toISOString();
    const lead = skew === "early" ? "is not valid yet" : "has expired";
    const from = new Date(validityOf(identity).from).toISOString();
    this.#options.state.raise(
      "clock-skew",
      `by this host's clock (${now}) the controller's certificate ${lead}, though it was good after ${from}; check NTP`,
    );
  }

  #onIdentityChanged(): void {
    this.#failures = 0;
    this.#renewedInVain = false;
    this.#refused = null;
    this.#options.state.clear("policy-refused");
    if (this.#options.state.state !== "none") this.#options.state.move("connecting");
    this.#session?.end();
    this.#wake();
  }

  #store(writing: Promise<void>): void {
    const { logger, state } = this.#options;
    writing.then(
      () => state.clear("storage"),
      (reason: unknown) => {
        const error = AntennaError.from(reason, "store the identity");
        logger.error({ err: error }, "identity not stored");
        state.raise("storage", textOf(error));
      },
    );
  }

  /** Until the time is over (null: none), the identity changes, or the link is stopped. */
  #wait(delayMs: number | null, begin: () => void): Promise<void> {
    const { clock, signal } = this.#options;
    return new Promise((resolve) => {
      const timer = delayMs === null ? null : clock.after(delayMs, () => this.#wake());
      this.#wake = () => {
        timer?.[Symbol.dispose]();
        this.#wake = () => {};
        resolve();
      };
      begin();
      if (signal.aborted) this.#wake();
    });
  }
}

function validityOf(identity: Identity): Validity {
  const own = readCertificate(identity.certificateChain[0] as Uint8Array);
  return { from: Date.parse(own.validFrom), to: Date.parse(own.validTo) };
}
