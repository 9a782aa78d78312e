import { randomBytes } from "node:crypto";
import type { Clock, ContextFacts, Policy, PolicyDelta } from "@antenna/sdk";
import {
  decodeSessionRequest,
  type HelloMessage,
  policyPart,
  protocolLimits,
  protocolRevision,
  type SessionRequestMessage,
  type SessionResponseMessage,
  type StatusMessage,
  type Trust,
  type WelcomeMessage,
} from "@antenna/sdk/protocol";
import { deltaBetween } from "../compute/shared-delta.js";
import type { AgentIdentity } from "../identity/agent-certificate.js";
import { CallRefusal } from "./call-refusal.js";
import { Outbox, type OutgoingPolicy } from "./outbox.js";
import { RateLimit } from "./rate-limit.js";
import type { SessionListener, SessionStream } from "./session-stream.js";

/** What an agent tells in an event. */
export interface ToldEvent {
  readonly type: string;
  readonly time: Date;
  readonly message: string;
}

/** Whom a session tells what it hears. Everything in the order heard, the next when this has resolved. */
export interface SessionHost {
  /** Lets the agent in: what it is welcomed with. Rejects with a CallRefusal that ends the stream. */
  enter(session: AgentSession, hello: HelloMessage): Promise<Pick<WelcomeMessage, "token" | "trust">>;
  /** The welcome is on its way. */
  entered(session: AgentSession, hello: HelloMessage): Promise<void>;
  /** All that is known of the workload after this. */
  context(session: AgentSession, facts: ContextFacts): Promise<void>;
  status(session: AgentSession, status: StatusMessage): Promise<void>;
  event(session: AgentSession, event: ToldEvent): Promise<void>;
  /** The whole policy is due; null: nothing is. */
  wanted(session: AgentSession): OutgoingPolicy | null;
  /** Is the certificate still good? Throws a CallRefusal when it is not. */
  recheck(identity: AgentIdentity): void;
  left(session: AgentSession): void;
  sign(session: AgentSession, policy: OutgoingPolicy): Uint8Array;
}

export interface SessionTiming {
  /** A ping goes out at least this often; an agent that is silent for three times as long is gone. */
  readonly heartbeatMs: number;
  /** How long a holder of an identity has to answer when another one comes. */
  readonly answerMs: number;
  readonly helloMs: number;
  readonly previewMs: number;
}

export const sessionTiming: SessionTiming = {
  heartbeatMs: 10_000,
  answerMs: 250,
  helloMs: 10_000,
  previewMs: 10_000,
};

export interface AgentSessionOptions {
  readonly stream: SessionStream;
  readonly identity: AgentIdentity;
  readonly host: SessionHost;
  readonly clock: Clock;
  readonly timing: SessionTiming;
}

/** A preview as the agent made it, or why there is none. */
export type AgentPreview =
  | { readonly kind: "document"; readonly document: string }
  | { readonly kind: "none"; readonly problem: string };

/** Messages that may wait for the one that is being worked on. */
const mostUnheard = 256;
/** In bytes, as they came: in memory they are several times as much. One message may be larger if it waits alone. */
const mostUnheardBytes = 2 * 1024 * 1024;
const mostPreviews = 8;
/** Credit for parts of a policy is the most that an honest agent says. */
const messageLimit = { burst: 2000, perSecond: 200 };
/** A whole policy is dear: an agent that asks again and again is broken. */
const snapshotLimit = { burst: 8, perSecond: 0.2 };

/**
 * One stream of one agent: hello and welcome, then everything at once. It judges what the agent says by itself, and keeps
 * within bounds what both say; what it means for the fleet the host decides.
 */
export class AgentSession implements SessionListener {
  readonly identity: AgentIdentity;
  readonly #options: AgentSessionOptions;
  readonly #messages: RateLimit;
  readonly #snapshots: RateLimit;
  readonly #pings = new Map<string, (answered: boolean) => void>();
  readonly #previews = new Map<number, (preview: AgentPreview) => void>();
  readonly #timers = new Set<Disposable>();
  #state: "silent" | "entering" | "open" | "over" = "silent";
  #outbox: Outbox | null = null;
  #facts: ContextFacts = {};
  #contexts = 0;
  #turn: Promise<void> = Promise.resolve();
  #unheard = 0;
  #unheardBytes = 0;
  #heardAt: number;
  #nextPreview = 1;

  constructor(options: AgentSessionOptions) {
    this.#options = options;
    this.identity = options.identity;
    this.#messages = new RateLimit(messageLimit, options.clock);
    this.#snapshots = new RateLimit(snapshotLimit, options.clock);
    this.#heardAt = options.clock.now();
    this.#after(options.timing.helloMs, () => {
      if (this.#state === "silent") this.end(new CallRefusal("bad-request", "a session opens with hello"));
    });
  }

  /** Address of the other end. */
  get address(): string {
    return this.#options.stream.address;
  }

  /** Address and port of the other end, for people. */
  get peer(): string {
    return this.#options.stream.peer;
  }

  get isOver(): boolean {
    return this.#state === "over";
  }

  message(bytes: Uint8Array): void {
    if (this.#state === "over") return;
    try {
      // A step of the clock must not wait for a timer.
      this.#options.host.recheck(this.identity);
      if (!this.#messages.take(""))
        throw new CallRefusal("too-fast", "too many messages; the agent is faulty");
      this.#heardAt = this.#options.clock.now();
      // Before it is read: a long message costs many times its length.
      if (this.#unheard > 0 && this.#unheardBytes + bytes.length > mostUnheardBytes)
        throw new CallRefusal("too-fast", "too much is said at once");
      this.#hear(decodeSessionRequest(bytes), bytes.length);
    } catch (reason) {
      this.end(CallRefusal.from(reason));
    }
  }

  closed(): void {
    this.#finish();
  }

  /** Ends the stream. */
  end(refusal: CallRefusal | null): void {
    if (this.#state === "over") return;
    this.#options.stream.end(refusal);
    this.#finish();
  }

  /** Does the agent answer within `withinMs`? */
  answers(withinMs: number): Promise<boolean> {
    if (this.#state !== "open") return Promise.resolve(false);
    return new Promise((resolve) => {
      const nonce = this.#ping((answered) => {
        this.#cancel(timer);
        resolve(answered);
      });
      const timer = this.#after(withinMs, () => this.#settlePing(nonce, false));
      if (this.isOver) this.#settlePing(nonce, false);
    });
  }

  /** What the agent has already, so that only the difference goes out. */
  set base(policy: Policy) {
    if (this.#outbox !== null) this.#outbox.base = policy;
  }

  offer(policy: OutgoingPolicy): void {
    this.#outbox?.offer(policy);
  }

  /** New roots or policy keys. */
  tellTrust(trust: Trust): void {
    if (this.#state === "open") this.#say({ kind: "trust", trust });
  }

  /** What `policy` would change on the workload; nothing is enforced. */
  async preview(policy: Policy, digest: string, examples: number): Promise<AgentPreview> {
    const base = this.#outbox?.sent ?? null;
    if (base === null) return this.#ask(policy, digest, examples);
    const answer = await this.#ask(deltaBetween(base, policy), digest, examples);
    // It may have refused what it was sent last, and can't use a difference to it.
    return answer.kind === "document" || this.isOver ? answer : this.#ask(policy, digest, examples);
  }

  #ask(content: Policy | PolicyDelta, digest: string, examples: number): Promise<AgentPreview> {
    if (this.#state !== "open") return Promise.resolve(none("the agent is not connected"));
    if (this.#previews.size >= mostPreviews) return Promise.resolve(none("too many previews at once"));
    // A preview is under no version: 1.1 is a form only.
    const seal = { version: { epoch: 1, sequence: 1 }, digest, proof: new Uint8Array(0), probation: false };
    const part = policyPart(content, seal);
    const bytes = part.changes.reduce(
      (sum, { added4, added6, removed4, removed6 }) =>
        sum + added4.length + added6.length + removed4.length + removed6.length,
      0,
    );
    if (bytes > protocolLimits.message / 2) {
      return Promise.resolve(none("the change is too large to be previewed"));
    }
    const id = this.#nextPreview++;
    return new Promise((resolve) => {
      const timer = this.#after(this.#options.timing.previewMs, () =>
        settle(none("the agent did not answer")),
      );
      const settle = (preview: AgentPreview) => {
        this.#previews.delete(id);
        this.#cancel(timer);
        resolve(preview);
      };
      this.#previews.set(id, settle);
      this.#say({ kind: "preview", id, part, examples });
    });
  }

  /** Answers and credit at once, all else in its turn. */
  #hear(message: SessionRequestMessage, length: number): void {
    if (message.kind === "unknown") return;
    if ((this.#state === "silent") !== (message.kind === "hello")) {
      throw new CallRefusal("bad-request", "a session opens with hello, said once");
    }
    if (message.kind === "hello") this.#state = "entering";
    switch (message.kind) {
      case "pong":
        this.#settlePing(Buffer.from(message.nonce).toString("hex"), true);
        return;
      case "credit":
        this.#outbox?.grant(message.chunks);
        return;
      case "preview":
        this.#previews.get(message.id)?.(
          message.document === null
            ? none(message.problem ?? "the agent gave no reason")
            : { kind: "document", document: message.document },
        );
        return;
      default:
        if (this.#unheard >= mostUnheard) throw new CallRefusal("too-fast", "too many messages at once");
        this.#unheard++;
        this.#unheardBytes += length;
        this.#turn = this.#turn
          .then(() => this.#take(message))
          .catch((reason: unknown) => this.end(CallRefusal.from(reason)))
          .finally(() => {
            this.#unheard--;
            this.#unheardBytes -= length;
          });
    }
  }

  async #take(message: Exclude<SessionRequestMessage, { kind: "pong" | "credit" | "preview" | "unknown" }>) {
    if (this.#state === "over") return;
    const { host } = this.#options;
    switch (message.kind) {
      case "hello":
        return this.#enter(message);
      case "context":
        return this.#takeContext(message);
      case "status":
        return host.status(this, message.status);
      case "event":
        return host.event(this, message);
      case "snapshot-request":
        return this.#startAnew();
    }
  }

  async #enter(hello: HelloMessage): Promise<void> {
    if (hello.revision < 1) throw new CallRefusal("bad-request", "protocol revisions begin with 1");
    const { stream, host, clock, timing } = this.#options;
    const { token, trust } = await host.enter(this, hello);
    if (this.isOver) return;
    this.#outbox = new Outbox({
      stream,
      credit: hello.credit,
      sign: (policy) => host.sign(this, policy),
      failed: (reason) => this.end(CallRefusal.from(reason)),
    });
    this.#state = "open";
    this.#say({
      kind: "welcome",
      revision: Math.min(hello.revision, protocolRevision),
      workload: this.identity.workload,
      token,
      time: clock.date(),
      trust,
      heartbeatMs: timing.heartbeatMs,
    });
    this.#beat();
    await host.entered(this, hello);
  }

  async #takeContext({ sequence, full, facts }: Extract<SessionRequestMessage, { kind: "context" }>) {
    this.#contexts++;
    if (sequence !== this.#contexts || (sequence === 1 && !full)) {
      throw new CallRefusal("bad-request", `context ${this.#contexts} is due, the first one whole`);
    }
    this.#facts = { ...(full ? {} : this.#facts), ...facts };
    await this.#options.host.context(this, this.#facts);
  }

  #startAnew(): void {
    if (!this.#snapshots.take("")) {
      throw new CallRefusal("too-fast", "the whole policy was asked for again and again");
    }
    const policy = this.#options.host.wanted(this);
    if (policy !== null) this.#outbox?.startAnew(policy);
  }

  #beat(): void {
    const { clock, timing } = this.#options;
    if (clock.now() - this.#heardAt >= 3 * timing.heartbeatMs) {
      this.end(new CallRefusal("unavailable", `nothing was heard for ${(3 * timing.heartbeatMs) / 1000} s`));
      return;
    }
    const nonce = this.#ping(() => {});
    this.#after(timing.heartbeatMs, () => {
      this.#settlePing(nonce, false);
      this.#beat();
    });
  }

  #ping(settled: (answered: boolean) => void): string {
    const bytes = randomBytes(8);
    const nonce = bytes.toString("hex");
    this.#pings.set(nonce, settled);
    // Afterwards: it may end the session, which settles every ping.
    queueMicrotask(() => this.#say({ kind: "ping", nonce: bytes }));
    return nonce;
  }

  #settlePing(nonce: string, answered: boolean): void {
    const settled = this.#pings.get(nonce);
    this.#pings.delete(nonce);
    settled?.(answered);
  }

  #say(message: SessionResponseMessage): void {
    if (this.#outbox?.say(message) === false) {
      this.end(new CallRefusal("unavailable", "the agent does not read what it is sent"));
    }
  }

  #after(delayMs: number, call: () => void): Disposable {
    const timer = this.#options.clock.after(delayMs, () => {
      this.#timers.delete(timer);
      call();
    });
    this.#timers.add(timer);
    return timer;
  }

  #cancel(timer: Disposable): void {
    timer[Symbol.dispose]();
    this.#timers.delete(timer);
  }

  #finish(): void {
    if (this.#state === "over") return;
    this.#state = "over";
    for (const timer of this.#timers) timer[Symbol.dispose]();
    this.#timers.clear();
    for (const settle of [...this.#previews.values()]) settle(none("the agent left"));
    for (const nonce of [...this.#pings.keys()]) this.#settlePing(nonce, false);
    this.#options.host.left(this);
  }
}

function none(problem: string): AgentPreview {
  return { kind: "none", problem };
}
