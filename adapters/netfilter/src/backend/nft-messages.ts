import { createHash, type Hash } from "node:crypto";
import { AttributeReader, AttributeWriter, type Message, type Request } from "@antenna/netlink";
import type { Family } from "@antenna/sdk";

/** Numbers of linux/netfilter/nf_tables.h and nfnetlink.h. */
const NFNL_SUBSYS_NFTABLES = 10;
export const NFNLGRP_NFTABLES = 7;
const message = (number: number) => (NFNL_SUBSYS_NFTABLES << 8) | number;
export const NFT_MSG_NEWTABLE = message(0);
export const NFT_MSG_GETTABLE = message(1);
export const NFT_MSG_DELTABLE = message(2);
export const NFT_MSG_NEWCHAIN = message(3);
export const NFT_MSG_GETCHAIN = message(4);
export const NFT_MSG_DELCHAIN = message(5);
export const NFT_MSG_NEWRULE = message(6);
export const NFT_MSG_GETRULE = message(7);
export const NFT_MSG_DELRULE = message(8);
export const NFT_MSG_NEWGEN = message(15);
export const NFT_MSG_GETGEN = message(16);

/** The same place in tables, chains and rules. */
const NFTA_TABLE_NAME = 1;
const NFTA_TABLE_FLAGS = 2;
const NFT_TABLE_F_DORMANT = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_EXPRESSIONS = 4;
const NFTA_RULE_USERDATA = 7;
const NFTA_EXPR_NAME = 1;
const NFTA_EXPR_DATA = 2;
const NFTA_IMMEDIATE_DATA = 2;
const NFTA_DATA_VERDICT = 2;
const NFTA_VERDICT_CODE = 1;
const NFTA_VERDICT_CHAIN = 2;
const NFTA_GEN_ID = 1;
const NFTA_GEN_PROC_PID = 2;
const NFTA_GEN_PROC_NAME = 3;

const NFT_JUMP = -3;
const nfgenmsgBytes = 4;

/** NFPROTO_* of a family. */
export function protocolFamily(family: Family): number {
  return family === 4 ? 2 : 10;
}

/** Families whose chains see packets of this one: its own, and inet. */
export function protocolFamilies(family: Family): readonly (readonly [number: number, name: string])[] {
  return [
    [protocolFamily(family), family === 4 ? "ip" : "ip6"],
    [1, "inet"],
  ];
}

/** A get or dump request; `table` narrows a dump of rules in the kernel. */
export function nftRequest(type: number, flags: number, family: number, table: string | null): Request {
  const writer = new AttributeWriter(64).putU8(family).putU8(0).putU16(0);
  if (table !== null) writer.string(NFTA_RULE_TABLE, table);
  return { type, flags, payload: writer.copy() };
}

export interface Generation {
  readonly id: number;
  readonly pid: number;
  readonly name: string;
}

export function readGeneration(message: Message): Generation {
  const attributes = new AttributeReader(message.bytes, message.start + nfgenmsgBytes, message.end);
  let id = 0;
  let pid = 0;
  let name = "";
  while (attributes.next()) {
    if (attributes.type === NFTA_GEN_ID) id = attributes.be32();
    else if (attributes.type === NFTA_GEN_PROC_PID) pid = attributes.be32();
    else if (attributes.type === NFTA_GEN_PROC_NAME) name = attributes.string();
  }
  return { id, pid, name };
}

export interface NftName {
  readonly family: number;
  readonly table: string;
  /** null: the message is about a table. */
  readonly chain: string | null;
}

/** Which object a message about a table, chain or rule is about. */
export function readName(message: Message): NftName {
  const attributes = new AttributeReader(message.bytes, message.start + nfgenmsgBytes, message.end);
  const chainAt =
    message.type === NFT_MSG_NEWRULE || message.type === NFT_MSG_DELRULE
      ? NFTA_RULE_CHAIN
      : message.type === NFT_MSG_NEWCHAIN || message.type === NFT_MSG_DELCHAIN
        ? NFTA_CHAIN_NAME
        : null;
  let table = "";
  let chain: string | null = null;
  while (attributes.next()) {
    if (attributes.type === NFTA_TABLE_NAME) table = attributes.string();
    else if (attributes.type === chainAt) chain = attributes.string();
  }
  return { family: message.bytes[message.start] ?? 0, table, chain };
}

/** True when the chains of the table are switched off: hooks do not call them. */
export function readDormant(message: Message): boolean {
  const attributes = new AttributeReader(message.bytes, message.start + nfgenmsgBytes, message.end);
  while (attributes.next()) {
    if (attributes.type === NFTA_TABLE_FLAGS) return (attributes.be32() & NFT_TABLE_F_DORMANT) !== 0;
  }
  return false;
}

export interface BaseChain {
  readonly name: string;
  readonly table: string;
  /** NF_INET_* of the hook that calls it; null: none does. */
  readonly hook: number | null;
  /** NF_ACCEPT is 1; null without a hook. */
  readonly policy: number | null;
}

export function readChain(message: Message): BaseChain {
  const attributes = new AttributeReader(message.bytes, message.start + nfgenmsgBytes, message.end);
  let table = "";
  let name = "";
  let hook: number | null = null;
  let policy: number | null = null;
  while (attributes.next()) {
    if (attributes.type === NFTA_TABLE_NAME) table = attributes.string();
    else if (attributes.type === NFTA_CHAIN_NAME) name = attributes.string();
    else if (attributes.type === NFTA_CHAIN_HOOK) hook = readHook(attributes.enter());
    else if (attributes.type === NFTA_CHAIN_POLICY) policy = attributes.be32();
  }
  return { table, name, hook, policy };
}

function readHook(attributes: AttributeReader): number | null {
  while (attributes.next()) if (attributes.type === NFTA_HOOK_HOOKNUM) return attributes.be32();
  return null;
}

/** Reads rules one after the other without keeping any; readers are used again. */
export class RuleReader {
  readonly #rule = new AttributeReader();
  readonly #list = new AttributeReader();
  readonly #element = new AttributeReader();
  readonly #inner = new AttributeReader();
  #expressions: [start: number, end: number] | null = null;
  #userData: [start: number, end: number] | null = null;
  #bytes: Uint8Array = new Uint8Array();

  table = "";
  chain = "";

  read(message: Message): void {
    const rule = this.#rule.reset(message.bytes, message.start + nfgenmsgBytes, message.end);
    this.#bytes = message.bytes;
    this.#expressions = null;
    this.#userData = null;
    this.table = "";
    this.chain = "";
    while (rule.next()) {
      if (rule.type === NFTA_RULE_TABLE) this.table = rule.string();
      else if (rule.type === NFTA_RULE_CHAIN) this.chain = rule.string();
      else if (rule.type === NFTA_RULE_EXPRESSIONS) this.#expressions = [rule.start, rule.end];
      else if (rule.type === NFTA_RULE_USERDATA) this.#userData = [rule.start, rule.end];
    }
  }

  /** Feeds what the rule does to the hash: everything but its handle and its counters. */
  digest(hash: Hash): void {
    hash.update("rule\0");
    for (const [name, start, end] of this.#each()) {
      hash.update(`${name}\0${end - start}\0`);
      if (name !== "counter") hash.update(this.#bytes.subarray(start, end));
    }
    if (this.#userData !== null) hash.update("userdata\0").update(this.#bytes.subarray(...this.#userData));
  }

  /** The chain it jumps to without any condition; null: it does something else, or more. */
  plainJump(): string | null {
    let target: string | null = null;
    for (const [name, start, end] of this.#each()) {
      if (name === "counter") continue;
      if (name !== "immediate" || target !== null) return null;
      target = this.#jumpTarget(start, end);
      if (target === null) return null;
    }
    return target;
  }

  *#each(): Iterable<readonly [name: string, start: number, end: number]> {
    if (this.#expressions === null) return;
    const list = this.#list.reset(this.#bytes, ...this.#expressions);
    while (list.next()) {
      let name = "";
      let [start, end] = [0, 0];
      const element = list.enter(this.#element);
      while (element.next()) {
        if (element.type === NFTA_EXPR_NAME) name = element.string();
        else if (element.type === NFTA_EXPR_DATA) [start, end] = [element.start, element.end];
      }
      yield [name, start, end];
    }
  }

  #jumpTarget(start: number, end: number): string | null {
    const verdict = descend(this.#inner.reset(this.#bytes, start, end), [
      NFTA_IMMEDIATE_DATA,
      NFTA_DATA_VERDICT,
    ]);
    if (verdict === null) return null;
    let code = 0;
    let chain: string | null = null;
    while (verdict.next()) {
      if (verdict.type === NFTA_VERDICT_CODE) code = verdict.be32() | 0;
      else if (verdict.type === NFTA_VERDICT_CHAIN) chain = verdict.string();
    }
    return code === NFT_JUMP ? chain : null;
  }
}

function descend(reader: AttributeReader, path: readonly number[]): AttributeReader | null {
  let current = reader;
  for (const type of path) {
    let found = false;
    while (!found && current.next()) found = current.type === type;
    if (!found) return null;
    current = current.enter();
  }
  return current;
}

export function newFingerprint(): Hash {
  return createHash("sha256");
}
