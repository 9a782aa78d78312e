import { netfilterProvider } from "@antenna/netfilter";
import type { PacketFilterProvider } from "@antenna/sdk";

/** What a Linux host brings to `createAgent`. */
export interface LinuxHost {
  readonly packetFilter: PacketFilterProvider;
}

/**
 * The ports of a Linux host, to be spread into the options of `createAgent`:
 * iptables or iptables-nft with ipset, whichever holds the host's rules.
 */
export function linuxHost(): LinuxHost {
  return { packetFilter: netfilterProvider() };
}
