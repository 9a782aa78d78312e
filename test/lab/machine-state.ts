import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** What of the machine the lab must leave as it was: links, and whatever stands in its own packet filter. Reads only. */
export async function machineState(): Promise<string> {
  const parts = await Promise.all([
    command("/usr/sbin/ip", ["-brief", "link"]),
    command("/usr/sbin/iptables-nft-save", []),
    command("/usr/sbin/ip6tables-nft-save", []),
    command("/usr/sbin/ipset", ["list", "-name"]),
    readFile("/proc/net/ip_tables_names", "utf8").catch(() => ""),
    readFile("/proc/net/ip6_tables_names", "utf8").catch(() => ""),
  ]);
  return parts.join("\n--\n");
}

/** Which of these namespaces are still there. */
export async function namespacesLeft(names: readonly string[]): Promise<readonly string[]> {
  const { stdout } = await run("/usr/sbin/ip", ["netns", "list"]);
  const present = new Set(stdout.split("\n").map((line) => line.split(" ")[0]));
  return names.filter((name) => present.has(name));
}

/** Output without comments and counters, which move by themselves. */
async function command(file: string, args: readonly string[]): Promise<string> {
  const { stdout } = await run(file, [...args]);
  return stdout
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .map((line) => line.replace(/\[\d+:\d+\]/, ""))
    .join("\n");
}
