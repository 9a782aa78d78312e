/** Numbers of ipset's netlink interface. Sources: linux/netfilter/ipset/ip_set.h, ip_set_hash.h, nfnetlink.h. */

const NFNL_SUBSYS_IPSET = 6;

export const IPSET_PROTOCOL = 7;
/** IPSET_MAXNAMELEN counts the NUL. */
export const longestName = 31;

/** Message types: subsystem and command. */
export const commands = {
  create: (NFNL_SUBSYS_IPSET << 8) | 2,
  destroy: (NFNL_SUBSYS_IPSET << 8) | 3,
  swap: (NFNL_SUBSYS_IPSET << 8) | 6,
  list: (NFNL_SUBSYS_IPSET << 8) | 7,
  add: (NFNL_SUBSYS_IPSET << 8) | 9,
  delete: (NFNL_SUBSYS_IPSET << 8) | 10,
  type: (NFNL_SUBSYS_IPSET << 8) | 13,
} as const;

export const IPSET_ATTR_PROTOCOL = 1;
export const IPSET_ATTR_SETNAME = 2;
export const IPSET_ATTR_TYPENAME = 3;
export const IPSET_ATTR_SETNAME2 = 3;
export const IPSET_ATTR_REVISION = 4;
export const IPSET_ATTR_FAMILY = 5;
export const IPSET_ATTR_FLAGS = 6;
export const IPSET_ATTR_DATA = 7;
export const IPSET_ATTR_ADT = 8;
export const IPSET_ATTR_LINENO = 9;
export const IPSET_ATTR_REVISION_MIN = 10;

/** Inside IPSET_ATTR_DATA. */
export const IPSET_ATTR_IP = 1;
export const IPSET_ATTR_CIDR = 3;
export const IPSET_ATTR_PORT = 4;
export const IPSET_ATTR_TIMEOUT = 6;
export const IPSET_ATTR_PROTO = 7;
export const IPSET_ATTR_CADT_FLAGS = 8;
/** In the header of a set that was made with such. */
export const IPSET_ATTR_MARKMASK = 11;
export const IPSET_ATTR_BITMASK = 12;
export const IPSET_ATTR_HASHSIZE = 18;
export const IPSET_ATTR_MAXELEM = 19;
export const IPSET_ATTR_NETMASK = 20;
export const IPSET_ATTR_ELEMENTS = 24;
export const IPSET_ATTR_REFERENCES = 25;
export const IPSET_ATTR_MEMSIZE = 26;

/** Inside IPSET_ATTR_IP. */
export const IPSET_ATTR_IPADDR_IPV4 = 1;
export const IPSET_ATTR_IPADDR_IPV6 = 2;

export const IPSET_FLAG_LIST_SETNAME = 2;
export const IPSET_FLAG_LIST_HEADER = 4;
/** In IPSET_ATTR_CADT_FLAGS: the member is an exception, what it covers is not in the set. */
export const IPSET_FLAG_NOMATCH = 4;

export const IPSET_ERR_BUSY = 4100;
export const IPSET_ERR_FIND_TYPE = 4098;

const words: Readonly<Record<number, string>> = {
  4097: "the kernel speaks another version of the ipset protocol, or the message is malformed",
  4098: "the kernel does not know this type of set",
  4099: "the kernel's limit of sets is reached (ip_set max_sets)",
  4100: "the set is in use: a rule names it",
  4101: "a set of that name is there already",
  4102: "the types of the two sets differ",
  4103: "the member is there already, or is not there",
  4104: "not a valid prefix length",
  4105: "not a valid netmask",
  4106: "not a valid protocol family",
  4107: "the set was made without support for timeouts",
  4108: "the set is referenced by another set",
  4109: "an IPv4 address was expected",
  4110: "an IPv6 address was expected",
  4111: "the set was made without support for counters",
  4112: "the set was made without support for comments",
  4113: "not a valid mark mask",
  4114: "the set was made without support for skbinfo",
  4352: "the set is full (maxelem)",
  4353: "the member is null: a prefix of length 0, or the unspecified address",
  4354: "not a valid protocol for this set",
  4355: "the protocol is missing",
  4356: "ranges are not supported",
  4357: "not a valid range",
};

/** ipset's own errnos in words; null: one of the system's. */
export function ipsetErrorText(errno: number): string | null {
  return words[errno] ?? null;
}
