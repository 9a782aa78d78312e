import type { Link, LocalAddress } from "@antenna/netlink";
import { formatAddress, type WorkloadAddress } from "@antenna/sdk";

/** linux/if_addr.h: not usable yet, or never. */
const IFA_F_DADFAILED = 0x08;
const IFA_F_TENTATIVE = 0x40;
/** Where kube-proxy in IPVS mode keeps the addresses of services. */
const serviceInterface = "kube-ipvs0";
/** More than this no host has; the rest is left out and said. */
export const mostAddresses = 1_024;

/**
 * The addresses by which others may know this workload, sorted: never loopback, link-local, multicast or unspecified ones.
 * An address on a bridge whose ports are all virtual (Docker's, libvirt's) is known to this host alone.
 */
export function workloadAddresses(
  links: readonly Link[],
  addresses: readonly LocalAddress[],
): readonly WorkloadAddress[] {
  const byIndex = new Map(links.map((link) => [link.index, link]));
  const found = addresses.flatMap((entry): (WorkloadAddress & { readonly bytes: Uint8Array })[] => {
    const link = byIndex.get(entry.interfaceIndex);
    if (link === undefined || link.loopback || !isTold(entry)) return [];
    const { address: bytes, prefix } = entry;
    return [
      { address: formatAddress(bytes), prefix, interface: link.name, scope: scopeOf(link, links), bytes },
    ];
  });
  return found
    .sort((a, b) => a.bytes.length - b.bytes.length || Buffer.compare(a.bytes, b.bytes))
    .slice(0, mostAddresses)
    .map(({ bytes: _, ...address }) => address);
}

function scopeOf(link: Link, links: readonly Link[]): WorkloadAddress["scope"] {
  if (link.name === serviceInterface) return "virtual";
  if (link.kind !== "bridge") return "routable";
  const ports = links.filter(({ master }) => master === link.index);
  return ports.every(({ kind }) => kind === "veth" || kind === "tun") ? "host" : "routable";
}

function isTold({ family, address, flags }: LocalAddress): boolean {
  if ((flags & (IFA_F_TENTATIVE | IFA_F_DADFAILED)) !== 0) return false;
  if (address.every((byte) => byte === 0)) return false;
  const [first = 0, second = 0] = address;
  if (family === 4) return first !== 127 && first < 224 && !(first === 169 && second === 254);
  const linkLocal = first === 0xfe && (second & 0xc0) === 0x80;
  const loopback = address.every((byte, at) => byte === (at === 15 ? 1 : 0));
  return first !== 0xff && !linkLocal && !loopback;
}
