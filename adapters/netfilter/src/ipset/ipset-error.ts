import { AttributeReader, NetlinkError } from "@antenna/netlink";
import { AntennaError } from "@antenna/sdk";
import { IPSET_ATTR_LINENO, IPSET_ERR_FIND_TYPE, ipsetErrorText } from "./ipset-protocol.js";
import type { KernelMembers } from "./kernel-members.js";

const EPERM = 1;
const nfgenmsgBytes = 4;

/** A refusal by the kernel in the words of the SDK; `members`: what was being added or deleted. */
export function ipsetError(
  reason: unknown,
  operation: string,
  members: KernelMembers | null = null,
): AntennaError {
  if (!(reason instanceof NetlinkError)) return AntennaError.from(reason, operation);
  const { code, errno } = reason;
  if (code === "aborted" || code === "closed") {
    return new AntennaError({ code, operation, message: reason.message, cause: reason });
  }
  if (code === "unavailable") {
    return new AntennaError({ code: "unsupported", operation, message: reason.message, cause: reason });
  }
  if (errno === EPERM) {
    return new AntennaError({
      code: "not-permitted",
      operation,
      message: "needs CAP_NET_ADMIN in the network namespace",
      detail: reason.message,
      cause: reason,
    });
  }
  const words = ipsetErrorText(errno);
  const line = refusedLine(reason);
  const member = members !== null && line !== null ? ` at member ${members.describe(line - 1)}` : "";
  return new AntennaError({
    code: errno === IPSET_ERR_FIND_TYPE ? "unsupported" : "kernel-refused",
    operation,
    message: `${words ?? "the kernel refused"}${member}`,
    detail: words === null ? reason.message : `ipset error ${errno}: ${words}${member}`,
    cause: reason,
  });
}

/** Of a message with many members the kernel repeats the whole, with the line that it refused. */
function refusedLine({ request }: NetlinkError): number | null {
  if (request === null || request.length < nfgenmsgBytes) return null;
  const attributes = new AttributeReader(request, nfgenmsgBytes);
  try {
    while (attributes.next()) if (attributes.type === IPSET_ATTR_LINENO) return attributes.be32();
  } catch {
    return null;
  }
  return null;
}
