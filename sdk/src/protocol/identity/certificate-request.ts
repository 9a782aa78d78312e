import { createPublicKey, type KeyObject, sign } from "node:crypto";

/** ecdsa-with-SHA256 (RFC 5758, 3.2). */
const ecdsaWithSha256 = "1.2.840.10045.4.3.2";

/**
 * A PKCS #10 request (RFC 2986, DER) for the key. The subject is empty: who the workload is, the controller says. It is
 * made once, when the key is, so that a running daemon never loads an ASN.1 library.
 */
export async function makeCertificateRequest(privateKey: KeyObject): Promise<Uint8Array> {
  const [{ CertificationRequest, CertificationRequestInfo }, x509, { AsnConvert }] = await Promise.all([
    import("@peculiar/asn1-csr"),
    import("@peculiar/asn1-x509"),
    import("@peculiar/asn1-schema"),
  ]);
  const publicKey = createPublicKey(privateKey).export({ type: "spki", format: "der" });
  const info = new CertificationRequestInfo({
    version: 0,
    subject: new x509.Name(),
    subjectPKInfo: AsnConvert.parse(publicKey, x509.SubjectPublicKeyInfo),
  });
  const signature = sign("sha256", Buffer.from(AsnConvert.serialize(info)), privateKey);
  const request = new CertificationRequest({
    certificationRequestInfo: info,
    signatureAlgorithm: new x509.AlgorithmIdentifier({ algorithm: ecdsaWithSha256 }),
    signature: new Uint8Array(signature).buffer,
  });
  return new Uint8Array(AsnConvert.serialize(request));
}
