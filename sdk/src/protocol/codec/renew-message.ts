import { antenna } from "#antenna.v1";
import { FieldReader } from "./field-reader.js";
import { protocolLimits } from "./protocol-limits.js";
import { type IssuedIdentity, readIssuedIdentity, writeIssuedIdentity } from "./trust-message.js";
import { decodeWire, encodeWire } from "./wire-message.js";

const { RenewRequest, RenewResponse } = antenna.v1;

/** The agent's side of a renewal: `start`, then `proof`. `unknown`: of a newer revision, to be passed over. */
export type RenewRequestMessage =
  | {
      readonly kind: "start";
      /** DER. */
      readonly certificate: Uint8Array;
      /** PKCS #10 (DER), of the same key. */
      readonly certificateRequest: Uint8Array;
      /** Of the last Welcome; empty: none. */
      readonly token: Uint8Array;
    }
  | {
      readonly kind: "proof";
      /** ECDSA with SHA-256 (DER) over `renewalMessage`. */
      readonly signature: Uint8Array;
    }
  | { readonly kind: "unknown" };

/** The server's side of a renewal: `challenge`, then `renewed`. */
export type RenewResponseMessage =
  | { readonly kind: "challenge"; readonly nonce: Uint8Array }
  | ({ readonly kind: "renewed" } & IssuedIdentity)
  | { readonly kind: "unknown" };

export function encodeRenewRequest(message: RenewRequestMessage): Uint8Array {
  return encodeWire(RenewRequest, writeRequest(message), "encode a renewal");
}

/** @throws AntennaError `input-refused` */
export function decodeRenewRequest(bytes: Uint8Array): RenewRequestMessage {
  const operation = "read a renewal";
  const wire = decodeWire(RenewRequest, "RenewRequest", bytes, operation);
  const reader = new FieldReader(operation);
  const { certificate, signature, token } = protocolLimits;
  switch (wire.message) {
    case "start":
      return reader.finish({
        kind: "start",
        certificate: reader.bytes("start.certificate", wire.start?.certificate, 1, certificate),
        certificateRequest: reader.bytes(
          "start.certificateRequest",
          wire.start?.certificateRequest,
          1,
          certificate,
        ),
        token: reader.bytes("start.token", wire.start?.token, 0, token),
      });
    case "proof":
      return reader.finish({
        kind: "proof",
        signature: reader.bytes("proof.signature", wire.proof?.signature, 1, signature),
      });
    default:
      return { kind: "unknown" };
  }
}

export function encodeRenewResponse(message: RenewResponseMessage): Uint8Array {
  return encodeWire(RenewResponse, writeResponse(message), "encode the answer to a renewal");
}

/** @throws AntennaError `input-refused` */
export function decodeRenewResponse(bytes: Uint8Array): RenewResponseMessage {
  const operation = "read the answer to a renewal";
  const wire = decodeWire(RenewResponse, "RenewResponse", bytes, operation);
  const reader = new FieldReader(operation);
  switch (wire.message) {
    case "challenge":
      return reader.finish({
        kind: "challenge",
        nonce: reader.bytes("challenge.nonce", wire.challenge?.nonce, 32, 32),
      });
    case "renewed":
      return reader.finish({ kind: "renewed", ...readIssuedIdentity(reader, "renewed.", wire.renewed) });
    default:
      return { kind: "unknown" };
  }
}

function writeRequest(message: RenewRequestMessage): antenna.v1.RenewRequest.$Properties {
  switch (message.kind) {
    case "start":
      return { start: message };
    case "proof":
      return { proof: message };
    case "unknown":
      return {};
  }
}

function writeResponse(message: RenewResponseMessage): antenna.v1.RenewResponse.$Properties {
  switch (message.kind) {
    case "challenge":
      return { challenge: message };
    case "renewed":
      return { renewed: writeIssuedIdentity(message) };
    case "unknown":
      return {};
  }
}
