/** An IPv4 (4 bytes) or IPv6 (16 bytes) address in network order. */
export type Address = Uint8Array;
export type Family = 4 | 6;
