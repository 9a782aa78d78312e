import { setTimeout } from "node:timers/promises";
import {
  AF_NETLINK,
  AttributeWriter,
  KernelSocket,
  MessageReader,
  NETLINK_NETFILTER,
  NLM_F_ACK,
  NLM_F_REQUEST,
  NLMSG_ERROR,
  SOCK_RAW,
} from "@antenna/netlink";
import { AntennaError, type Family } from "@antenna/sdk";
import { NFT_MSG_DELTABLE, protocolFamily } from "../backend/nft-messages.js";

/** linux/netfilter/nfnetlink.h. */
const NFNL_MSG_BATCH_BEGIN = 0x10;
const NFNL_MSG_BATCH_END = 0x11;
const NFNL_SUBSYS_NFTABLES = 10;
const NFNL_BATCH_GENID = 1;
const NFTA_TABLE_NAME = 1;
const answerMs = 1_000;

/**
 * Deletes the filter table, but only if the ruleset still is that of `generation`: what was found empty then is empty
 * when it goes. True: it is gone; false: somebody wrote meanwhile (ERESTART).
 */
export async function deleteFilterTable(
  namespace: string | null,
  family: Family,
  generation: number,
): Promise<boolean> {
  const operation = `delete the empty nft table filter of IPv${family}`;
  using socket = KernelSocket.open({
    family: AF_NETLINK,
    type: SOCK_RAW,
    protocol: NETLINK_NETFILTER,
    namespace,
  });
  socket.bind(new Uint8Array(new Uint16Array([AF_NETLINK, 0, 0, 0, 0, 0]).buffer));
  const batch = new AttributeWriter(128);
  put(batch, NFNL_MSG_BATCH_BEGIN, NLM_F_REQUEST, 0, (writer) => writer.be32(NFNL_BATCH_GENID, generation));
  put(batch, NFT_MSG_DELTABLE, NLM_F_REQUEST | NLM_F_ACK, protocolFamily(family), (writer) =>
    writer.string(NFTA_TABLE_NAME, "filter"),
  );
  put(batch, NFNL_MSG_BATCH_END, NLM_F_REQUEST, 0, () => undefined);
  socket.send(batch.copy());

  const bytes = new Uint8Array(8192);
  const lengths = new Int32Array(1);
  const until = performance.now() + answerMs;
  while (performance.now() < until) {
    if (socket.receive(bytes, bytes.length, lengths) <= 0) {
      await setTimeout(5);
      continue;
    }
    const reader = new MessageReader(bytes, 0, Math.max(0, lengths[0] ?? 0));
    while (reader.next()) {
      if (reader.type !== NLMSG_ERROR) continue;
      const errno = -new DataView(bytes.buffer).getInt32(reader.start, true);
      if (errno === 0) return true;
      if (errno === ERESTART) return false;
      throw new AntennaError({
        code: "kernel-refused",
        operation,
        message: `errno ${errno}`,
        detail: `errno ${errno}`,
      });
    }
  }
  throw new AntennaError({ code: "kernel-refused", operation, message: "the kernel did not answer" });
}

const ERESTART = 85;

function put(
  batch: AttributeWriter,
  type: number,
  flags: number,
  family: number,
  attributes: (writer: AttributeWriter) => unknown,
): void {
  const body = new AttributeWriter(64).putU8(family).putU8(0);
  body.putBe16(type === NFT_MSG_DELTABLE ? 0 : NFNL_SUBSYS_NFTABLES);
  attributes(body);
  const payload = body.copy();
  batch
    .putU32(16 + payload.length)
    .putU16(type)
    .putU16(flags)
    .putU32(1)
    .putU32(0)
    .putBytes(payload);
}
