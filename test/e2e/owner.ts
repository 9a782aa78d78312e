import { ownersRules, withoutOurs } from "../host/filter-arena.js";
import type { Backend } from "./arena.js";
import type { PrivateHost } from "./private-host.js";

const families = [4, 6] as const;
const cat = "/usr/bin/cat";

/** Values that move by themselves. */
const volatile = /\/(?:nf_conntrack_count|tcp_mem|udp_mem|sctp_mem|tcp_fastopen_key)[:/]/;

/**
 * The host's owner: rules as Docker, ufw, firewalld and fail2ban leave them, in all tables, and sets, some of them named
 * much like ours.
 */
export async function ownersSetup(host: PrivateHost, backend: Backend): Promise<void> {
  await host.exec("/usr/sbin/ipset", ["restore"], sets);
  for (const family of families) {
    await host.exec(restore(backend, family), [], ownersRules(family));
    await host.exec(restore(backend, family), ["--noflush"], moreRules(family));
  }
}

const sets = [
  "create f2b-sshd hash:ip family inet",
  "create f2b-sshd6 hash:ip family inet6",
  "create ant-hill hash:net family inet",
  "add f2b-sshd 198.51.100.7",
  "add f2b-sshd6 2001:db8::7",
  "add ant-hill 198.51.100.0/25",
  "",
].join("\n");

function moreRules(family: 4 | 6): string {
  const [bad, banned] = family === 4 ? ["203.0.113.0/24", "f2b-sshd"] : ["2001:db8:bad::/48", "f2b-sshd6"];
  return [
    "*raw",
    ":PREROUTING ACCEPT [0:0]",
    `-A PREROUTING -s ${bad} -j DROP`,
    "COMMIT",
    "*mangle",
    ":PRE_public - [0:0]",
    "-A PREROUTING -j PRE_public",
    "-A FORWARD -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    "-A OUTPUT -p tcp -m tcp --dport 443 -j CONNMARK --set-xmark 0x1/0xff",
    "COMMIT",
    "*filter",
    ":f2b-sshd - [0:0]",
    "-I INPUT 1 -p tcp -m multiport --dports 22 -j f2b-sshd",
    `-A f2b-sshd -m set --match-set ${banned} src -j DROP`,
    "-A f2b-sshd -j RETURN",
    "COMMIT",
    "",
  ].join("\n");
}

function restore(backend: Backend, family: 4 | 6): string {
  return `/usr/sbin/ip${family === 4 ? "" : "6"}tables-${backend}-restore`;
}

/** Everything of the host that an agent could change; each part by its name. */
export async function wholeState(host: PrivateHost, backend: Backend): Promise<Record<string, string>> {
  const { rules, counters: _counters } = await savedRules(host, backend);
  const [ipset, sysctls, names, run, other] = await Promise.all([
    host.exec("/usr/sbin/ipset", ["save"]),
    host.exec("/usr/bin/grep", ["-rs", ".", "/proc/sys/net"]).catch(outputOfFailed),
    host.exec(cat, ["/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"]).catch(outputOfFailed),
    host.exec("/usr/bin/find", ["/run", "-printf", "%p %M %s\\n"]),
    // The backend that is not in use; legacy tables appear by a mere look, and are told by their names.
    backend === "legacy" ? host.exec("/usr/sbin/nft", ["list", "ruleset"]) : "",
  ]);
  return {
    rules,
    ipset: sorted(ipset.replace(/ initval 0x[0-9a-f]+/g, "")),
    sysctls: sorted(
      sysctls
        .split("\n")
        .filter((line) => !volatile.test(line))
        .join("\n"),
    ),
    names: sorted(names),
    run: sorted(run),
    other,
  };
}

/** What is left of a save of all tables when everything of ours is taken away, and how often each rule was met. */
export async function savedRules(
  host: PrivateHost,
  backend: Backend,
): Promise<{ readonly rules: string; readonly owners: string; readonly counters: readonly number[] }> {
  const texts = await Promise.all(
    families.map((family) =>
      host.exec(`/usr/sbin/ip${family === 4 ? "" : "6"}tables-${backend}-save`, ["-c"]),
    ),
  );
  const lines = texts
    .flatMap((text, index) => [
      `# IPv${families[index]}`,
      ...text.split("\n").filter((line) => !line.startsWith("#")),
    ])
    .filter((line) => line !== "");
  const bare = (line: string) => line.replace(/^\[\d+:\d+\] /, "").replace(/ \[\d+:\d+\]$/, "");
  const foreign = lines.filter((line) => withoutOurs(bare(line)) !== "");
  return {
    rules: lines.map(bare).join("\n"),
    owners: foreign.map(bare).join("\n"),
    counters: foreign.map((line) => Number(/^\[(\d+):/.exec(line)?.[1] ?? 0)),
  };
}

function sorted(text: string): string {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .sort()
    .join("\n");
}

/** Some files there cannot be read or do not exist: what could be read counts. */
function outputOfFailed(reason: unknown): string {
  if (reason instanceof Error && "stdout" in reason) return String(reason.stdout);
  throw reason;
}
