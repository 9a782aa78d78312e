import { AttributeReader } from "@antenna/netlink";
import { Nfnetlink, nfgenmsg } from "./nfnetlink.js";

const NFNL_SUBSYS_ULOG = 4;
const NFULNL_MSG_CONFIG = 1;
const NFULNL_MSG_PACKET = 0;
const NFULA_CFG_CMD = 1;
const NFULA_CFG_MODE = 2;
const NFULA_CFG_QTHRESH = 5;
const NFULNL_CFG_CMD_BIND = 1;
const NFULNL_COPY_PACKET = 2;
const NFULA_PACKET_HDR = 1;
const NFULA_MARK = 2;
const NFULA_PAYLOAD = 9;
const NFULA_PREFIX = 10;

/** One packet that passed an NFLOG rule. */
export interface Logged {
  readonly prefix: string;
  readonly hook: "INPUT" | "OUTPUT" | "other";
  /** The mark of the packet, not of its flow. */
  readonly mark: number;
  /** From the network header on. */
  readonly packet: Uint8Array;
}

/** Listens to one NFLOG group of a namespace. Source: linux/netfilter/nfnetlink_log.h. */
export class NflogTap implements Disposable {
  readonly #netlink: Nfnetlink;

  constructor(namespace: string, group: number) {
    this.#netlink = new Nfnetlink(namespace);
    const configure = (attribute: number, value: Uint8Array): void => {
      const payload = nfgenmsg(0, group).bytes(attribute, value).copy();
      const errno = this.#netlink.request((NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_CONFIG, 0, payload);
      if (errno !== 0) throw new Error(`NFLOG group ${group}: errno ${errno}`);
    };
    configure(NFULA_CFG_CMD, Uint8Array.of(NFULNL_CFG_CMD_BIND));
    configure(NFULA_CFG_MODE, Uint8Array.of(0, 0, 4, 0, NFULNL_COPY_PACKET, 0));
    configure(NFULA_CFG_QTHRESH, Uint8Array.of(0, 0, 0, 1));
  }

  /** Everything that was logged and not yet taken, in order. */
  take(): readonly Logged[] {
    const logged: Logged[] = [];
    this.#netlink.drain((message) => {
      if (message.type !== ((NFNL_SUBSYS_ULOG << 8) | NFULNL_MSG_PACKET)) return;
      const reader = new AttributeReader(message.bytes, message.start + 4, message.end);
      let prefix = "";
      let mark = 0;
      let hook: Logged["hook"] = "other";
      let packet: Uint8Array = new Uint8Array(0);
      while (reader.next()) {
        if (reader.type === NFULA_MARK) mark = reader.be32();
        if (reader.type === NFULA_PREFIX) prefix = reader.string();
        if (reader.type === NFULA_PAYLOAD) packet = reader.copy();
        if (reader.type === NFULA_PACKET_HDR) hook = hookOf(reader.copy()[2]);
      }
      logged.push({ prefix, hook, mark, packet });
    });
    return logged;
  }

  [Symbol.dispose](): void {
    this.#netlink[Symbol.dispose]();
  }
}

/** NF_INET_LOCAL_IN and NF_INET_LOCAL_OUT of linux/netfilter.h. */
function hookOf(number: number | undefined): Logged["hook"] {
  return number === 1 ? "INPUT" : number === 3 ? "OUTPUT" : "other";
}
