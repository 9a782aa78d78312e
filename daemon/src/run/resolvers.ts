import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { basename, dirname } from "node:path";

/** Where name servers stand that a local stub hides, in the order in which they are tried. */
const upstreamFiles: Readonly<Record<string, readonly string[]>> = {
  // systemd-resolved(8): its own list of upstream servers.
  "127.0.0.53": ["/run/systemd/resolve/resolv.conf"],
  "127.0.0.54": ["/run/systemd/resolve/resolv.conf"],
  // NetworkManager.conf(5), dns=: what it would write without its dnsmasq.
  "127.0.0.1": ["/run/NetworkManager/no-stub-resolv.conf"],
  "127.0.1.1": ["/run/NetworkManager/no-stub-resolv.conf"],
};

/** resolv.conf(5) has at most three; Docker's comment may list more. */
const mostServers = 64;
const largestBytes = 64 * 1024;

export interface Resolvers {
  /** Addresses that are no loopback, sorted, unique. */
  readonly servers: readonly string[];
  /** Files that were looked at, and those that would be if they existed: watch these. */
  readonly files: readonly string[];
}

/**
 * The upstream resolvers of the namespace. A stub on loopback is followed to the servers behind it: systemd-resolved,
 * NetworkManager, Docker's embedded server (its `ExtServers` comment).
 */
export async function findResolvers(
  file: string,
  read: (path: string) => Promise<string | null> = readBounded,
): Promise<Resolvers> {
  const files = [file];
  const servers = new Set<string>();
  const own = parseResolvConf((await read(file)) ?? "");
  for (const server of own.servers) {
    for (const path of upstreamFiles[server] ?? []) {
      if (files.includes(path)) continue;
      files.push(path);
      for (const upstream of parseResolvConf((await read(path)) ?? "").servers) servers.add(upstream);
    }
    servers.add(server);
  }
  for (const server of own.behindDocker) servers.add(server);
  const outside = [...servers].filter((server) => !isLoopback(server)).slice(0, mostServers);
  return { servers: outside.toSorted(), files };
}

/** The resolv.conf that programs of a namespace see: `ip netns exec` puts /etc/netns/NAME over /etc (ip-netns(8)). */
export async function resolvConfOf(
  namespace: string | null,
  read: (path: string) => Promise<string | null> = readBounded,
): Promise<string> {
  const usual = "/etc/resolv.conf";
  if (namespace === null || !dirname(namespace).endsWith("/run/netns")) return usual;
  const own = `/etc/netns/${basename(namespace)}/resolv.conf`;
  return (await read(own)) === null ? usual : own;
}

interface ResolvConf {
  readonly servers: readonly string[];
  /** What stands behind Docker's 127.0.0.11. */
  readonly behindDocker: readonly string[];
}

export function parseResolvConf(text: string): ResolvConf {
  const servers: string[] = [];
  const behindDocker: string[] = [];
  for (const line of text.split("\n")) {
    const server = /^\s*nameserver\s+(\S+)/.exec(line)?.[1];
    if (server !== undefined) servers.push(...addressOf(server));
    // `# ExtServers: [10.0.0.2 host(127.0.0.53)]`: `host(…)` is asked from the host's namespace, not from here.
    const listed = /^\s*#\s*ExtServers:\s*\[([^\]]*)\]/.exec(line)?.[1];
    if (listed !== undefined) behindDocker.push(...listed.split(/[\s,]+/).flatMap(addressOf));
  }
  return { servers, behindDocker };
}

function addressOf(word: string): string[] {
  const bare = word.replace(/%.*$/, "");
  return isIP(bare) === 0 ? [] : [bare.toLowerCase()];
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

async function readBounded(path: string): Promise<string | null> {
  try {
    const text = await readFile(path, "latin1");
    return text.length > largestBytes ? text.slice(0, largestBytes) : text;
  } catch {
    return null;
  }
}
