import { createHash } from "node:crypto";
import type { Family } from "@antenna/sdk";
import { AntennaError } from "@antenna/sdk";
import type { Builtin, BuiltinReading } from "./rule-table.js";

/** Where things stand in struct ipt_entry and ip6t_entry on 64-bit hosts. */
export interface LegacyLayout {
  readonly targetOffset: number;
  readonly nextOffset: number;
  readonly comeFrom: number;
  readonly counters: number;
  readonly entryBytes: number;
}

export const layouts: Readonly<Record<Family, LegacyLayout>> = {
  4: { targetOffset: 88, nextOffset: 90, comeFrom: 92, counters: 96, entryBytes: 112 },
  6: { targetOffset: 140, nextOffset: 142, comeFrom: 144, counters: 152, entryBytes: 168 },
};

/** struct xt_entry_target: size, name of 29, revision. */
const targetHeaderBytes = 32;
const standardTargetBytes = 40;
const counterBytes = 16;
/** struct ipt_getinfo: name 32, valid_hooks 4, hook_entry 5 × 4, underflow 5 × 4. */
const hookEntries = 36;
const underflows = 56;
const hooks: Readonly<Record<Builtin, number>> = { INPUT: 1, OUTPUT: 3 };

interface Entry {
  readonly start: number;
  readonly target: number;
  readonly end: number;
}

/**
 * The entries of one legacy table as getsockopt gives them, cut into chains: user chains begin with an ERROR target
 * that carries their name and end with an unconditional return; built-in ones are found by the table's info.
 * Source: linux/netfilter_ipv4/ip_tables.h, linux/netfilter/x_tables.h, net/ipv4/netfilter/ip_tables.c.
 */
export class LegacyBlob {
  /** The entries with their counters set to zero. */
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #layout: LegacyLayout;
  readonly #chains = new Map<string, Entry[]>();
  readonly #nameAt = new Map<number, string>();

  /** @param bytes the entries; their counters are overwritten. */
  constructor(bytes: Uint8Array, info: Uint8Array, layout: LegacyLayout) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#layout = layout;
    this.#cut(info);
  }

  chains(): Iterable<string> {
    return this.#chains.keys();
  }

  /** Number of rules, the chain's closing policy or return not counted. */
  rules(chain: string): number {
    return this.#chains.get(chain)?.length ?? 0;
  }

  /**
   * Hash of a chain's rules. Counters and the kernel's marks are left out, and jumps count by the name of their chain:
   * their offsets shift whenever somebody writes elsewhere in the table.
   */
  fingerprint(chain: string): string {
    const hash = createHash("sha256");
    const { comeFrom, counters } = this.#layout;
    for (const { start, target, end } of this.#chains.get(chain) ?? []) {
      const jump = this.#jump(target);
      hash.update(this.bytes.subarray(start, start + comeFrom));
      const rest = start + counters;
      if (jump === null) hash.update(this.bytes.subarray(rest, end));
      else hash.update(this.bytes.subarray(rest, target)).update(`chain ${jump}`);
    }
    return hash.digest("hex");
  }

  jumpsTo(builtin: Builtin, chain: string): BuiltinReading {
    const entries = this.#chains.get(builtin) ?? [];
    const jumps = entries.flatMap((entry, index) =>
      this.#jump(entry.target) === chain && this.#unconditional(entry) ? [index] : [],
    );
    return { rules: entries.length, jumps };
  }

  #cut(info: Uint8Array): void {
    const infoView = new DataView(info.buffer, info.byteOffset, info.length);
    const begins = new Map<number, Builtin | "other">();
    const ends = new Set<number>();
    for (let hook = 0; hook < 5; hook++) {
      if ((infoView.getUint32(32, true) & (1 << hook)) === 0) continue;
      begins.set(infoView.getUint32(hookEntries + 4 * hook, true), nameOfHook(hook));
      ends.add(infoView.getUint32(underflows + 4 * hook, true));
    }
    const entries = [...maskedEntries(this.bytes, this.#view, this.#layout)];
    let current: Entry[] | null = null;
    for (const [index, entry] of entries.entries()) {
      const builtin = begins.get(entry.start);
      if (builtin !== undefined) {
        current = [];
        this.#chains.set(builtin === "other" ? `hook ${entry.start}` : builtin, current);
      }
      const head = this.#errorName(entry);
      if (head !== null) {
        this.#closeUserChain(current, entries[index - 1]);
        current = [];
        if (index < entries.length - 1) {
          this.#chains.set(head, current);
          // A jump leads to the entry after the head.
          this.#nameAt.set(entry.end, head);
        }
        continue;
      }
      if (!ends.has(entry.start)) current?.push(entry);
      else current = null;
    }
  }

  /** The last entry of a user chain is the return that every chain ends with, not a rule. */
  #closeUserChain(chain: Entry[] | null, last: Entry | undefined): void {
    if (chain !== null && last !== undefined && chain[chain.length - 1] === last) chain.pop();
  }

  /** Name in an ERROR target: the head of a user chain, or the table's last entry; null: no ERROR target. */
  #errorName(entry: Entry): string | null {
    if (this.#text(entry.target + 2, 29) !== "ERROR") return null;
    return this.#text(entry.target + targetHeaderBytes, entry.end - entry.target - targetHeaderBytes);
  }

  /** Chain that a standard target jumps or goes to, goto marked; null: another verdict or target. */
  #jump(target: number): string | null {
    const size = this.#view.getUint16(target, true);
    if (size < standardTargetBytes || this.bytes[target + 2] !== 0) return null;
    return this.#nameAt.get(this.#view.getInt32(target + targetHeaderBytes, true)) ?? null;
  }

  /** No match, no address, interface, protocol or flag: all zero up to the counters but the two offsets. */
  #unconditional({ start, target }: Entry): boolean {
    const { entryBytes, targetOffset, comeFrom } = this.#layout;
    if (target !== start + entryBytes) return false;
    for (let at = start; at < start + comeFrom; at++) {
      const isOffset = at >= start + targetOffset && at < start + targetOffset + 4;
      if (!isOffset && this.bytes[at] !== 0) return false;
    }
    return true;
  }

  #text(at: number, length: number): string {
    const bytes = this.bytes.subarray(at, at + length);
    const nul = bytes.indexOf(0);
    return Buffer.from(nul < 0 ? bytes : bytes.subarray(0, nul)).toString("latin1");
  }
}

/** Sets the counters of all entries to zero, so that two readings of the same rules are the same bytes. */
export function maskCounters(bytes: Uint8Array, layout: LegacyLayout): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (const _ of maskedEntries(bytes, view, layout));
}

function* maskedEntries(bytes: Uint8Array, view: DataView, layout: LegacyLayout): Iterable<Entry> {
  const { targetOffset, nextOffset, entryBytes, counters } = layout;
  for (let start = 0; start < bytes.length; ) {
    if (start + entryBytes > bytes.length) throw broken("an entry is cut off");
    const target = start + view.getUint16(start + targetOffset, true);
    const end = start + view.getUint16(start + nextOffset, true);
    if (target < start + entryBytes || end < target + targetHeaderBytes || end > bytes.length) {
      throw broken("an entry has impossible offsets");
    }
    bytes.fill(0, start + counters, start + counters + counterBytes);
    yield { start, target, end };
    start = end;
  }
}

function nameOfHook(hook: number): Builtin | "other" {
  if (hook === hooks.INPUT) return "INPUT";
  return hook === hooks.OUTPUT ? "OUTPUT" : "other";
}

function broken(message: string): AntennaError {
  return new AntennaError({ code: "internal", operation: "read a legacy table", message });
}
