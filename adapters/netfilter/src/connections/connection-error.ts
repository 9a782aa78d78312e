import { NetlinkError, type NetlinkErrorCode } from "@antenna/netlink";
import { AntennaError, type ErrorCode } from "@antenna/sdk";

const eperm = 1;

/** The library's error in the words of the agent. */
export function connectionError(reason: unknown, operation: string): AntennaError {
  if (!(reason instanceof NetlinkError)) return AntennaError.from(reason, operation);
  const permission = reason.errno === eperm;
  return new AntennaError({
    code: permission ? "not-permitted" : codes[reason.code],
    operation,
    message: permission
      ? "the kernel asks for CAP_NET_ADMIN in this network namespace; start the agent with it"
      : words[reason.code],
    detail: reason.message,
    cause: reason,
  });
}

const codes: Readonly<Record<NetlinkErrorCode, ErrorCode>> = {
  refused: "kernel-refused",
  overflow: "kernel-refused",
  "dump-interrupted": "kernel-refused",
  malformed: "kernel-refused",
  unavailable: "unsupported",
  closed: "closed",
  aborted: "aborted",
};

const words: Readonly<Record<NetlinkErrorCode, string>> = {
  refused: "the kernel refused",
  overflow: "the kernel's answer was incomplete; it is asked again at the next pass",
  "dump-interrupted": "the table changed while it was read; it is read again at the next pass",
  malformed: "the kernel's answer could not be read",
  unavailable: "the netlink addon cannot be loaded here",
  closed: "the connection table was closed",
  aborted: "the caller aborted",
};
