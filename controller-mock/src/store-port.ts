import type { EnforcementMode, Version, WorkloadAddress } from "@antenna/sdk";

/** Of the label policy: 1, 2, 3… */
export type RevisionNumber = number;

/** A pairing key as it is stored: who reads the database can't pair with it. */
export interface PairingKeyRecord {
  /** 16 hexadecimal digits. */
  readonly id: string;
  /** SHA-256 (hexadecimal) of the secret, which is 256 random bits: nothing to guess, so nothing to slow down. */
  readonly secretHash: string;
  /** Bound to the workloads it pairs. */
  readonly labels: Readonly<Record<string, string>>;
  readonly uses: number;
  readonly used: number;
  /** ISO 8601, as every time here. */
  readonly created: string;
  readonly expires: string;
  /** Blocks in which claimed addresses must lie; empty: anywhere. */
  readonly addresses: readonly string[];
  /** Label keys that container labels may set. */
  readonly delegate: readonly string[];
  readonly revoked: boolean;
}

/** An address that a workload told of, and whether others' sets hold it. */
export interface ClaimRecord extends WorkloadAddress {
  readonly state: "admitted" | "withheld";
  /** Why it is withheld; null: admitted, or scope `host`, which enters nobody's sets. */
  readonly reason: string | null;
}

/** What a workload was last sent, written before it is sent. */
export interface IssuedRecord {
  readonly version: Version;
  readonly digest: string;
  /** Revision of the label policy that it was computed from; 0: before any. */
  readonly revision: RevisionNumber;
}

export interface WorkloadRecord {
  /** `w-` and the first 32 hexadecimal digits of the SHA-256 of its public key (SPKI). */
  readonly id: string;
  /** The host's name, as it told. */
  readonly name: string;
  /** Id of the host's workload, for a container; null: it is a host. */
  readonly host: string | null;
  /** `revoked`: listed, in nobody's sets, its certificates good for nothing. */
  readonly state: "active" | "revoked";
  /** SHA-256 (hexadecimal) of its public key (SPKI). */
  readonly fingerprint: string;
  /** Every certificate of one pairing carries this in its serial number (16 hexadecimal digits); revocation names it. */
  readonly pairing: string;
  /** Id of the pairing key that paired it. */
  readonly key: string;
  /** Where its addresses may lie, from its pairing key; empty: anywhere. */
  readonly ranges: readonly string[];
  /** Label keys that labels of its containers may set, from its pairing key. */
  readonly delegate: readonly string[];
  readonly labels: Readonly<Record<string, string>>;
  /** In the order told. */
  readonly claims: readonly ClaimRecord[];
  /** SHA-256 (hexadecimal) of the tokens of the last two connections, the newest first. */
  readonly tokens: readonly string[];
  readonly paired: string;
  /** When a session of it last ended or, while it lasts, began; null: never. */
  readonly lastSeen: string | null;
  /** As last reported; null: nothing yet. */
  readonly reported: ReportRecord | null;
  /** Never written with the rest: `issued` changes it. null: it was never sent anything. */
  readonly issued: IssuedRecord | null;
}

export interface ReportRecord {
  readonly state: string;
  readonly mode: EnforcementMode | null;
  readonly applied: { readonly version: Version; readonly digest: string } | null;
  readonly problems: readonly { readonly code: string; readonly message: string }[];
}

export interface RevisionRecord {
  readonly revision: RevisionNumber;
  readonly time: string;
  readonly state: "in-force" | "in-waves" | "replaced" | "withdrawn";
  /** The revision whose content it repeats; null: none. */
  readonly of: RevisionNumber | null;
}

/** Something that operators want to know of. */
export interface EventRecord {
  readonly time: string;
  /** As in `events --json`; what agents tell of is kept as it comes. */
  readonly type: string;
  readonly workload: string | null;
  readonly address: string | null;
  readonly message: string;
}

/** A stored event: numbered in the order of storing, from 1, never again. */
export interface StoredEvent extends EventRecord {
  readonly id: number;
}

/** One change of what is stored. */
export type StoreChange =
  /** Inserts or replaces. */
  | { readonly kind: "key"; readonly key: PairingKeyRecord }
  /** Inserts or replaces, all but `issued`. */
  | { readonly kind: "workload"; readonly workload: WorkloadRecord }
  /** Of workloads that are stored; thousands at once. */
  | {
      readonly kind: "issued";
      readonly issued: readonly ({ readonly workload: string } & IssuedRecord)[];
    }
  /** A new revision, with its text as written. */
  | { readonly kind: "revision"; readonly revision: RevisionRecord; readonly text: string }
  | {
      readonly kind: "revision-state";
      readonly revision: RevisionNumber;
      readonly state: RevisionRecord["state"];
    }
  /** Where the waves of a revision stand, as the rollout writes it; null: no waves. */
  | { readonly kind: "rollout"; readonly rollout: string | null }
  | { readonly kind: "event"; readonly event: EventRecord };

/** Everything but what grows without end: read once, at the start; from then on the controller keeps it in memory. */
export interface StoredFleet {
  readonly keys: readonly PairingKeyRecord[];
  readonly workloads: readonly WorkloadRecord[];
  /** Every revision that is still kept, oldest first. */
  readonly revisions: readonly RevisionRecord[];
  readonly rollout: string | null;
}

export interface EventQuery {
  /** At most so many. */
  readonly limit: number;
  /** Only older ones than this id. */
  readonly before?: number;
}

export interface EventPage {
  /** Newest first. */
  readonly events: readonly StoredEvent[];
  /** How many events were ever deleted to stay within bounds of rows and age. */
  readonly pruned: number;
}

/**
 * What outlives the controller's process. One writer: nobody else has it open.
 *
 * Bounds (rows, age) of events and revisions are the store's own; what it deletes it counts.
 */
export interface ControllerStore extends AsyncDisposable {
  /** Everything, as it was acknowledged. Rejects with AntennaError `corrupt` or `storage` and the words what to restore. */
  load(): Promise<StoredFleet>;
  /**
   * All of the changes or none, in their order. Resolves when they survive a kill of the process and of the machine;
   * commits that are made while one is under way may share its write. After a rejection (AntennaError `storage`) nothing of
   * it is stored.
   */
  commit(changes: readonly StoreChange[]): Promise<void>;
  /** The text of a revision as written; null: there is none, or it was pruned. */
  revisionText(revision: RevisionNumber): Promise<string | null>;
  events(query: EventQuery): Promise<EventPage>;
  /** A consistent copy of the database as it stands, while serving. */
  backup(): Promise<AsyncIterable<Uint8Array>>;
}

/** One generation of the certificate authority. */
export interface AuthorityRecord {
  /** The self-signed root (DER, base64). */
  readonly root: string;
  /** The same key and name, signed by the generation before (DER, base64); null: the first. */
  readonly cross: string | null;
  /** PKCS #8 (DER, base64); null: replaced, its key is gone for good. */
  readonly privateKey: string | null;
  readonly created: string;
  /** When a newer generation took over; null: the newest. */
  readonly replaced: string | null;
}

/** A key that signs policies, see PolicyKey in antenna.proto. Bytes in base64. */
export interface PolicyKeyRecord {
  readonly id: string;
  readonly publicKey: string;
  /** PKCS #8 (DER); null: replaced, gone for good. */
  readonly privateKey: string | null;
  /** Empty: the first. */
  readonly signedBy: string;
  /** Empty: the first. */
  readonly signature: string;
}

/** Written whole: a rotation is one act. Generations and keys oldest first. */
export interface AuthorityFile {
  readonly authorities: readonly AuthorityRecord[];
  readonly policyKeys: readonly PolicyKeyRecord[];
}

/** Versions: which epoch, and how far the sequence may have been used. */
export interface VersionFile {
  readonly epoch: number;
  /** No version beyond it was issued; after a restart counting goes on above it. */
  readonly floor: number;
}

/** An identity that ended. Certificates of its pairing are refused, whatever the database says. */
export interface RevocationRecord {
  readonly workload: string;
  /** As in WorkloadRecord. */
  readonly pairing: string;
  readonly time: string;
}

export interface TrustRecords {
  /** null: never written, a first start. */
  readonly authority: AuthorityFile | null;
  readonly version: VersionFile | null;
  readonly revocations: readonly RevocationRecord[];
}

/**
 * What must survive the loss of the database and of power: small files of mode 0600 beside it, each written to a new name,
 * fsynced, renamed, its directory fsynced. Every write resolves when that is done; a rejection (AntennaError `storage`) leaves
 * the old file.
 */
export interface TrustFiles {
  /** Rejects with AntennaError `corrupt` when a file does not read: never silently a first start. */
  read(): Promise<TrustRecords>;
  writeAuthority(authority: AuthorityFile): Promise<void>;
  writeVersion(version: VersionFile): Promise<void>;
  /** Replaces the list. */
  writeRevocations(revocations: readonly RevocationRecord[]): Promise<void>;
}
