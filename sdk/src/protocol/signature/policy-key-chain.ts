import { AntennaError } from "../../error.js";
import { protocolLimits } from "../codec/protocol-limits.js";
import type { PolicyKey } from "../codec/trust-message.js";
import { isSignedBy, policyKeyId } from "./policy-key.js";
import { keySignatureText } from "./signed-text.js";

/** Keys that are trusted, as they are stored. */
export interface PinnedKeys {
  /** Public keys (32 bytes) that policies may be signed with now. */
  readonly current: readonly Uint8Array[];
  /** Those that were: policies that they signed and that are in force already stay vouched for. */
  readonly retired: readonly Uint8Array[];
}

/**
 * The policy keys that an agent trusts: pinned at pairing, afterwards only those that a trusted one vouches for. Immutable.
 */
export class PolicyKeyChain {
  readonly #current: ReadonlyMap<string, Uint8Array>;
  readonly #retired: ReadonlyMap<string, Uint8Array>;

  private constructor(current: Iterable<Uint8Array>, retired: Iterable<Uint8Array>) {
    this.#current = byId(current);
    this.#retired = byId(retired);
  }

  /** Of keys as they came at pairing, or from the store: trusted as they are. */
  static pinned(keys: PinnedKeys): PolicyKeyChain {
    return new PolicyKeyChain(keys.current, keys.retired);
  }

  /** To be stored. */
  get pins(): PinnedKeys {
    return { current: [...this.#current.values()], retired: [...this.#retired.values()] };
  }

  /** The public key of that id that signs now, or, with `retired`, that did; null: not trusted. */
  find(id: Uint8Array, options: { readonly retired?: boolean } = {}): Uint8Array | null {
    const name = nameOf(id);
    return (
      this.#current.get(name) ?? (options.retired === true ? this.#retired.get(name) : undefined) ?? null
    );
  }

  /**
   * The chain after the controller has told its keys. Each must be trusted already, or be signed by one that is; those that
   * are no longer told retire. Gives the same chain when nothing changed.
   *
   * @throws AntennaError `input-refused` when a key is not vouched for, or there is none: the chain stays as it is.
   */
  follow(told: readonly PolicyKey[]): PolicyKeyChain {
    if (told.length === 0) throw refusal("policyKeys", "is empty");
    const next = new Map<string, Uint8Array>();
    for (const [index, key] of told.entries()) {
      const problem = this.#problem(key, next);
      if (problem !== null) throw refusal(`policyKeys[${index}]`, problem);
      next.set(nameOf(key.id), key.publicKey);
    }
    const isSame = next.size === this.#current.size && [...next.keys()].every((id) => this.#current.has(id));
    if (isSame) return this;
    const retired = new Map([...this.#retired, ...this.#current]);
    for (const id of next.keys()) retired.delete(id);
    return new PolicyKeyChain(next.values(), [...retired.values()].slice(-protocolLimits.policyKeys));
  }

  /** A key that retired vouches for nobody: whoever stole it would have a way back. */
  #problem(key: PolicyKey, accepted: ReadonlyMap<string, Uint8Array>): string | null {
    if (nameOf(policyKeyId(key.publicKey)) !== nameOf(key.id)) return "has an id that is not its own";
    if (this.#current.has(nameOf(key.id))) return null;
    if (key.vouched === null) return "is new, and no key vouches for it";
    const by = nameOf(key.vouched.by);
    const voucher = this.#current.get(by) ?? accepted.get(by);
    if (voucher === undefined) return "is new, and the key that vouches for it is not trusted";
    const isVouched = isSignedBy(voucher, keySignatureText(key.publicKey), key.vouched.signature);
    return isVouched ? null : "is new, and the signature of the key before it is not right";
  }
}

function byId(keys: Iterable<Uint8Array>): ReadonlyMap<string, Uint8Array> {
  return new Map(Array.from(keys, (key) => [nameOf(policyKeyId(key)), key]));
}

function nameOf(id: Uint8Array): string {
  return Buffer.from(id).toString("hex");
}

function refusal(path: string, problem: string): AntennaError {
  return new AntennaError({
    code: "input-refused",
    operation: "follow the controller's policy keys",
    message: `refused: ${path} ${problem}; if the controller was set up anew, pair again`,
    problems: [{ path, problem }],
  });
}
