import { type Clock, compareVersions, type Version } from "@antenna/sdk";
import type { IssuedIdentity, PolicyClaim, Trust } from "@antenna/sdk/protocol";
import { agentCertificateSerial } from "../identity/agent-certificate.js";
import { Authority, type RootDescription, type ServerIdentity } from "../identity/authority.js";
import { PolicySigner } from "../identity/policy-signer.js";
import { Revocations } from "../identity/revocations.js";
import type { TrustFiles, TrustRecords, VersionFile } from "../store-port.js";

export interface TrustKeeperOptions {
  readonly files: TrustFiles;
  readonly clock: Clock;
}

/** Sequences that one write to disk reserves: a change of a fleet of a thousand issues as many. */
const reserved = 1024;

/**
 * What outlives the database: the authority and the policy keys, who was revoked, and how far versions were used. Each is on
 * disk before anybody hears of it.
 */
export class TrustKeeper {
  readonly #files: TrustFiles;
  readonly #clock: Clock;
  #authority: Authority;
  #signer: PolicySigner;
  #revocations: Revocations;
  #version: VersionFile;
  /** The highest sequence that was used. */
  #used: number;
  /** Resolves when the last write of the version is on disk: whoever is within its floor waits for it too. */
  #written: Promise<void> = Promise.resolve();

  private constructor({ files, clock }: TrustKeeperOptions, records: TrustRecords) {
    this.#files = files;
    this.#clock = clock;
    const { authority, version, revocations } = records;
    this.#authority =
      authority === null ? Authority.create(clock.date()) : Authority.load(authority.authorities);
    this.#signer = authority === null ? PolicySigner.create() : PolicySigner.load(authority.policyKeys);
    this.#revocations = new Revocations(revocations);
    this.#version = version ?? { epoch: 1, floor: 0 };
    this.#used = this.#version.floor;
  }

  /** Reads what is there; on a first start makes an authority, and resolves when it is on disk. */
  static async open(options: TrustKeeperOptions): Promise<TrustKeeper> {
    const records = await options.files.read();
    const keeper = new TrustKeeper(options, records);
    if (records.authority === null) await keeper.#writeAuthority(keeper.#authority, keeper.#signer);
    return keeper;
  }

  get authority(): Authority {
    return this.#authority;
  }

  get epoch(): number {
    return this.#version.epoch;
  }

  /** No version of this epoch beyond it was issued. */
  get floor(): number {
    return this.#used;
  }

  trust(): Trust {
    return { roots: this.#authority.roots(), policyKeys: this.#signer.told() };
  }

  describe(): readonly RootDescription[] {
    return this.#authority.describe();
  }

  issueServer(names: readonly string[]): ServerIdentity {
    return this.#authority.issueServer(names, this.#clock.date());
  }

  issueAgent(workload: string, publicKey: Uint8Array, pairing: string): IssuedIdentity {
    const serial = agentCertificateSerial(pairing);
    const certificate = this.#authority.issueAgent(workload, publicKey, serial, this.#clock.date());
    return { certificateChain: [certificate], ...this.trust() };
  }

  sign(claim: PolicyClaim): Uint8Array {
    return this.#signer.sign(claim);
  }

  isRevoked(pairing: string): boolean {
    return this.#revocations.has(pairing);
  }

  /** Resolves when no certificate of the pairing will ever be accepted again. */
  async revoke(workload: string, pairing: string): Promise<void> {
    const now = this.#clock.date();
    const next = this.#revocations.with({ workload, pairing, time: now.toISOString() }, now);
    // In force at once; a write that fails leaves it in force as long as the process lives.
    this.#revocations = new Revocations(next);
    await this.#files.writeRevocations(next);
  }

  /** A new root and a new policy key, each vouched for by the old one; false: too many old ones are still needed. */
  async rotate(): Promise<boolean> {
    const authority = this.#authority.rotate(this.#clock.date());
    if (authority === null) return false;
    const signer = this.#signer.rotate();
    await this.#writeAuthority(authority, signer);
    this.#authority = authority;
    this.#signer = signer;
    return true;
  }

  /** Resolves when versions up to the highest of these may be told to agents. */
  async reserve(versions: readonly Version[]): Promise<void> {
    const highest = versions.reduce(
      (most, version) => (compareVersions(version, most) > 0 ? version : most),
      { epoch: this.#version.epoch, sequence: 0 },
    );
    const isNewEpoch = highest.epoch > this.#version.epoch;
    this.#used = isNewEpoch ? highest.sequence : Math.max(this.#used, highest.sequence);
    if (!isNewEpoch && highest.sequence <= this.#version.floor) return this.#written;
    await this.#writeVersion({ epoch: highest.epoch, floor: highest.sequence + reserved });
  }

  /** Gives back what was reserved and not used. */
  async close(): Promise<void> {
    if (this.#used < this.#version.floor) {
      await this.#writeVersion({ epoch: this.#version.epoch, floor: this.#used });
    }
  }

  async #writeAuthority(authority: Authority, signer: PolicySigner): Promise<void> {
    await this.#files.writeAuthority({ authorities: authority.records(), policyKeys: signer.records() });
  }

  async #writeVersion(version: VersionFile): Promise<void> {
    this.#version = version;
    this.#written = this.#written.then(() => this.#files.writeVersion(version));
    await this.#written;
  }
}
