import type { Listener, Message, NetlinkTransport } from "@antenna/netlink";
import type { ChangeNotice, Clock } from "@antenna/sdk";
import {
  NFNLGRP_NFTABLES,
  NFT_MSG_DELCHAIN,
  NFT_MSG_DELRULE,
  NFT_MSG_DELTABLE,
  NFT_MSG_NEWCHAIN,
  NFT_MSG_NEWGEN,
  NFT_MSG_NEWRULE,
  NFT_MSG_NEWTABLE,
  type NftName,
  protocolFamily,
  readGeneration,
  readName,
} from "../backend/nft-messages.js";
import { isOurChain, jumps } from "../render/chain.js";

const about: ReadonlySet<number> = new Set([
  NFT_MSG_NEWTABLE,
  NFT_MSG_DELTABLE,
  NFT_MSG_NEWCHAIN,
  NFT_MSG_DELCHAIN,
  NFT_MSG_NEWRULE,
  NFT_MSG_DELRULE,
]);
/** In a storm of changes the next notice waits so long. */
const pauseMs = 100;
/** Changes told while we write ourselves; more than these count as an overflow. */
const mostHeld = 256;

interface Change {
  readonly generation: number;
  readonly notice: ChangeNotice;
}

/**
 * Changes to the filter tables of iptables-nft that may concern us, as the kernel tells them: the objects of a commit,
 * and then its generation with the name of who made it. Commits of our own are known by their generation.
 */
export class NftNotices {
  readonly #netlink: NetlinkTransport;
  readonly #clock: Clock;
  readonly #tell: (notice: ChangeNotice) => void;
  readonly #own = new Set<number>();
  #held: Change[] | null = null;
  #subscription: Disposable | null = null;
  /** What the commit that is being told touched of ours. */
  #touched: string | null = null;

  #toldAt = Number.NEGATIVE_INFINITY;
  #waiting: { readonly timer: Disposable; notice: ChangeNotice } | null = null;

  constructor(netlink: NetlinkTransport, clock: Clock, tell: (notice: ChangeNotice) => void) {
    this.#netlink = netlink;
    this.#clock = clock;
    this.#tell = tell;
  }

  start(): void {
    if (this.#subscription !== null) return;
    const listener: Listener = {
      message: (message) => this.#message(message),
      overflow: () =>
        this.#tell({ scope: "rules", writer: null, reason: "notices of nft changes were lost" }),
    };
    this.#subscription = this.#netlink.listen([NFNLGRP_NFTABLES], listener);
  }

  stop(): void {
    this.#subscription?.[Symbol.dispose]();
    this.#subscription = null;
    this.#touched = null;
    this.#waiting?.timer[Symbol.dispose]();
    this.#waiting = null;
  }

  own(generation: number): void {
    this.#own.add(generation);
    if (this.#own.size > 64) for (const oldest of this.#own) return void this.#own.delete(oldest);
  }

  /** While we write, which generation is ours is not known yet. */
  hold(): void {
    this.#held ??= [];
  }

  release(): void {
    const held = this.#held ?? [];
    this.#held = null;
    for (const change of held) this.#decide(change);
  }

  #message(message: Message): void {
    if (message.type === NFT_MSG_NEWGEN) {
      const { id, pid, name } = readGeneration(message);
      const touched = this.#touched;
      this.#touched = null;
      if (touched === null) return;
      const writer = name === "" ? null : { pid, name };
      const change: Change = { generation: id, notice: { scope: "rules", writer, reason: touched } };
      if (this.#held === null) this.#decide(change);
      else if (this.#held.length < mostHeld) this.#held.push(change);
      return;
    }
    if (this.#touched !== null || !about.has(message.type)) return;
    const name = readName(message);
    if (concernsUs(name))
      this.#touched = `nft: ${verbs[message.type & 0xff] ?? "change"} in ${name.chain ?? name.table}`;
  }

  #decide({ generation, notice }: Change): void {
    if (!this.#own.has(generation)) this.#pass(notice);
  }

  #pass(notice: ChangeNotice): void {
    if (this.#waiting !== null) {
      this.#waiting.notice = notice;
      return;
    }
    const now = this.#clock.now();
    const waitMs = this.#toldAt + pauseMs - now;
    if (waitMs <= 0) {
      this.#toldAt = now;
      this.#tell(notice);
      return;
    }
    const timer = this.#clock.after(waitMs, () => {
      const latest = this.#waiting?.notice ?? notice;
      this.#waiting = null;
      this.#toldAt = this.#clock.now();
      this.#tell(latest);
    });
    this.#waiting = { timer, notice };
  }
}

const verbs: Readonly<Record<number, string>> = {
  [NFT_MSG_NEWTABLE & 0xff]: "new table",
  [NFT_MSG_DELTABLE & 0xff]: "deleted table",
  [NFT_MSG_NEWCHAIN & 0xff]: "new chain",
  [NFT_MSG_DELCHAIN & 0xff]: "deleted chain",
  [NFT_MSG_NEWRULE & 0xff]: "new rule",
  [NFT_MSG_DELRULE & 0xff]: "deleted rule",
};

function concernsUs({ family, table, chain }: NftName): boolean {
  if (table !== "filter" || (family !== protocolFamily(4) && family !== protocolFamily(6))) return false;
  return chain === null || isOurChain(chain) || jumps.some((jump) => jump.builtin === chain);
}
