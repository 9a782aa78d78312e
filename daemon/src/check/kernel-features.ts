import type { CheckItem } from "../documents.js";
import type { KernelBuild, Presence } from "./kernel-build.js";

/** A part of the kernel that enforcement needs. */
interface Feature {
  readonly name: string;
  /** Build options, without CONFIG_, each with its module; null: never a module. All are needed. */
  readonly parts: readonly (readonly [option: string, module: string | null])[];
  /** What does not work without it. `red`: nothing does. */
  readonly without: { readonly state: "yellow" | "red"; readonly words: string };
}

const red = (words: string): Feature["without"] => ({ state: "red", words });
const yellow = (words: string): Feature["without"] => ({ state: "yellow", words });

/** Those of both backends; in the order of the report. */
const common: readonly Feature[] = [
  {
    name: "ip_set",
    parts: [
      ["IP_SET", "ip_set"],
      ["IP_SET_HASH_IP", "ip_set_hash_ip"],
      ["IP_SET_HASH_NET", "ip_set_hash_net"],
      ["IP_SET_HASH_IPPORT", "ip_set_hash_ipport"],
      ["IP_SET_HASH_NETPORT", "ip_set_hash_netport"],
    ],
    without: red("sets of addresses can't be held"),
  },
  { name: "xt_set", parts: [["NETFILTER_XT_SET", "xt_set"]], without: red("rules can't look into sets") },
  {
    name: "conntrack",
    parts: [
      ["NF_CONNTRACK", "nf_conntrack"],
      ["NETFILTER_XT_MATCH_CONNTRACK", "xt_conntrack"],
    ],
    without: red("connections can't be told from packets"),
  },
  {
    name: "connmark",
    parts: [
      ["NF_CONNTRACK_MARK", null],
      ["NETFILTER_XT_CONNMARK", "xt_connmark"],
    ],
    without: red("flows that a policy revokes can't be cut"),
  },
  {
    name: "ctnetlink",
    parts: [["NF_CT_NETLINK", "nf_conntrack_netlink"]],
    without: red("flows that a policy revokes can't be found"),
  },
  {
    name: "matches",
    parts: [
      ["NETFILTER_XT_MATCH_COMMENT", "xt_comment"],
      ["NETFILTER_XT_MATCH_LIMIT", "xt_limit"],
      ["NETFILTER_XT_MATCH_MULTIPORT", "xt_multiport"],
      ["NETFILTER_XT_MATCH_HL", "xt_hl"],
      ["NETFILTER_XT_MATCH_U32", "xt_u32"],
    ],
    without: red("rules that use these can't be written"),
  },
  {
    name: "policy match",
    parts: [["NETFILTER_XT_MATCH_POLICY", "xt_policy"]],
    without: yellow("policies with secure rules can't be enforced"),
  },
  {
    name: "NFLOG",
    parts: [
      ["NETFILTER_XT_TARGET_NFLOG", "xt_NFLOG"],
      ["NETFILTER_NETLINK_LOG", "nfnetlink_log"],
    ],
    without: red("rules that tell denied packets can't be written"),
  },
  {
    name: "REJECT",
    parts: [
      ["IP_NF_TARGET_REJECT", "ipt_REJECT"],
      ["IP6_NF_TARGET_REJECT", "ip6t_REJECT"],
    ],
    without: yellow("policies with `reject: true` can't be enforced"),
  },
  {
    name: "sock_diag",
    parts: [
      ["INET_TCP_DIAG", "tcp_diag"],
      ["INET_UDP_DIAG", "udp_diag"],
    ],
    without: yellow("silent connections can't be found while settling"),
  },
  {
    name: "socket destroy",
    parts: [["INET_DIAG_DESTROY", null]],
    without: yellow("local sockets of cut flows are not told; they time out"),
  },
];

const byBackend: Readonly<Record<"nft" | "legacy", Feature>> = {
  nft: {
    name: "nf_tables",
    parts: [
      ["NF_TABLES", "nf_tables"],
      ["NFT_COMPAT", "nft_compat"],
    ],
    without: red("iptables-nft can't write these rules"),
  },
  legacy: {
    name: "iptable_filter",
    parts: [
      ["IP_NF_FILTER", "iptable_filter"],
      ["IP6_NF_FILTER", "ip6table_filter"],
    ],
    without: red("iptables-legacy has no filter table"),
  },
};

export function kernelFeatures(build: KernelBuild, backend: "nft" | "legacy"): readonly CheckItem[] {
  return [...common, byBackend[backend]].map((feature) => judge(feature, build));
}

function judge({ name, parts, without }: Feature, build: KernelBuild): CheckItem {
  const found = parts.map(
    ([option, module]) => [module ?? `CONFIG_${option}`, build.find(option, module)] as const,
  );
  const missing = found.filter(([, presence]) => presence === "missing").map(([part]) => part);
  if (missing.length > 0) {
    const advice = `${missing.join(", ")} missing in kernel ${build.release}: ${without.words}; install the kernel's full set of modules`;
    return { name, state: without.state, found: null, advice };
  }
  const unknown = found.filter(([, presence]) => presence === "unknown").map(([part]) => part);
  if (unknown.length > 0) {
    const advice = `${unknown.join(", ")}: this kernel does not publish how it was built; \`antenna check --probe\` tries it`;
    return { name, state: "yellow", found: "not known", advice };
  }
  return { name, state: "green", found: summary(found.map(([, presence]) => presence)), advice: null };
}

function summary(presences: readonly Presence[]): string {
  return [...new Set(presences)].join(", ");
}
