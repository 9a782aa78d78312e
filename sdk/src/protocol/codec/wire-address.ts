import { formatAddress, parseAddress } from "../../policy/address.js";
import type { FieldReader } from "./field-reader.js";

/** 4 or 16 bytes as text; never the mapped form, which would name one address twice. */
export function readAddress(reader: FieldReader, path: string, value: Uint8Array | null | undefined): string {
  const length = value?.length ?? 0;
  if (value === null || value === undefined || (length !== 4 && length !== 16)) {
    reader.refuse(path, `is ${length} bytes long; 4 or 16 are right`);
    return "0.0.0.0";
  }
  if (length === 16 && isMapped(value))
    reader.refuse(path, "is an IPv4-mapped IPv6 address; 4 bytes are right");
  return formatAddress(value);
}

/** @throws AntennaError `input-refused` when the text is no address. */
export function writeAddress(text: string): Uint8Array {
  return parseAddress(text);
}

function isMapped(address: Uint8Array): boolean {
  return address.subarray(0, 10).every((byte) => byte === 0) && address[10] === 0xff && address[11] === 0xff;
}
