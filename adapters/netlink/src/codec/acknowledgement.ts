import {
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLMSG_DONE,
  NLMSG_HEADER_BYTES,
  NLMSGERR_ATTR_MSG,
  NLMSGERR_ATTR_OFFS,
} from "../constants.js";
import { errnoText } from "../errno.js";
import { NetlinkError } from "../netlink-error.js";
import type { Message } from "../transport.js";
import { AttributeReader, malformed } from "./attribute-reader.js";
import { littleEndian } from "./byte-order.js";

/**
 * What NLMSG_ERROR or NLMSG_DONE says of the request `operation`: null is success. A refusal carries the kernel's own
 * words where it gives them (NETLINK_EXT_ACK). Source: linux/netlink.h, struct nlmsgerr.
 */
export function readAcknowledgement(message: Message, operation: string): NetlinkError | null {
  const { bytes, start, end, flags, type } = message;
  // NLMSG_DONE of some families comes without a number: nothing went wrong.
  if (type === NLMSG_DONE && end - start < 4) return null;
  if (end - start < 4) throw malformed(`an acknowledgement of ${end - start} bytes`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const errno = -view.getInt32(start, littleEndian);
  if (errno <= 0) return null;

  let attributes = start + 4;
  let request: Uint8Array | null = null;
  if (type !== NLMSG_DONE) {
    if (end - start < 4 + NLMSG_HEADER_BYTES) throw malformed(`an acknowledgement of ${end - start} bytes`);
    const requested = view.getUint32(start + 4, littleEndian);
    if ((flags & NLM_F_CAPPED) !== 0) {
      attributes += NLMSG_HEADER_BYTES;
    } else {
      if (requested < NLMSG_HEADER_BYTES || requested > end - attributes) {
        throw malformed(`an acknowledgement repeats ${requested} bytes, ${end - attributes} are there`);
      }
      request = bytes.slice(attributes + NLMSG_HEADER_BYTES, attributes + requested);
      attributes += (requested + 3) & ~3;
    }
  }
  let words: string | null = null;
  let offset: number | null = null;
  if ((flags & NLM_F_ACK_TLVS) !== 0 && attributes < end) {
    const reader = new AttributeReader(bytes, attributes, end);
    while (reader.next()) {
      if (reader.type === NLMSGERR_ATTR_MSG) words = reader.string();
      else if (reader.type === NLMSGERR_ATTR_OFFS) offset = reader.u32();
    }
  }
  const where = offset === null ? "" : ` (at byte ${offset} of the message)`;
  return new NetlinkError({
    code: "refused",
    operation,
    errno,
    message: words === null ? `${errnoText(errno)}${where}` : `${errnoText(errno)}: ${words}${where}`,
    ...(request === null ? {} : { request }),
  });
}
