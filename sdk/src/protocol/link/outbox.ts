import type { WorkloadContext } from "../../context/workload-context.js";
import type { LinkedAgent, OfferOutcome } from "../../ports.js";
import { contextParts } from "../codec/context-message.js";
import type { SessionRequestMessage } from "../codec/session-request.js";
import type { StatusMessage } from "../codec/status-message.js";
import type { ByteStream } from "./channel.js";
import type { EventQueue } from "./event-queue.js";
import type { PreviewAnswer } from "./preview-answers.js";

/** Pings that wait for an answer while the connection takes nothing; the newest count. */
const mostPongs = 8;
const mostPreviews = 8;

export interface OutboxOptions {
  readonly stream: ByteStream;
  readonly encode: (message: SessionRequestMessage) => Uint8Array;
  readonly agent: LinkedAgent;
  readonly events: EventQueue;
  /** What the link refused before the agent saw it; null: nothing. */
  readonly refused: () => OfferOutcome | null;
  /** Something cannot be put into a message, and is left out. */
  readonly onUnsendable: (reason: unknown) => void;
}

/**
 * What an agent has to say in one session, and nothing twice. Status and context are not queued but looked up when there is
 * room on the wire, so that a slow controller gets the newest only; all that is queued is bounded.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #pongs: Uint8Array[] = [];
  readonly #previews: PreviewAnswer[] = [];
  #credit = 0;
  #snapshotReason: string | null = null;
  #isOpen = false;
  #isFull = false;
  #isScheduled = false;
  #reportChanged = false;
  #contextChanged = true;
  #toldReport = "";
  #toldContext: WorkloadContext | null = null;
  #contextSequence = 0;

  constructor(options: OutboxOptions) {
    this.#options = options;
    options.stream.on("drain", () => {
      this.#isFull = false;
      this.flush();
    });
  }

  /** The status that goes with Hello. */
  status(): StatusMessage {
    const status = this.#status();
    this.#toldReport = JSON.stringify(status);
    return status;
  }

  /** Writes past the queue: Hello. */
  write(message: SessionRequestMessage): void {
    let bytes: Uint8Array;
    try {
      bytes = this.#options.encode(message);
    } catch (reason) {
      this.#options.onUnsendable(reason);
      return;
    }
    if (!this.#options.stream.write(bytes)) this.#isFull = true;
  }

  /** From now on there is a session. */
  open(): void {
    this.#isOpen = true;
    this.#reportChanged = true;
    this.flush();
  }

  close(): void {
    this.#isOpen = false;
  }

  /** Answered at once, as far as the connection takes it. */
  pong(nonce: Uint8Array): void {
    this.#pongs.push(nonce);
    if (this.#pongs.length > mostPongs) this.#pongs.shift();
    this.flush();
  }

  credit(chunks: number): void {
    this.#credit += chunks;
    this.#schedule();
  }

  requestSnapshot(reason: string): void {
    this.#snapshotReason = reason;
    this.#schedule();
  }

  preview(answer: PreviewAnswer): void {
    this.#previews.push(answer);
    if (this.#previews.length > mostPreviews) this.#previews.shift();
    this.#schedule();
  }

  changed(what: "context" | "report" | "events"): void {
    if (what === "context") this.#contextChanged = true;
    else if (what === "report") this.#reportChanged = true;
    this.#schedule();
  }

  /** What changes several times in one turn of the event loop is told once. */
  #schedule(): void {
    if (this.#isScheduled || !this.#isOpen) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.flush();
    });
  }

  flush(): void {
    while (this.#isOpen && !this.#isFull) {
      const message = this.#next();
      if (message === null) return;
      this.write(message);
    }
  }

  /** What holds others up comes first. */
  #next(): SessionRequestMessage | null {
    const nonce = this.#pongs.shift();
    if (nonce !== undefined) return { kind: "pong", nonce };
    if (this.#snapshotReason !== null) {
      const reason = this.#snapshotReason;
      this.#snapshotReason = null;
      return { kind: "snapshot-request", reason };
    }
    if (this.#credit > 0) {
      const chunks = this.#credit;
      this.#credit = 0;
      return { kind: "credit", chunks };
    }
    return this.#nextReport() ?? this.#nextContext() ?? this.#nextPreview() ?? this.#nextEvent();
  }

  #nextReport(): SessionRequestMessage | null {
    if (!this.#reportChanged) return null;
    this.#reportChanged = false;
    const status = this.#status();
    const text = JSON.stringify(status);
    if (text === this.#toldReport) return null;
    this.#toldReport = text;
    return { kind: "status", status };
  }

  #nextContext(): SessionRequestMessage | null {
    if (!this.#contextChanged) return null;
    this.#contextChanged = false;
    const context = this.#options.agent.context();
    const facts = context === null ? null : contextParts(this.#toldContext, context);
    if (facts === null) return null;
    const full = this.#toldContext === null;
    this.#toldContext = context;
    this.#contextSequence += 1;
    return { kind: "context", sequence: this.#contextSequence, full, facts };
  }

  #nextPreview(): SessionRequestMessage | null {
    const answer = this.#previews.shift();
    return answer === undefined ? null : { kind: "preview", ...answer };
  }

  #nextEvent(): SessionRequestMessage | null {
    const event = this.#options.events.take();
    return event === null ? null : { kind: "event", ...event };
  }

  #status(): StatusMessage {
    const { state, mode, applied, problems, refused } = this.#options.agent.report();
    return { state, mode, applied, problems, refused: this.#options.refused() ?? refused };
  }
}
