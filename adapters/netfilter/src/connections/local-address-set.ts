import type { LocalAddress } from "@antenna/netlink";
import { addressKey } from "./address-key.js";

const loopback4 = 127;
const loopback6 = addressKey(Uint8Array.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1));

/** Which addresses are this namespace's own: those of its interfaces, and loopback. */
export class LocalAddressSet {
  readonly #keys: ReadonlySet<number | string>;

  constructor(addresses: Iterable<LocalAddress> = []) {
    const keys = new Set<number | string>();
    for (const { address } of addresses) keys.add(addressKey(address));
    this.#keys = keys;
  }

  has(address: Uint8Array): boolean {
    if (address.length === 4 && address[0] === loopback4) return true;
    const key = addressKey(address);
    return this.#keys.has(key) || key === loopback6;
  }
}
