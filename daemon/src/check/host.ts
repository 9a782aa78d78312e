import { access, constants, readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { CheckItem } from "../documents.js";
import { type Capability, missingCapabilities, neededCapabilities } from "../run/capabilities.js";

export function checkNode(version: string): CheckItem {
  const [major = 0, minor = 0] = version.replace(/^v/, "").split(".").map(Number);
  const good = major > 20 || (major === 20 && minor >= 19);
  const advice = good ? null : "Antenna needs Node 20.19 or newer";
  return { name: "node", state: good ? "green" : "red", found: version, advice };
}

export function checkPlatform(platform: string, release: string): CheckItem {
  const good = platform === "linux";
  const advice = good
    ? null
    : "there is no packet filter for this operating system in this version; Linux has one";
  return { name: "kernel", state: good ? "green" : "red", found: `${platform} ${release}`, advice };
}

export async function checkCapabilities(namespace: string | null): Promise<CheckItem> {
  const wanted = neededCapabilities(namespace);
  const missing = missingCapabilities(await readFile("/proc/self/status", "latin1"), wanted);
  return judgeCapabilities(wanted, missing);
}

function judgeCapabilities(wanted: readonly Capability[], missing: readonly Capability[]): CheckItem {
  const name = "capabilities";
  const found = wanted
    .filter((capability) => !missing.includes(capability))
    .map((capability) => `CAP_${capability}`);
  if (missing.length === 0) return { name, state: "green", found: found.join(", "), advice: null };
  const named = missing.map((capability) => `CAP_${capability}`).join(", ");
  const advice = `${named} missing; run as root, or grant it to the daemon (this item judges who runs the check)`;
  return { name, state: "red", found: found.length === 0 ? null : found.join(", "), advice };
}

/** The directory itself, or the nearest one above it that exists: there it would be made. */
export async function checkStateDir(stateDir: string): Promise<CheckItem> {
  const name = "state directory";
  let place = stateDir;
  for (;;) {
    const facts = await stat(place).catch(() => null);
    if (facts !== null && !facts.isDirectory()) {
      return {
        name,
        state: "red",
        found: place,
        advice: `${place} is not a directory; name another --state-dir`,
      };
    }
    if (facts !== null) break;
    place = dirname(place);
  }
  const writable = await access(place, constants.W_OK).then(
    () => true,
    () => false,
  );
  const found = place === stateDir ? stateDir : `${stateDir} (to be made)`;
  const advice = writable
    ? null
    : `${place} can't be written by this user; run as root, or name another --state-dir`;
  return { name, state: writable ? "green" : "red", found, advice };
}

/** What NFLOG group is taken by whom: group, port and others, a line each (net/netfilter/nfnetlink_log.c, seq_show). */
export async function checkNflogGroup(group: number): Promise<CheckItem> {
  const name = "NFLOG group";
  const lines = await readFile("/proc/net/netfilter/nfnetlink_log", "latin1").catch(() => "");
  const taken = lines.split("\n").some((line) => line.trim().split(/\s+/)[0] === String(group));
  const advice = taken
    ? `group ${group} is read by another program: it would see our packets, and we could not; set kernel.nflogGroup`
    : null;
  return {
    name,
    state: taken ? "yellow" : "green",
    found: taken ? `${group} (taken)` : `${group} (free)`,
    advice,
  };
}

/** SO_RCVBUFFORCE passes the limit, but only with NET_ADMIN. */
export async function checkReceiveBuffer(): Promise<CheckItem> {
  const name = "receive buffer";
  const limit = await readNumber("/proc/sys/net/core/rmem_max");
  const status = await readFile("/proc/self/status", "latin1");
  const forced = missingCapabilities(status, ["NET_ADMIN"]).length === 0;
  const enough = limit !== null && limit >= 1024 * 1024;
  const found =
    limit === null ? null : `net.core.rmem_max ${limit}${forced ? ", passed with CAP_NET_ADMIN" : ""}`;
  const advice =
    forced || enough ? null : "kernel events may be lost under load; raise net.core.rmem_max to 1048576";
  return { name, state: advice === null ? "green" : "yellow", found, advice };
}

export async function readNumber(path: string): Promise<number | null> {
  const text = await readFile(path, "latin1").catch(() => null);
  const value = Number(text?.trim());
  return text === null || !Number.isFinite(value) ? null : value;
}
