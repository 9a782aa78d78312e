import { createPrivateKey, generateKeyPair, type KeyObject } from "node:crypto";
import { type FSWatcher, mkdirSync, statSync, watch } from "node:fs";
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { AntennaError } from "../../error.js";
import { readCertificate } from "./certificate-chain.js";
import { makeCertificateRequest } from "./certificate-request.js";
import {
  readSealed,
  readWhole,
  removeFiles,
  unfinishedFiles,
  writeSealed,
  writeWhole,
} from "./sealed-file.js";
import {
  type Identity,
  identityDocument,
  noTraces,
  readIdentity,
  readTraces,
  type SessionTraces,
  tracesDocument,
} from "./stored-identity.js";

const names = { key: "key.pem", request: "request.der", identity: "identity", traces: "session" } as const;

/** A key and the request for its certificates. */
export interface OwnKey {
  readonly privateKey: KeyObject;
  /** PKCS #10 (DER), for the first certificate and every later one. */
  readonly certificateRequest: Uint8Array;
}

/**
 * Who this host is, on disk: `<state-dir>/identity/`, mode 0700, files 0600, each replaced as a whole and synced.
 *
 * - `key.pem`: the private key, P-256, PKCS #8. Made here; it never leaves the host.
 * - `request.der`: the certificate request, made once with the key.
 * - `identity`: workload, controller, certificates, roots, policy keys. Its presence is what "paired" means.
 * - `session`: token and addresses of the last connection.
 *
 * Key and request are durable before the first byte goes out to a controller: whoever is killed while pairing asks again with
 * the same key and gets the same identity. A damaged file is told (`damage`), never taken for a host that is not paired.
 */
export class IdentityStore {
  readonly #directory: string;
  #identity: Identity | null = null;
  #traces: SessionTraces = noTraces;
  #damage: string | null = null;
  #writing: Promise<void> = Promise.resolve();
  /** Writes that are not done. */
  #pending = 0;
  /** Something happened to the files while a write of our own was under way. */
  #isDisturbed = false;
  #onChange: (() => void) | null = null;

  private constructor(directory: string) {
    this.#directory = directory;
  }

  /** Reads what there is, at once; makes nothing. */
  static open(stateDir: string): IdentityStore {
    const store = new IdentityStore(join(stateDir, "identity"));
    store.reload();
    return store;
  }

  /** null: not paired, or damaged. */
  get identity(): Identity | null {
    return this.#identity;
  }

  get traces(): SessionTraces {
    return this.#traces;
  }

  /** What is wrong with the files, for people; null: nothing. */
  get damage(): string | null {
    return this.#damage;
  }

  /** Reads the files again: another process may have paired or unpaired this host. */
  reload(): void {
    const identity = readSealed(this.#path("identity"), readIdentity);
    const traces = readSealed(this.#path("traces"), readTraces);
    // Without the token the next connection may be taken for a clone's, no more: not worth losing the link.
    this.#traces = traces.kind === "found" ? traces.value : noTraces;
    this.#identity = identity.kind === "found" ? identity.value : null;
    this.#damage = identity.kind === "damaged" ? identity.reason : this.#keyDamage();
    if (this.#damage !== null) this.#identity = null;
  }

  /** The private key as PEM, for TLS. @throws AntennaError `corrupt` */
  privateKeyPem(): Buffer {
    const reading = readWhole(this.#path("key"));
    if (reading.kind === "found") return reading.value;
    const reason = reading.kind === "damaged" ? reading.reason : `${this.#path("key")} is gone`;
    throw this.#corrupt(reason);
  }

  /** @throws AntennaError `corrupt` */
  privateKey(): KeyObject {
    try {
      return createPrivateKey(this.privateKeyPem());
    } catch (reason) {
      if (reason instanceof AntennaError) throw reason;
      throw this.#corrupt(`${this.#path("key")} does not hold a private key`);
    }
  }

  /** True: there is a key, and nothing can be done with it. */
  isKeyDamaged(): boolean {
    if (readWhole(this.#path("key")).kind === "missing") return false;
    try {
      this.privateKey();
      return false;
    } catch {
      return true;
    }
  }

  /** Of the private key; made again if its file was lost. @throws AntennaError `corrupt`, `storage` */
  async certificateRequest(): Promise<Uint8Array> {
    const reading = readWhole(this.#path("request"));
    return reading.kind === "found" ? new Uint8Array(reading.value) : await this.#request(this.privateKey());
  }

  /**
   * The key that this host has, or a new one; durable when it resolves.
   *
   * @param fresh what was known by the old key is over: another one is made.
   * @throws AntennaError `corrupt` when there is a key that cannot be read, `storage`.
   */
  async ownKey({ fresh }: { readonly fresh: boolean }): Promise<OwnKey> {
    await this.#prepare();
    const isThere = readWhole(this.#path("key")).kind !== "missing";
    if (isThere && !fresh)
      return { privateKey: this.privateKey(), certificateRequest: await this.certificateRequest() };
    if (isThere) await this.remove({ keepKey: false });
    const { privateKey } = await promisify(generateKeyPair)("ec", { namedCurve: "P-256" });
    const pem = privateKey.export({ type: "pkcs8", format: "pem" });
    await this.#write(() => writeWhole(this.#path("key"), Buffer.from(pem)));
    return { privateKey, certificateRequest: await this.#request(privateKey) };
  }

  /** @throws AntennaError `storage` */
  saveIdentity(identity: Identity): Promise<void> {
    this.#identity = identity;
    this.#damage = null;
    return this.#write(() => writeSealed(this.#path("identity"), identityDocument(identity)));
  }

  /** As `saveIdentity`, unless another process has unpaired this host meanwhile: what is gone stays gone. */
  updateIdentity(identity: Identity): Promise<void> {
    this.#identity = identity;
    return this.#write(async () => {
      const path = this.#path("identity");
      if (readWhole(path).kind === "missing") this.#isDisturbed = true;
      else await writeSealed(path, identityDocument(identity));
    });
  }

  /** @throws AntennaError `storage` */
  saveTraces(traces: SessionTraces): Promise<void> {
    this.#traces = traces;
    return this.#write(() => writeSealed(this.#path("traces"), tracesDocument(traces)));
  }

  /** Forgets who this host is; with the key kept, pairing again gives the same identity. @throws AntennaError `storage` */
  async remove({ keepKey }: { readonly keepKey: boolean }): Promise<void> {
    this.#identity = null;
    this.#damage = null;
    if (!keepKey) this.#traces = noTraces;
    await this.#write(async () => {
      const others = keepKey
        ? []
        : [names.traces, names.request, names.key, ...(await unfinishedFiles(this.#directory))];
      await removeFiles(this.#directory, [names.identity, ...others]);
    });
  }

  /** Resolves when nothing is being written. */
  async idle(): Promise<void> {
    await this.#writing;
  }

  /** Calls when another process has paired or unpaired this host. Without inotify it never calls. One watch at a time. */
  watch(onChange: () => void): Disposable {
    let watcher: FSWatcher | null = null;
    this.#onChange = onChange;
    try {
      mkdirSync(this.#directory, { recursive: true, mode: 0o700 });
      watcher = watch(this.#directory, { persistent: false }, (_event, name) => {
        if (name === names.identity) this.#look();
      });
      watcher.on("error", () => watcher?.close());
    } catch {
      // A read-only or full disk: whoever pairs here will meet it too, and says so.
    }
    return {
      [Symbol.dispose]: () => {
        this.#onChange = null;
        watcher?.close();
      },
    };
  }

  /** While a write of our own is under way the files may be behind: looked at when it is done. */
  #look(): void {
    this.#isDisturbed = this.#pending > 0;
    if (this.#isDisturbed) return;
    const before = textOf(this.#identity);
    this.reload();
    if (textOf(this.#identity) !== before) this.#onChange?.();
  }

  #path(file: keyof typeof names): string {
    return join(this.#directory, names[file]);
  }

  /** What an identity needs besides itself. */
  #keyDamage(): string | null {
    const identity = this.#identity;
    if (identity === null) return null;
    const reading = readWhole(this.#path("key"));
    if (reading.kind === "damaged") return reading.reason;
    if (reading.kind === "missing")
      return `${this.#path("key")} is gone, and an identity without its key is none`;
    try {
      const [own] = identity.certificateChain;
      if (own !== undefined && readCertificate(own).checkPrivateKey(createPrivateKey(reading.value)))
        return null;
      return `${this.#path("key")} is not the key of the certificate in ${this.#path("identity")}`;
    } catch {
      return `${this.#path("key")} or a certificate in ${this.#path("identity")} cannot be read`;
    }
  }

  async #request(privateKey: KeyObject): Promise<Uint8Array> {
    const request = await makeCertificateRequest(privateKey);
    await this.#write(() => writeWhole(this.#path("request"), request));
    return request;
  }

  async #prepare(): Promise<void> {
    await this.#write(async () => {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      if ((statSync(this.#directory).mode & 0o077) !== 0) await chmod(this.#directory, 0o700);
    });
  }

  /** One after another, in the order of the calls. */
  #write(work: () => Promise<void>): Promise<void> {
    this.#pending += 1;
    const counted = this.#writing.then(work).finally(() => {
      this.#pending -= 1;
      if (this.#isDisturbed) this.#look();
    });
    const done = counted.catch((reason: unknown) => {
      throw new AntennaError({
        code: "storage",
        operation: `write to ${this.#directory}`,
        message:
          "the identity cannot be stored; check that the disk has room and belongs to the agent's user",
        detail: reason instanceof Error ? reason.message : String(reason),
        cause: reason,
      });
    });
    this.#writing = done.catch(() => {});
    return done;
  }

  #corrupt(reason: string): AntennaError {
    return new AntennaError({
      code: "corrupt",
      operation: `read ${this.#directory}`,
      message: `${reason}; restore the directory, or unpair and pair this host again`,
    });
  }
}

function textOf(identity: Identity | null): string {
  return identity === null ? "" : JSON.stringify(identityDocument(identity));
}
