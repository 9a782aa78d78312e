import type { RevocationRecord } from "../store-port.js";
import { agentLifetimeMs, renewalGraceMs } from "./authority.js";

/** The identities that ended, by pairing. A revocation is forgotten when no certificate of it could renew any more. */
export class Revocations {
  readonly #records: Map<string, RevocationRecord>;

  constructor(records: readonly RevocationRecord[]) {
    this.#records = new Map(records.map((record) => [record.pairing, record]));
  }

  has(pairing: string): boolean {
    return this.#records.has(pairing);
  }

  /** The list with one more, to be written before it is told to `put`. */
  with(record: RevocationRecord, now: Date): readonly RevocationRecord[] {
    const oldest = now.getTime() - agentLifetimeMs - renewalGraceMs;
    const kept = Array.from(this.#records.values()).filter(({ time }) => Date.parse(time) > oldest);
    return [...kept, record];
  }

  put(record: RevocationRecord): void {
    this.#records.set(record.pairing, record);
  }
}
