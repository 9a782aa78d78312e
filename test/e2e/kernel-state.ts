import type { Arena, Backend } from "./arena.js";

/** Rules and sets of the server as text: without counters, and with one generation of a set's name standing for all. */
export async function kernelState(arena: Arena, backend: Backend): Promise<string> {
  const { namespace } = arena.server;
  const parts = await Promise.all([
    namespace.exec(`/usr/sbin/iptables-${backend}-save`, ["-t", "filter"]),
    namespace.exec(`/usr/sbin/ip6tables-${backend}-save`, ["-t", "filter"]),
    namespace.exec("/usr/sbin/ipset", ["save"]).then((text) => text.split("\n").sort().join("\n")),
  ]);
  return parts
    .join("\n")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) =>
      line
        .replace(/ ?\[\d+:\d+\]/, "")
        .replace(/ initval 0x[0-9a-f]+/, "")
        .replace(/\b(ant-[a-z2-7]{12})-\d+/g, "$1")
        // A set that grew from another content may be of the wider kind, with more room.
        .replace(/ hash:(?:ip|net) family (inet6?) .*/, " hash family $1")
        // The hash of a chain covers the names of sets in it.
        .replace(/"ant:[0-9a-f]{20}"/g, "ant:HASH"),
    )
    .join("\n");
}
