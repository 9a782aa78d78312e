/** What the commands print with `--json`, and what the control socket answers (contract, section 3). */
import type { PreviewReport } from "@antenna/sdk";

export interface KeyDocument {
  readonly id: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly uses: number;
  readonly used: number;
  /** ISO 8601. */
  readonly expires: string;
  readonly addresses: readonly string[];
  readonly delegate: readonly string[];
  readonly revoked: boolean;
}

/** The only time that the secret is told. */
export interface CreatedKeyDocument extends KeyDocument {
  /** `id.secret.fingerprint` */
  readonly pairingKey: string;
}

export interface KeysDocument {
  readonly keys: readonly KeyDocument[];
}

export interface WorkloadDocument {
  readonly id: string;
  readonly name: string;
  readonly host: string | null;
  readonly labels: Readonly<Record<string, string>>;
  readonly addresses: readonly {
    readonly address: string;
    readonly scope: string;
    readonly state: "admitted" | "withheld";
    readonly reason: string | null;
  }[];
  readonly online: boolean;
  readonly mode: string | null;
  readonly policyVersion: string | null;
  readonly appliedVersion: string | null;
  /** As the agent last told; `revoked` when the identity ended. */
  readonly state: string | null;
  readonly problems: readonly { readonly code: string; readonly message: string }[];
}

export interface WorkloadsDocument {
  readonly workloads: readonly WorkloadDocument[];
}

export interface RevisionDocument {
  readonly revision: number;
  readonly time: string;
  readonly state: "in-force" | "in-waves" | "replaced" | "withdrawn";
  readonly of: number | null;
}

export interface HistoryDocument {
  readonly revisions: readonly RevisionDocument[];
}

export interface AppliedDocument {
  readonly revision: number;
  readonly state: RevisionDocument["state"];
}

export interface FleetPreviewDocument {
  readonly workloads: readonly ({ readonly workload: string; readonly name: string } & Omit<
    PreviewReport,
    "cuts"
  > & {
      /** null: it is offline, so nobody can count its flows. */
      readonly cuts: PreviewReport["cuts"] | null;
    })[];
}

export interface EventDocument {
  readonly time: string;
  readonly type: string;
  readonly workload: string | null;
  readonly address: string | null;
  readonly message: string;
}

export interface EventsDocument {
  readonly events: readonly EventDocument[];
  /** Older ones that were deleted to stay within bounds. */
  readonly pruned: number;
}

export interface EpochDocument {
  readonly epoch: number;
}

export interface AuthorityDocument {
  readonly roots: readonly {
    /** SHA-256 of the certificate, hexadecimal: the last part of pairing keys. */
    readonly fingerprint: string;
    readonly expires: string;
    /** The one that issues. */
    readonly current: boolean;
  }[];
}
