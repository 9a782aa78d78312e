/** Netlink headers are in the order of the host: this is DataView's last argument for them. */
export const littleEndian = new Uint8Array(Uint16Array.of(1).buffer)[0] === 1;
