import { inspect } from "node:util";
import { AntennaError } from "../../error.js";

/** The longest text that is looked at; the longest key has 64 + 86 + 64 characters and two dots. */
const longestText = 256;
const form = /^([A-Za-z0-9_-]{1,64})\.([A-Za-z0-9_-]{22,86})\.([0-9a-f]{64})$/;

/**
 * What a host shows to get an identity, and by what it knows the controller. One string, `id.secret.fingerprint`: the id
 * (1 to 64 characters of base64url), the secret (16 to 64 bytes in base64url) and the SHA-256 of the DER form of the
 * controller's self-signed root (64 lower-case hexadecimal digits).
 *
 * Only `format()` gives the secret away as text: printed, inspected or turned into JSON, a key shows its id.
 */
export class PairingKey {
  readonly id: string;
  readonly #secret: Uint8Array;
  /** SHA-256 of the root's DER, 64 hexadecimal digits. */
  readonly fingerprint: string;

  /** @throws AntennaError `input-refused` when a part does not have its form; nothing of the key is in the message. */
  constructor(parts: { readonly id: string; readonly secret: Uint8Array; readonly fingerprint: string }) {
    const text = `${parts.id}.${Buffer.from(parts.secret).toString("base64url")}.${parts.fingerprint}`;
    if (!form.test(text)) throw malformed();
    this.id = parts.id;
    this.#secret = Uint8Array.from(parts.secret);
    this.fingerprint = parts.fingerprint;
  }

  /**
   * Reads a key; white space around it is what files and pipes bring along.
   *
   * @throws AntennaError `input-refused`; nothing of the text is in the message.
   */
  static parse(text: string): PairingKey {
    const match = text.length > longestText + 16 ? null : form.exec(text.trim());
    const [, id, secretText, fingerprint] = match ?? [];
    if (id === undefined || secretText === undefined || fingerprint === undefined) throw malformed();
    const secret = Buffer.from(secretText, "base64url");
    // Base64 leaves bits over: one key has one text.
    if (secret.toString("base64url") !== secretText) throw malformed();
    return new PairingKey({ id, secret, fingerprint });
  }

  get secret(): Uint8Array {
    return Uint8Array.from(this.#secret);
  }

  /** The one string, secret and all. */
  format(): string {
    return `${this.id}.${Buffer.from(this.#secret).toString("base64url")}.${this.fingerprint}`;
  }

  /** True when a text that somebody else wrote holds the secret in a usual form. */
  isIn(text: string): boolean {
    const secret = Buffer.from(this.#secret);
    const lower = text.toLowerCase();
    return (
      text.includes(secret.toString("base64url")) ||
      text.includes(secret.toString("base64").replace(/=+$/, "")) ||
      lower.includes(secret.toString("hex"))
    );
  }

  toString(): string {
    return `pairing key ${this.id}`;
  }

  toJSON(): string {
    return this.toString();
  }

  [inspect.custom](): string {
    return this.toString();
  }
}

function malformed(): AntennaError {
  const problem =
    "this is not a pairing key: one line, `id.secret.fingerprint`, as `antenna-controller key create` printed it";
  return new AntennaError({
    code: "input-refused",
    operation: "read a pairing key",
    message: problem,
    problems: [{ path: "", problem }],
  });
}
