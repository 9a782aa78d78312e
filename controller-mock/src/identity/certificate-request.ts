import { createPublicKey, verify } from "node:crypto";
import { CertificationRequest } from "@peculiar/asn1-csr";
import { AsnConvert } from "@peculiar/asn1-schema";

/** A request of ours has about 240 bytes. */
const longestRequest = 4096;

/** What a certificate request proves: that who sent it holds the key. Nothing else in it is believed. */
export type CertificateRequest =
  | { readonly kind: "good" /** P-256, SPKI (DER), as Node writes it. */; readonly publicKey: Buffer }
  | { readonly kind: "refused"; readonly reason: string };

/** Reads and verifies a PKCS #10 request (RFC 2986, DER). Never throws. */
export function readCertificateRequest(der: Uint8Array): CertificateRequest {
  if (der.length > longestRequest) return refused(`it is longer than ${longestRequest} bytes`);
  try {
    const request = AsnConvert.parse(der, CertificationRequest);
    const { certificationRequestInfo: info, certificationRequestInfoRaw: raw } = request;
    const key = createPublicKey({
      key: Buffer.from(AsnConvert.serialize(info.subjectPKInfo)),
      format: "der",
      type: "spki",
    });
    if (key.asymmetricKeyDetails?.namedCurve !== "prime256v1") return refused("its key is not on P-256");
    if (raw === undefined || !verify("sha256", new Uint8Array(raw), key, new Uint8Array(request.signature))) {
      return refused("its signature does not verify (ECDSA with SHA-256)");
    }
    return { kind: "good", publicKey: key.export({ type: "spki", format: "der" }) };
  } catch {
    return refused("it is not a PKCS #10 request in DER");
  }
}

function refused(reason: string): CertificateRequest {
  return { kind: "refused", reason };
}
