import { AntennaError } from "../../error.js";
import type { Clock, LinkedAgent, OfferOutcome } from "../../ports.js";
import { protocolRevision } from "../codec/agent-service.js";
import { encodeSessionRequest } from "../codec/session-request.js";
import { decodeSessionResponse, type WelcomeMessage } from "../codec/session-response.js";
import type { Trust } from "../codec/trust-message.js";
import type { PolicyKeyChain } from "../signature/policy-key-chain.js";
import { type CallFailure, callFailure, clean } from "./call-failure.js";
import type { ByteStream } from "./channel.js";
import type { EventQueue } from "./event-queue.js";
import { MessageBudget } from "./message-budget.js";
import { Outbox } from "./outbox.js";
import { creditWindow, PolicyIntake } from "./policy-intake.js";
import { PreviewAnswers } from "./preview-answers.js";

/** How a session came to its end. */
export type SessionEnd =
  | { readonly kind: "ended" } // by this side
  | { readonly kind: "failed"; readonly failure: CallFailure } // by the other side, or on the way
  | { readonly kind: "silent"; readonly words: string } // nothing was heard for too long
  | { readonly kind: "violation"; readonly words: string }; // the other side breaks the protocol

/** What a session tells its link; none of it may throw. */
export interface SessionEvents {
  readonly onWelcome: (welcome: WelcomeMessage) => void;
  /** Anything was heard after welcome. */
  readonly onHeard: () => void;
  readonly onTrust: (trust: Trust) => void;
  readonly onRefused: (outcome: OfferOutcome) => void;
  readonly onOffered: () => void;
  /** Something that this host had to say cannot be put into a message. */
  readonly onUnsendable: (reason: unknown) => void;
}

export interface SessionOptions {
  readonly stream: ByteStream;
  readonly workload: string;
  readonly agent: LinkedAgent;
  readonly agentVersion: string;
  readonly capabilities: readonly string[];
  readonly token: Uint8Array;
  readonly clock: Clock;
  readonly queue: EventQueue;
  readonly keys: () => PolicyKeyChain;
  readonly refused: () => OfferOutcome | null;
  readonly events: SessionEvents;
}

const welcomeTimeoutMs = 10_000;
/** Bounds of what a controller may say of its heartbeat: 3 times the longest is how late a dead one is noticed. */
const heartbeatBounds = { least: 1_000, most: 60_000 } as const;

/**
 * One session on a connection that stands: hello, welcome, then both sides say what there is to say. It ends once, and says
 * how. Whatever a controller does in it, the policy in force stays in force.
 */
export class Session {
  readonly #options: SessionOptions;
  readonly #outbox: Outbox;
  readonly #intake: PolicyIntake;
  readonly #previews: PreviewAnswers;
  readonly #budget: MessageBudget;
  #isWelcome = false;
  #end: SessionEnd | null = null;
  #resolve: (end: SessionEnd) => void = () => {};
  #heardAt: number;
  #silenceMs = welcomeTimeoutMs;
  #watch: Disposable | null = null;

  constructor(options: SessionOptions) {
    const { agent, clock, events, keys, queue, refused, stream, workload } = options;
    this.#options = options;
    this.#outbox = new Outbox({
      ...{ stream, encode: encodeSessionRequest, agent, events: queue, refused },
      onUnsendable: events.onUnsendable,
    });
    this.#intake = new PolicyIntake({
      ...{ workload, agent, keys },
      onCredit: (chunks) => this.#outbox.credit(chunks),
      onBaseMismatch: (reason) => this.#outbox.requestSnapshot(reason),
      onRefused: (outcome) => {
        events.onRefused(outcome);
        this.#outbox.changed("report");
      },
      onOffered: events.onOffered,
    });
    this.#previews = new PreviewAnswers(agent, (answer) => this.#outbox.preview(answer));
    this.#budget = new MessageBudget(clock);
    this.#heardAt = clock.now();
  }

  /** Says hello and goes on until the end. Called once. */
  run(): Promise<SessionEnd> {
    const { agent, agentVersion, capabilities, stream, token } = this.#options;
    return new Promise((resolve) => {
      this.#resolve = resolve;
      stream.on("error", (reason) => this.#finish({ kind: "failed", failure: callFailure(reason) }));
      // A stream that is closed half is of no use: the other side is never heard again.
      stream.on("end", () => this.#onEnd());
      stream.on("data", (bytes) => this.#onMessage(bytes));
      const status = this.#outbox.status();
      const { floor } = agent.report();
      const revision = protocolRevision;
      this.#outbox.write({
        ...{ kind: "hello", revision, agentVersion, capabilities, token },
        ...{ status, floor, credit: creditWindow },
      });
      this.#watchSilence(welcomeTimeoutMs);
    });
  }

  changed(what: "context" | "report" | "events"): void {
    this.#outbox.changed(what);
  }

  /** Ends it from this side. Idempotent. */
  end(): void {
    this.#finish({ kind: "ended" });
  }

  #onEnd(): void {
    // The status, if one comes, comes with the same packet and says more.
    setImmediate(() => {
      const words = "it ended its side of the session";
      this.#finish({ kind: "failed", failure: { kind: "broken", code: null, words } });
    });
  }

  #onMessage(bytes: Uint8Array): void {
    if (this.#end !== null) return;
    this.#heardAt = this.#options.clock.now();
    if (this.#isWelcome) this.#options.events.onHeard();
    try {
      const violation = this.#take(bytes);
      if (violation !== null) this.#violate(violation);
    } catch (reason) {
      this.#violate(`it sent something that cannot be read: ${AntennaError.from(reason, "read").message}`);
    }
  }

  /** null, or how the protocol was broken. */
  #take(bytes: Uint8Array): string | null {
    const message = decodeSessionResponse(bytes);
    if (message.kind !== "policy" && !this.#budget.take()) return "it floods this host with messages";
    if (!this.#isWelcome && message.kind !== "welcome") return `it said ${message.kind} before welcome`;
    switch (message.kind) {
      case "welcome":
        return this.#welcome(message);
      case "policy":
        return this.#intake.push(message.part);
      case "ping":
        this.#outbox.pong(message.nonce);
        return null;
      case "preview":
        this.#previews.ask(message);
        return null;
      case "trust":
        this.#options.events.onTrust(message.trust);
        return null;
      case "unknown":
        return null;
    }
  }

  #welcome(welcome: WelcomeMessage): string | null {
    if (this.#isWelcome) return "it said welcome twice";
    if (welcome.revision > protocolRevision || welcome.revision < protocolRevision - 1)
      return `it speaks revision ${welcome.revision} of the protocol, this host speaks ${protocolRevision}; update the older side`;
    if (welcome.workload !== this.#options.workload)
      return `it takes this host for ${welcome.workload}, which is ${this.#options.workload}`;
    this.#isWelcome = true;
    const { least, most } = heartbeatBounds;
    this.#watchSilence(3 * Math.min(most, Math.max(least, welcome.heartbeatMs)));
    this.#options.events.onWelcome(welcome);
    this.#outbox.open();
    return null;
  }

  /** One timer, set anew when it fires and something was heard meanwhile: a message costs no timer. */
  #watchSilence(silenceMs: number): void {
    this.#silenceMs = silenceMs;
    this.#watch?.[Symbol.dispose]();
    const { clock } = this.#options;
    const left = Math.max(1, this.#heardAt + silenceMs - clock.now());
    this.#watch = clock.after(left, () => {
      if (this.#end !== null) return;
      if (clock.now() - this.#heardAt < this.#silenceMs) return this.#watchSilence(silenceMs);
      const words = `nothing was heard for ${this.#silenceMs / 1000} s`;
      this.#finish({ kind: "silent", words: this.#isWelcome ? words : `${words} after hello` });
    });
  }

  #violate(words: string): void {
    this.#finish({ kind: "violation", words: clean(words) });
  }

  #finish(end: SessionEnd): void {
    if (this.#end !== null) return;
    this.#end = end;
    this.#watch?.[Symbol.dispose]();
    this.#outbox.close();
    this.#options.stream.cancel();
    this.#resolve(end);
  }
}
