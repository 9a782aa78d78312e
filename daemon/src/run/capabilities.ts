import { readFile } from "node:fs/promises";
import { AntennaError } from "@antenna/sdk";

/** Bits of linux/capability.h. */
const bits = { NET_ADMIN: 12n, NET_RAW: 13n, SYS_ADMIN: 21n } as const;
export type Capability = keyof typeof bits;

/** Why each is needed, for the person who has to grant it. */
const reasons: Readonly<Record<Capability, string>> = {
  NET_ADMIN: "rules, sets and connection tracking are written with it",
  NET_RAW: "iptables reads and writes rules over a raw socket",
  SYS_ADMIN: "another network namespace can't be entered without it",
};

/** Those of `wanted` that are not in the effective set of a `/proc/PID/status`. */
export function missingCapabilities(status: string, wanted: readonly Capability[]): readonly Capability[] {
  const effective = BigInt(`0x${/^CapEff:\s*([0-9a-f]{1,16})$/m.exec(status)?.[1] ?? "0"}`);
  return wanted.filter((name) => (effective & (1n << bits[name])) === 0n);
}

export function neededCapabilities(namespace: string | null): readonly Capability[] {
  return namespace === null ? ["NET_ADMIN", "NET_RAW"] : ["NET_ADMIN", "NET_RAW", "SYS_ADMIN"];
}

/** Rejects with `not-permitted`, naming every capability that this process lacks. */
export async function demandCapabilities(operation: string, wanted: readonly Capability[]): Promise<void> {
  const missing = missingCapabilities(await readFile("/proc/self/status", "latin1"), wanted);
  if (missing.length === 0) return;
  const named = missing.map((name) => `CAP_${name} is missing (${reasons[name]})`);
  throw new AntennaError({
    code: "not-permitted",
    operation,
    message: `${named.join("; ")}; run as root, or grant it to this process`,
  });
}
