import { isIP } from "node:net";
import type { PinnedKeys } from "../signature/policy-key-chain.js";

/** Who this host is to its controller: what a pairing gave and renewals replace. The private key is a file of its own. */
export interface Identity {
  /** `w-` and 32 hexadecimal digits. */
  readonly workload: string;
  /** `HOST:PORT` that it was paired with. */
  readonly controller: string;
  /** The controller has ended this identity: the host may pair again. */
  readonly revoked: boolean;
  /** The own certificate (DER) first, then those it needs to reach a root. */
  readonly certificateChain: readonly Uint8Array[];
  /** Every root (DER) that the controller may be verified by. */
  readonly roots: readonly Uint8Array[];
  /** Keys that policies may be signed with. */
  readonly policyKeys: PinnedKeys;
}

/** What the last connection left behind. */
export interface SessionTraces {
  /** Of the last Welcome; empty: there was none. */
  readonly token: Uint8Array;
  /** `HOST:PORT` whose addresses these are. */
  readonly controller: string;
  readonly addresses: readonly string[];
}

export const noTraces: SessionTraces = { token: new Uint8Array(0), controller: "", addresses: [] };

export function identityDocument(identity: Identity): object {
  const { workload, controller, revoked } = identity;
  return {
    format: 1,
    workload,
    controller,
    revoked,
    certificateChain: identity.certificateChain.map(toText),
    roots: identity.roots.map(toText),
    policyKeys: {
      current: identity.policyKeys.current.map(toText),
      retired: identity.policyKeys.retired.map(toText),
    },
  };
}

/** null: this is no identity. */
export function readIdentity(document: unknown): Identity | null {
  if (!isRecord(document) || document.format !== 1) return null;
  const { workload, controller, revoked } = document;
  const certificateChain = readList(document.certificateChain, readBytes) ?? [];
  const roots = readList(document.roots, readBytes) ?? [];
  const policyKeys = readPins(document.policyKeys);
  if (typeof workload !== "string" || !/^w-[0-9a-f]{32}$/.test(workload)) return null;
  if (typeof controller !== "string" || typeof revoked !== "boolean") return null;
  if (certificateChain.length === 0 || roots.length === 0 || policyKeys === null) return null;
  return { workload, controller, revoked, certificateChain, roots, policyKeys };
}

export function tracesDocument({ token, controller, addresses }: SessionTraces): object {
  return { format: 1, token: toText(token), controller, addresses };
}

/** null: these are no traces. */
export function readTraces(document: unknown): SessionTraces | null {
  if (!isRecord(document) || document.format !== 1) return null;
  const { controller } = document;
  const token = readBytes(document.token);
  const addresses = readList(document.addresses, (each) =>
    typeof each === "string" && isIP(each) !== 0 ? each : null,
  );
  if (typeof controller !== "string" || token === null || addresses === null) return null;
  return { token, controller, addresses };
}

function readPins(value: unknown): PinnedKeys | null {
  if (!isRecord(value)) return null;
  const current = readList(value.current, readBytes);
  const retired = readList(value.retired, readBytes);
  return current === null || current.length === 0 || retired === null ? null : { current, retired };
}

function readList<T>(value: unknown, read: (each: unknown) => T | null): readonly T[] | null {
  if (!Array.isArray(value)) return null;
  const list: T[] = [];
  for (const each of value) {
    const one = read(each);
    if (one === null) return null;
    list.push(one);
  }
  return list;
}

function readBytes(value: unknown): Uint8Array | null {
  return typeof value === "string" && /^[A-Za-z0-9+/]*={0,2}$/.test(value)
    ? new Uint8Array(Buffer.from(value, "base64"))
    : null;
}

function toText(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString("base64");
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
