/** Who can reach an address: everybody, this host only (a private bridge), or a published port or service address. */
export type AddressScope = "routable" | "host" | "virtual";

export interface WorkloadAddress {
  /** Text of RFC 5952 or dotted. */
  readonly address: string;
  /** Length of the prefix of its network. */
  readonly prefix: number;
  readonly interface: string;
  readonly scope: AddressScope;
}

export interface OperatingSystem {
  /** `ID` of os-release(5), like `debian`. */
  readonly name: string;
  /** `VERSION_ID` of os-release(5), like `12`. */
  readonly version: string;
  /** Release of the kernel (uname -r). */
  readonly kernel: string;
  /** As Node names it: `x64`, `arm64`. */
  readonly arch: string;
}

export interface ListeningService {
  /** `tcp`, `udp`, … or the IANA number as text. */
  readonly protocol: string;
  /** `0.0.0.0` and `::`: every address. */
  readonly address: string;
  readonly port: number;
  /** Command name; null: not known. */
  readonly process: string | null;
  /** Account; null: not known. */
  readonly user: string | null;
}

export interface CloudFacts {
  readonly provider: "aws" | "azure" | "gcp" | "openstack";
  readonly instance: string;
  readonly region: string;
  readonly zone: string;
  /** Told, never bound to labels. */
  readonly tags: Readonly<Record<string, string>>;
}

/** What the controller is told of a workload: the document of `antenna context --json`, without the workload's id. */
export interface WorkloadContext {
  readonly hostname: string;
  readonly os: OperatingSystem;
  /** Like `kvm`, `container`, `none`; null: not known. */
  readonly virtualization: string | null;
  /** Never loopback, link-local, multicast or unspecified ones; in the order of families, then of addresses. */
  readonly addresses: readonly WorkloadAddress[];
  /** In the order of protocol, port, address. */
  readonly services: readonly ListeningService[];
  readonly cloud: CloudFacts | null;
}

/** What one source knows: some of the parts, each whole. A part belongs to one source. */
export type ContextFacts = Partial<WorkloadContext>;
