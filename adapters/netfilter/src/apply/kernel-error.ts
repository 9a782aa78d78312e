import { NetlinkError } from "@antenna/netlink";
import { AntennaError, type ErrorCode } from "@antenna/sdk";
import type { CommandResult } from "./command-runner.js";

const EPERM = 1;
const EACCES = 13;
const EAGAIN = 11;

/** What a netlink socket, a lock or a socket option refused, in the words of the SDK. */
export function kernelError(reason: unknown, operation: string): AntennaError {
  if (!(reason instanceof NetlinkError))
    return fileError(reason, operation) ?? AntennaError.from(reason, operation);
  const { errno, holder } = reason;
  const shared = { operation, detail: reason.message, cause: reason };
  if (errno === EPERM || errno === EACCES) {
    const message =
      "CAP_NET_ADMIN is missing (in another network namespace than the own also CAP_SYS_ADMIN); run as root or grant it";
    return new AntennaError({ ...shared, code: "not-permitted", message });
  }
  if (errno === EAGAIN && holder !== null) {
    return new AntennaError({ ...shared, code: "busy", message: reason.message });
  }
  return new AntennaError({
    ...shared,
    code: codes[reason.code] ?? "kernel-refused",
    message: reason.message,
  });
}

/** /run/xtables.lock and /proc/net/ip_tables_names are for uid 0 alone. */
function fileError(reason: unknown, operation: string): AntennaError | null {
  if (!(reason instanceof Error) || !("path" in reason) || !("code" in reason)) return null;
  const denied = reason.code === "EACCES" || reason.code === "EPERM";
  const advice = denied
    ? "iptables-legacy needs uid 0 besides CAP_NET_ADMIN and CAP_NET_RAW; run as root, or use iptables-nft"
    : "check the file";
  return new AntennaError({
    code: denied ? "not-permitted" : "storage",
    operation,
    message: `${reason.message}; ${advice}`,
    detail: reason.message,
    cause: reason,
  });
}

const codes: Partial<Readonly<Record<NetlinkError["code"], ErrorCode>>> = {
  unavailable: "unsupported",
  closed: "closed",
  aborted: "aborted",
  malformed: "internal",
};

/** What a restore program refused: its words, and the line of the text that they are about. */
export function restoreError(operation: string, text: string, result: CommandResult): AntennaError {
  const words = result.stderr.trim() || `exit code ${result.code}`;
  const number = /line:? (\d+)/.exec(words)?.[1];
  const line = number === undefined ? undefined : text.split("\n")[Number(number) - 1];
  const where = line === undefined ? "" : ` at \`${line}\``;
  return new AntennaError({
    code: "kernel-refused",
    operation,
    message: `refused${where}: ${words}; nothing of this transaction is in force, the rules before it are`,
    detail: line === undefined ? words : `${line}\n${words}`,
  });
}
