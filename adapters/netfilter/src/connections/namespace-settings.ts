import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { promisify } from "node:util";
import type { Logger } from "@antenna/sdk";
import type { EphemeralPorts } from "./listening-ports.js";

const run = promisify(execFile);
const nsenter = "/usr/bin/nsenter";
const cat = "/usr/bin/cat";
const timeoutMs = 5_000;

const portRangeFile = "/proc/sys/net/ipv4/ip_local_port_range";
const establishedFile = "/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_established";

/** Settings of a network namespace that matter for telling who opened a flow. */
export interface NamespaceSettings {
  readonly ephemeralPorts: EphemeralPorts;
  /** How long an idle established TCP connection is tracked. */
  readonly establishedTimeoutSeconds: number;
}

/** What the kernel begins with. */
export const defaultSettings: NamespaceSettings = {
  ephemeralPorts: { from: 32_768, to: 60_999 },
  establishedTimeoutSeconds: 432_000,
};

/**
 * Reads the settings. /proc/sys/net shows the namespace of whoever reads it, so that another namespace takes a short
 * process inside it. A setting that cannot be read has the kernel's default.
 */
export async function readNamespaceSettings(
  namespace: string | null,
  logger: Logger,
): Promise<NamespaceSettings> {
  const [ports, established] = await Promise.all([
    readSetting(namespace, portRangeFile, logger),
    readSetting(namespace, establishedFile, logger),
  ]);
  return {
    ephemeralPorts: parsePortRange(ports) ?? defaultSettings.ephemeralPorts,
    establishedTimeoutSeconds: parseSeconds(established) ?? defaultSettings.establishedTimeoutSeconds,
  };
}

export function parsePortRange(text: string | null): EphemeralPorts | null {
  const match = /^(\d{1,5})\s+(\d{1,5})\s*$/.exec(text ?? "");
  if (match === null) return null;
  const from = Number(match[1]);
  const to = Number(match[2]);
  return from >= 1 && to <= 65_535 && from <= to ? { from, to } : null;
}

export function parseSeconds(text: string | null): number | null {
  const match = /^(\d{1,10})\s*$/.exec(text ?? "");
  const seconds = match === null ? 0 : Number(match[1]);
  return seconds >= 1 && seconds <= 0x7fff_ffff ? seconds : null;
}

async function readSetting(namespace: string | null, file: string, logger: Logger): Promise<string | null> {
  try {
    if (namespace === null) return await readFile(file, "latin1");
    const argv = [`--net=${namespace}`, "--", cat, file];
    return (await run(nsenter, argv, { timeout: timeoutMs, maxBuffer: 4_096, encoding: "latin1" })).stdout;
  } catch (error) {
    logger.debug({ file, namespace, error }, "a setting could not be read; the kernel's default is assumed");
    return null;
  }
}
