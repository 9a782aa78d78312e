import { createHash, randomBytes } from "node:crypto";
import type { Clock } from "@antenna/sdk";
import type { AgentSession } from "./agent-session.js";
import { CallRefusal } from "./call-refusal.js";

export interface RegistryOptions {
  readonly clock: Clock;
  readonly answerMs: number;
  /** Two holders of one identity were seen: the second was refused. */
  readonly onClone: (clone: Clone) => void;
}

export interface Clone {
  readonly workload: string;
  /** Where the holder that stays is, or was last. */
  readonly first: string;
  /** Where the one that was refused is. */
  readonly second: string;
  readonly message: string;
}

/**
 * How long a holder that left is awaited before one with an older token may take its place: agents back off to 30 s, so it
 * has tried three times.
 */
const awaitedMs = 90_000;
/** The longest that Node's timers and a clock that is set leave an expiry unseen. */
const longestSleepMs = 60_000;

/** The live sessions, one per workload, and who may have one. */
export class SessionRegistry {
  readonly #options: RegistryOptions;
  readonly #live = new Map<string, AgentSession>();
  /** Workloads of which a second holder is being judged. */
  readonly #contests = new Set<string>();
  /** When (monotonic) and from where a workload's last session ended. */
  readonly #left = new Map<string, { readonly at: number; readonly peer: string }>();
  #timer: Disposable | null = null;

  constructor(options: RegistryOptions) {
    this.#options = options;
  }

  get size(): number {
    return this.#live.size;
  }

  get(workload: string): AgentSession | null {
    return this.#live.get(workload) ?? null;
  }

  all(): readonly AgentSession[] {
    return Array.from(this.#live.values());
  }

  /**
   * Makes the session the one of its workload. Another one that is live is asked: when it answers, this one is a clone and
   * refused; when it is silent, this one takes its place. `tokens`: hashes of what the last two connections were given.
   * Until `settle` has resolved nobody else of this workload is judged.
   *
   * @throws CallRefusal `clone`, or `unavailable` when it should try again.
   */
  async admit(
    session: AgentSession,
    token: Uint8Array,
    tokens: readonly string[],
    settle: () => Promise<void>,
  ): Promise<void> {
    const { workload } = session.identity;
    if (this.#contests.has(workload)) {
      throw new CallRefusal("unavailable", "another connection of this identity is being judged; try again");
    }
    this.#contests.add(workload);
    try {
      await this.#contest(session, tokens.length === 0 || tokens.includes(hashToken(token)));
      if (session.isOver) throw new CallRefusal("unavailable", "the stream is over");
      this.#live.set(workload, session);
      this.#watchExpiry();
      await settle();
    } finally {
      this.#contests.delete(workload);
    }
  }

  /** True when it was the live session of its workload. */
  leave(session: AgentSession): boolean {
    const { workload } = session.identity;
    if (this.#live.get(workload) !== session) return false;
    this.#live.delete(workload);
    if (this.#live.size === 0) this.#watchExpiry();
    this.#left.set(workload, { at: this.#options.clock.now(), peer: session.peer });
    return true;
  }

  /** A renewal shows that it comes from who was connected last, or nobody else is. */
  admitRenewal(workload: string, token: Uint8Array, tokens: readonly string[], peer: string): void {
    const holder = this.#live.get(workload);
    if (holder === undefined || tokens.length === 0 || tokens.includes(hashToken(token))) return;
    this.#refuse(workload, holder.peer, peer, "renews with the token of an older connection");
  }

  /** Nothing of this workload is known any more. */
  forget(workload: string): void {
    this.#left.delete(workload);
  }

  close(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = null;
    for (const session of this.all())
      session.end(new CallRefusal("unavailable", "the controller is closing"));
  }

  async #contest(session: AgentSession, isKnown: boolean): Promise<void> {
    const { clock, answerMs } = this.#options;
    const { workload } = session.identity;
    const first = this.#live.get(workload);
    if (first !== undefined) {
      if (await first.answers(answerMs))
        this.#refuse(workload, first.peer, session.peer, "is a second holder");
      first.end(new CallRefusal("unavailable", "another connection of this identity took over"));
      return;
    }
    if (isKnown) return;
    // After a start nobody left yet, and a database from a backup knows older tokens: then whoever comes first has it.
    const left = this.#left.get(workload);
    if (left !== undefined && clock.now() - left.at < awaitedMs) {
      this.#refuse(workload, left.peer, session.peer, "shows the token of an older connection");
    }
  }

  #refuse(workload: string, first: string, second: string, what: string): never {
    const message = `who connects from ${second} ${what} and was refused; the holder from ${first} stays. Is the state directory a copy? Remove it there and pair again`;
    this.#options.onClone({ workload, first, second, message });
    throw new CallRefusal("clone", `another holder of this identity is connected from ${first}`);
  }

  /** One timer for whichever certificate expires next. */
  #watchExpiry(): void {
    this.#timer?.[Symbol.dispose]();
    this.#timer = null;
    const now = this.#options.clock.date().getTime();
    let next = Number.POSITIVE_INFINITY;
    for (const { identity } of this.#live.values()) next = Math.min(next, identity.notAfter.getTime() - now);
    if (next === Number.POSITIVE_INFINITY) return;
    const delay = Math.max(0, Math.min(next, longestSleepMs));
    this.#timer = this.#options.clock.after(delay, () => {
      this.#endExpired();
      this.#watchExpiry();
    });
  }

  #endExpired(): void {
    const now = this.#options.clock.date().getTime();
    for (const session of this.all()) {
      if (session.identity.notAfter.getTime() > now) continue;
      session.end(
        new CallRefusal("unauthenticated", "the certificate expired while the stream lasted; renew it"),
      );
    }
  }
}

/** A new token: 256 random bits. */
export function newToken(): Buffer {
  return randomBytes(32);
}

/** What is stored of a token. */
export function hashToken(token: Uint8Array): string {
  return createHash("sha256").update(token).digest("hex");
}
