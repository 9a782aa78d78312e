import { antenna } from "#antenna.v1";
import { FieldReader } from "./field-reader.js";
import { protocolLimits } from "./protocol-limits.js";
import { type IssuedIdentity, readIssuedIdentity, writeIssuedIdentity } from "./trust-message.js";
import { decodeWire, encodeWire } from "./wire-message.js";
import { shorten } from "./words-for-people.js";

const { PairRequest, PairResponse } = antenna.v1;

/** Asks for an identity. */
export interface PairRequestMessage {
  /** The pairing key's id. */
  readonly keyId: string;
  readonly secret: Uint8Array;
  /** PKCS #10 (DER). */
  readonly certificateRequest: Uint8Array;
  readonly hostname: string;
}

export interface PairResponseMessage extends IssuedIdentity {
  /** `w-` and 32 hexadecimal digits. */
  readonly workload: string;
}

export function encodePairRequest(message: PairRequestMessage): Uint8Array {
  const hostname = shorten(message.hostname, protocolLimits.name);
  return encodeWire(PairRequest, { ...message, hostname }, "encode a pairing request");
}

/** @throws AntennaError `input-refused`, whose words hold nothing of the secret. */
export function decodePairRequest(bytes: Uint8Array): PairRequestMessage {
  const operation = "read a pairing request";
  const wire = decodeWire(PairRequest, "PairRequest", bytes, operation);
  const reader = new FieldReader(operation);
  const keyId = reader.text("keyId", wire.keyId, protocolLimits.pairingId);
  if (keyId === "") reader.refuse("keyId", "is empty");
  return reader.finish({
    keyId,
    secret: reader.bytes("secret", wire.secret, 1, protocolLimits.pairingSecret),
    certificateRequest: reader.bytes(
      "certificateRequest",
      wire.certificateRequest,
      1,
      protocolLimits.certificate,
    ),
    hostname: reader.words("hostname", wire.hostname, protocolLimits.name),
  });
}

export function encodePairResponse(message: PairResponseMessage): Uint8Array {
  const { workload } = message;
  return encodeWire(
    PairResponse,
    { workload, ...writeIssuedIdentity(message) },
    "encode the answer to a pairing request",
  );
}

/** @throws AntennaError `input-refused` */
export function decodePairResponse(bytes: Uint8Array): PairResponseMessage {
  const operation = "read the answer to a pairing request";
  const wire = decodeWire(PairResponse, "PairResponse", bytes, operation);
  const reader = new FieldReader(operation);
  const workload = readWorkload(reader, "workload", wire.workload);
  return reader.finish({ workload, ...readIssuedIdentity(reader, "", wire) });
}

export function readWorkload(reader: FieldReader, path: string, value: string | null | undefined): string {
  const workload = value ?? "";
  if (!isWorkloadId(workload)) reader.refuse(path, 'is not "w-" and 32 hexadecimal digits');
  return workload;
}

/** True for `w-` and 32 hexadecimal digits. */
export function isWorkloadId(text: string): boolean {
  return /^w-[0-9a-f]{32}$/.test(text);
}
