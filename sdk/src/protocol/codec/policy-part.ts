import { antenna } from "#antenna.v1";
import type { PolicyRest } from "../../policy/format.js";
import { policyLimits } from "../../policy/limits.js";
import type { Version } from "../../policy/model.js";
import type { FieldReader } from "./field-reader.js";
import { readRest, writeRest } from "./rest-message.js";

/** What a policy is, and who vouches for it. */
export interface PolicyHeader {
  readonly version: Version;
  /** `sha256:…` of the policy once all parts are in. */
  readonly digest: string;
  /** Digest of the policy that this is a delta to; null: this is the whole policy. */
  readonly base: string | null;
  /** Key id and signature, for `verifyPolicy`; empty: nobody signed (a preview). */
  readonly proof: Uint8Array;
  /** Everything but the sets; null in a delta: as it was. */
  readonly rest: PolicyRest | null;
  /** Sets of the base that go. */
  readonly removedSets: readonly string[];
  /** True: on probation until confirmed. */
  readonly probation: boolean;
}

/** Blocks that leave a set and blocks that enter it, packed as the protocol says: 5 or 17 bytes each. */
export interface PackedChange {
  readonly name: string;
  readonly added4: Uint8Array;
  readonly added6: Uint8Array;
  readonly removed4: Uint8Array;
  readonly removed6: Uint8Array;
}

/** A part of a policy, of bounded size; made by `policyParts`, read by a PolicyAssembler. */
export interface PolicyPart {
  /** In the first part only. */
  readonly header: PolicyHeader | null;
  readonly changes: readonly PackedChange[];
  readonly last: boolean;
}

const keyIdBytes = 16;
const signatureBytes = 64;

export function writePolicyPart(part: PolicyPart): antenna.v1.PolicyUpdate.$Properties {
  return {
    ...(part.header === null ? {} : { header: writeHeader(part.header) }),
    changes: part.changes.map(writeChange),
    last: part.last,
  };
}

export function readPolicyPart(
  reader: FieldReader,
  path: string,
  value: antenna.v1.PolicyUpdate.$Properties | null | undefined,
): PolicyPart {
  if (value === null || value === undefined) reader.refuse(path, "is missing");
  const header = value?.header ?? null;
  return {
    header: header === null ? null : readHeader(reader, `${path}.header`, header),
    changes: reader.list(`${path}.changes`, value?.changes, policyLimits.sets, readChange),
    last: value?.last === true,
  };
}

/** Bytes of an encoded part with that header and nothing else. */
export function headerBytes(header: PolicyHeader): number {
  return antenna.v1.PolicyUpdate.encode({ header: writeHeader(header) }).finish().length;
}

function writeHeader(header: PolicyHeader): antenna.v1.PolicyHeader.$Properties {
  const { proof, rest } = header;
  return {
    version: header.version,
    digest: header.digest,
    base: header.base ?? "",
    keyId: proof.subarray(0, keyIdBytes),
    signature: proof.subarray(keyIdBytes),
    ...(rest === null ? {} : { rest: writeRest(rest) }),
    removedSets: [...header.removedSets],
    probation: header.probation,
  };
}

function readHeader(
  reader: FieldReader,
  path: string,
  value: antenna.v1.PolicyHeader.$Properties,
): PolicyHeader {
  const { keyId, signature, base, rest } = value;
  const isSigned = (keyId?.length ?? 0) + (signature?.length ?? 0) > 0;
  return {
    version: reader.version(`${path}.version`, value.version),
    digest: reader.digest(`${path}.digest`, value.digest),
    base: (base ?? "") === "" ? null : reader.digest(`${path}.base`, base),
    proof: isSigned
      ? Buffer.concat([
          reader.bytes(`${path}.keyId`, keyId, keyIdBytes, keyIdBytes),
          reader.bytes(`${path}.signature`, signature, signatureBytes, signatureBytes),
        ])
      : new Uint8Array(0),
    rest: rest === null || rest === undefined ? null : readRest(reader, `${path}.rest`, rest),
    removedSets: reader.list(`${path}.removedSets`, value.removedSets, policyLimits.sets, (name, at) =>
      reader.text(at, name, policyLimits.nameBytes),
    ),
    probation: value.probation === true,
  };
}

function writeChange(change: PackedChange): antenna.v1.SetChange.$Properties {
  return {
    name: change.name,
    addedIpv4: change.added4,
    addedIpv6: change.added6,
    removedIpv4: change.removed4,
    removedIpv6: change.removed6,
  };
}

/** Lengths and contents are the assembler's to judge, block by block. */
function readChange(value: antenna.v1.SetChange.$Properties): PackedChange {
  return {
    name: value.name ?? "",
    added4: value.addedIpv4 ?? noBytes,
    added6: value.addedIpv6 ?? noBytes,
    removed4: value.removedIpv4 ?? noBytes,
    removed6: value.removedIpv6 ?? noBytes,
  };
}

const noBytes = new Uint8Array(0);
