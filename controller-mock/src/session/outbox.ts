import { compareVersions, type Policy, policyDigest, type Version } from "@antenna/sdk";
import {
  encodeSessionResponse,
  type PolicyPart,
  policyParts,
  type SessionResponseMessage,
} from "@antenna/sdk/protocol";
import { deltaBetween } from "../compute/shared-delta.js";
import type { SessionStream } from "./session-stream.js";

/** A policy that the workload should have. */
export interface OutgoingPolicy {
  readonly policy: Policy;
  readonly version: Version;
  readonly digest: string;
  readonly probation: boolean;
}

export interface OutboxOptions {
  readonly stream: SessionStream;
  /** Parts of a policy that the agent takes before it gives more. */
  readonly credit: number;
  readonly sign: (policy: OutgoingPolicy) => Uint8Array;
  /** Something can't be said: larger than a message may be. */
  readonly failed: (reason: unknown) => void;
}

/** Short messages that may wait; whoever lets more pile up does not read. */
const mostWaiting = 64;
/** Parts under way, whatever the agent offers: 16 × 256 KiB. */
const mostCredit = 16;

/**
 * What goes out on one stream, one message at a time: short messages first, then the newest policy in parts that are made
 * when there is credit for them. A slow agent costs one part and one policy, and delays nobody.
 */
export class Outbox {
  readonly #options: OutboxOptions;
  readonly #waiting: SessionResponseMessage[] = [];
  #credit: number;
  #isSending = false;
  /** What the agent has or is being sent; null: nothing known, the whole policy is due. */
  #base: Policy | null = null;
  /** What it should have; the newest only. */
  #wanted: OutgoingPolicy | null = null;
  #parts: Iterator<PolicyPart> | null = null;
  /** The highest version that was offered: writes that were shared may end in another order than they began. */
  #newest: Version | null = null;

  constructor(options: OutboxOptions) {
    this.#options = options;
    this.#credit = Math.min(options.credit, mostCredit);
  }

  /** What the agent was found to have; deltas begin there. */
  set base(policy: Policy) {
    this.#base = policy;
  }

  /** The last policy that the agent was sent or found to have. */
  get sent(): Policy | null {
    return this.#base;
  }

  /** False: the agent does not read. */
  say(message: SessionResponseMessage): boolean {
    if (this.#waiting.length >= mostWaiting) return false;
    this.#waiting.push(message);
    this.#pump();
    return true;
  }

  /** Replaces a policy that was not begun; one that is older than another offered before is passed over. */
  offer(policy: OutgoingPolicy): void {
    if (this.#newest !== null && compareVersions(policy.version, this.#newest) < 0) return;
    this.#newest = policy.version;
    this.#wanted = policy;
    this.#pump();
  }

  /** The agent can't use deltas to what was sent: `policy` goes out whole. */
  startAnew(policy: OutgoingPolicy): void {
    this.#base = null;
    this.offer(policy);
  }

  grant(parts: number): void {
    this.#credit = Math.min(this.#credit + parts, mostCredit);
    this.#pump();
  }

  #pump(): void {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      const message = this.#next();
      if (message === null) {
        this.#isSending = false;
        return;
      }
      this.#options.stream.send(encodeSessionResponse(message)).then((isSent) => {
        this.#isSending = false;
        if (isSent) this.#pump();
      });
    } catch (reason) {
      // Nothing goes out any more: what was to be said is lost.
      this.#options.failed(reason);
    }
  }

  #next(): SessionResponseMessage | null {
    const message = this.#waiting.shift();
    if (message !== undefined) return message;
    if (this.#credit === 0) return null;
    const part = this.#nextPart();
    if (part === null) return null;
    this.#credit--;
    return { kind: "policy", part };
  }

  /** An agent refuses a policy that begins before the last part of the one before: what was begun is finished. */
  #nextPart(): PolicyPart | null {
    if (this.#parts === null) {
      const wanted = this.#wanted;
      if (wanted === null) return null;
      this.#wanted = null;
      this.#parts = this.#begin(wanted);
    }
    const next = this.#parts.next();
    if (next.done === true) {
      this.#parts = null;
      return this.#nextPart();
    }
    if (next.value.last) this.#parts = null;
    return next.value;
  }

  #begin(wanted: OutgoingPolicy): Iterator<PolicyPart> {
    const base = this.#base;
    this.#base = wanted.policy;
    const content = base === null ? wanted.policy : deltaBetween(base, wanted.policy);
    const { version, digest, probation } = wanted;
    if (digest !== policyDigest(wanted.policy)) throw new TypeError("a policy goes under its own digest");
    return policyParts(content, { version, digest, proof: this.#options.sign(wanted), probation });
  }
}
