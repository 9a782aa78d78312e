import { createHash, createPublicKey, type KeyObject, sign } from "node:crypto";
import { isIP } from "node:net";
import { AsnConvert, OctetString } from "@peculiar/asn1-schema";
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  id_ce_authorityKeyIdentifier,
  id_ce_basicConstraints,
  id_ce_extKeyUsage,
  id_ce_keyUsage,
  id_ce_subjectAltName,
  id_ce_subjectKeyIdentifier,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  Name,
  RelativeDistinguishedName,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from "@peculiar/asn1-x509";

const ecdsaWithSha256 = "1.2.840.10045.4.3.2";
const commonName = "2.5.4.3";
/** Extended key usages (RFC 5280, 4.2.1.12). */
export const serverAuth = "1.3.6.1.5.5.7.3.1";
export const clientAuth = "1.3.6.1.5.5.7.3.2";

/** What a certificate is for. Nobody can use one for another's purpose. */
export type CertificateUse =
  | { readonly kind: "authority" }
  /** DNS names and IP addresses that it answers to. */
  | { readonly kind: "server"; readonly names: readonly string[] }
  | { readonly kind: "agent" };

export interface CertificateOptions {
  readonly use: CertificateUse;
  /** Common name of whom it is about, and of who signs. */
  readonly subject: string;
  readonly issuer: string;
  /** Up to 20 bytes, positive (RFC 5280, 4.1.2.2). */
  readonly serial: Uint8Array;
  /** Whole seconds. */
  readonly notBefore: Date;
  readonly notAfter: Date;
  /** SPKI (DER). */
  readonly publicKey: Uint8Array;
  /** P-256. */
  readonly signer: KeyObject;
}

/** An X.509 certificate (DER) with ECDSA and SHA-256, in the profile of RFC 5280. */
export function issueCertificate(options: CertificateOptions): Buffer {
  const signer = createPublicKey(options.signer).export({ type: "spki", format: "der" });
  const algorithm = new AlgorithmIdentifier({ algorithm: ecdsaWithSha256 });
  const tbs = new TBSCertificate({
    version: Version.v3,
    serialNumber: toArrayBuffer(options.serial),
    signature: algorithm,
    issuer: nameOf(options.issuer),
    validity: new Validity({ notBefore: options.notBefore, notAfter: options.notAfter }),
    subject: nameOf(options.subject),
    subjectPublicKeyInfo: AsnConvert.parse(options.publicKey, SubjectPublicKeyInfo),
    extensions: new Extensions([
      ...extensionsOf(options.use),
      extension(
        id_ce_subjectKeyIdentifier,
        false,
        new SubjectKeyIdentifier(keyIdentifier(options.publicKey)),
      ),
      extension(
        id_ce_authorityKeyIdentifier,
        false,
        new AuthorityKeyIdentifier({ keyIdentifier: new KeyIdentifier(keyIdentifier(signer)) }),
      ),
    ]),
  });
  const signature = sign("sha256", Buffer.from(AsnConvert.serialize(tbs)), options.signer);
  const certificate = new Certificate({
    tbsCertificate: tbs,
    signatureAlgorithm: algorithm,
    signatureValue: toArrayBuffer(signature),
  });
  return Buffer.from(AsnConvert.serialize(certificate));
}

function extensionsOf(use: CertificateUse): readonly Extension[] {
  switch (use.kind) {
    case "authority":
      return [
        extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: true })),
        extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.keyCertSign)),
      ];
    case "server":
      return [
        ...leafExtensions(serverAuth),
        extension(id_ce_subjectAltName, false, new SubjectAlternativeName(use.names.map(generalName))),
      ];
    case "agent":
      return leafExtensions(clientAuth);
  }
}

function leafExtensions(usage: string): readonly Extension[] {
  return [
    extension(id_ce_basicConstraints, true, new BasicConstraints({ cA: false })),
    extension(id_ce_keyUsage, true, new KeyUsage(KeyUsageFlags.digitalSignature)),
    extension(id_ce_extKeyUsage, true, new ExtendedKeyUsage([usage])),
  ];
}

function extension(id: string, critical: boolean, value: object): Extension {
  return new Extension({
    extnID: id,
    critical,
    extnValue: new OctetString(AsnConvert.serialize(value)),
  });
}

function generalName(name: string): GeneralName {
  return new GeneralName(isIP(name) === 0 ? { dNSName: name } : { iPAddress: name });
}

function nameOf(common: string): Name {
  const value = new AttributeValue({ utf8String: common });
  return new Name([new RelativeDistinguishedName([new AttributeTypeAndValue({ type: commonName, value })])]);
}

/** Method 1 of RFC 7093: the leftmost 160 bits of the SHA-256 of the key. */
function keyIdentifier(publicKey: Uint8Array): ArrayBuffer {
  const { subjectPublicKey } = AsnConvert.parse(publicKey, SubjectPublicKeyInfo);
  return toArrayBuffer(
    createHash("sha256").update(new Uint8Array(subjectPublicKey)).digest().subarray(0, 20),
  );
}

function toArrayBuffer(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}
