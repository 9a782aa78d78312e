/** A key for maps and sets, equal for equal addresses of one family; allocation-free for IPv4. */
export function addressKey(address: Uint8Array): number | string {
  if (address.length === 4) return word(address, 0);
  let key = "";
  for (let at = 0; at < address.length; at += 2) {
    key += String.fromCharCode(((address[at] ?? 0) << 8) | (address[at + 1] ?? 0));
  }
  return key;
}

/** An address and a port as one key. */
export function endpointKey(address: Uint8Array, port: number): number | string {
  // 48 bits: exact in a double.
  if (address.length === 4) return word(address, 0) * 65_536 + port;
  return `${addressKey(address)}${String.fromCharCode(port)}`;
}

export function isUnspecified(address: Uint8Array): boolean {
  return address.every((byte) => byte === 0);
}

export function sameAddress(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

function word(address: Uint8Array, at: number): number {
  return (
    (((address[at] ?? 0) << 24) |
      ((address[at + 1] ?? 0) << 16) |
      ((address[at + 2] ?? 0) << 8) |
      (address[at + 3] ?? 0)) >>>
    0
  );
}
