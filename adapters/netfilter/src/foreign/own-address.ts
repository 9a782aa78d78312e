import { LocalAddresses, NETLINK_ROUTE, NetlinkSocket } from "@antenna/netlink";
import type { Address } from "@antenna/sdk";
import { kernelError } from "../apply/kernel-error.js";
import { LocalAddressSet } from "../connections/local-address-set.js";

/**
 * True when packets to and from `address` pass the loopback interface: it is one of the namespace's own.
 *
 * @param namespace path of a network namespace; null: the caller's own. Rejects with AntennaError.
 */
export async function isOwnAddress(namespace: string | null, address: Address): Promise<boolean> {
  try {
    using netlink = NetlinkSocket.open({ protocol: NETLINK_ROUTE, namespace });
    return new LocalAddressSet(await new LocalAddresses(netlink).list()).has(address);
  } catch (error) {
    throw kernelError(error, "list the own addresses");
  }
}
