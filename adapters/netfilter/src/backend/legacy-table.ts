import { AF_INET, AF_INET6, KernelSocket, NetlinkError, SOCK_RAW } from "@antenna/netlink";
import type { Family } from "@antenna/sdk";
import { isOurChain, jumps } from "../render/chain.js";
import { LegacyBlob, layouts, maskCounters } from "./legacy-blob.js";
import type { NetworkNamespace } from "./network-namespace.js";
import { nothingRead, type RuleTable, type TableReading } from "./rule-table.js";

/** linux/netfilter_ipv4/ip_tables.h; ip6_tables.h has the same numbers at level SOL_IPV6. */
const IPT_SO_GET_INFO = 64;
const IPT_SO_GET_ENTRIES = 65;
const SOL_IP = 0;
const SOL_IPV6 = 41;
const IPPROTO_RAW = 255;
const nameBytes = 32;
const infoBytes = 84;
/** struct ipt_get_entries: name, size, and alignment of the entries to 8. */
const entriesHeaderBytes = 40;
const EAGAIN = 11;
const mostReads = 10;

/** The tables of iptables-legacy, read by getsockopt over one open socket a family. */
export class LegacyTable implements RuleTable {
  readonly backend = "legacy";
  readonly #namespace: NetworkNamespace;
  readonly #sockets = new Map<Family, KernelSocket>();
  readonly #buffers = new Map<Family, Uint8Array>();
  /** The entries as read last, a view on the buffer. */
  readonly #last = new Map<Family, Uint8Array>();
  readonly #entries = new Map<Family, number>();
  readonly #remembered = new Map<Family, Buffer>();
  /** Families whose filter table was seen registered: it stays so until its module is unloaded. */
  readonly #known = new Set<Family>();

  constructor(namespace: NetworkNamespace) {
    this.#namespace = namespace;
  }

  async read(family: Family): Promise<TableReading> {
    if (!this.#known.has(family)) {
      if (!(await this.registered(family)).includes("filter")) return nothingRead;
      this.#known.add(family);
    }
    return this.readRegistered(family);
  }

  /** Like `read`, for a caller who knows that the table is registered: asking for one that is not makes it. */
  readRegistered(family: Family): TableReading {
    const blob = this.#blob(family, "filter");
    const chains = new Map<string, string>();
    for (const name of blob.chains()) if (isOurChain(name)) chains.set(name, blob.fingerprint(name));
    const empty = new Set([...chains.keys()].filter((name) => blob.rules(name) === 0));
    const [input, output] = jumps.map((jump) => blob.jumpsTo(jump.builtin, jump.entry));
    const none = { rules: 0, jumps: [] };
    return {
      generation: null,
      exists: true,
      chains,
      empty,
      builtins: { INPUT: input ?? none, OUTPUT: output ?? none },
    };
  }

  /** True when the filter table, counters apart, is byte for byte what `remember` saw. The table must be registered. */
  unchanged(family: Family): boolean {
    const remembered = this.#remembered.get(family);
    if (remembered === undefined) return false;
    const { entries } = this.#entriesOf(family, "filter");
    maskCounters(entries, layouts[family]);
    return remembered.equals(entries);
  }

  /** Keeps what was read last. */
  remember(family: Family): void {
    const read = this.#last.get(family);
    if (read !== undefined) this.#remembered.set(family, Buffer.from(read));
  }

  /** Entries of the filter tables of both families, as read last. */
  get entries(): number {
    return (this.#entries.get(4) ?? 0) + (this.#entries.get(6) ?? 0);
  }

  async countForeign(): Promise<number> {
    let count = 0;
    for (const family of [4, 6] as const) {
      for (const table of await this.registered(family)) {
        const blob = this.#blob(family, table);
        for (const chain of blob.chains()) if (!isOurChain(chain)) count += blob.rules(chain);
        if (table !== "filter") continue;
        for (const jump of jumps) count -= blob.jumpsTo(jump.builtin, jump.entry).jumps.length;
      }
    }
    return count;
  }

  /** Names of the tables that are registered; asks nobody who would register one. */
  async registered(family: Family): Promise<readonly string[]> {
    const names = await this.#namespace.readProcNet(namesFile(family));
    return names === null ? [] : names.split("\n").filter((name) => name !== "");
  }

  /** True when there may be tables, and only uid 0 may see which. */
  isHidden(family: Family): boolean {
    return this.#namespace.hidesProcNet(namesFile(family));
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.close();
    this.#sockets.clear();
  }

  #blob(family: Family, table: string): LegacyBlob {
    const { entries, info } = this.#entriesOf(family, table);
    return new LegacyBlob(entries, info, layouts[family]);
  }

  #entriesOf(family: Family, table: string): { readonly entries: Uint8Array; readonly info: Uint8Array } {
    const socket = this.#socket(family);
    const level = family === 4 ? SOL_IP : SOL_IPV6;
    for (let attempt = 1; ; attempt++) {
      const info = new Uint8Array(infoBytes);
      info.set(new TextEncoder().encode(table).subarray(0, nameBytes - 1));
      socket.getOption(level, IPT_SO_GET_INFO, info);
      const size = new DataView(info.buffer).getUint32(infoBytes - 4, true);
      const bytes = this.#buffer(family, entriesHeaderBytes + size);
      // Of a match's name the kernel writes no more than the letters: what stood there before would stay.
      bytes.fill(0);
      bytes.set(info.subarray(0, nameBytes));
      new DataView(bytes.buffer, bytes.byteOffset).setUint32(nameBytes, size, true);
      try {
        socket.getOption(level, IPT_SO_GET_ENTRIES, bytes);
      } catch (error) {
        // The table changed its size between the two calls.
        const changed = error instanceof NetlinkError && error.errno === EAGAIN;
        if (!changed || attempt >= mostReads) throw error;
        continue;
      }
      const entries = bytes.subarray(entriesHeaderBytes);
      if (table === "filter") {
        this.#last.set(family, entries);
        this.#entries.set(family, new DataView(info.buffer).getUint32(infoBytes - 8, true));
      }
      return { entries, info };
    }
  }

  #socket(family: Family): KernelSocket {
    let socket = this.#sockets.get(family);
    if (socket === undefined) {
      socket = KernelSocket.open({
        family: family === 4 ? AF_INET : AF_INET6,
        type: SOCK_RAW,
        protocol: IPPROTO_RAW,
        namespace: this.#namespace.path,
      });
      this.#sockets.set(family, socket);
    }
    return socket;
  }

  /** A view of exactly `length` bytes on a buffer that is used again. */
  #buffer(family: Family, length: number): Uint8Array {
    let buffer = this.#buffers.get(family);
    // A view on an older one must not change under whoever remembers it.
    this.#last.delete(family);
    if (buffer === undefined || buffer.length < length || buffer.length > 4 * length) {
      buffer = new Uint8Array(Math.ceil(length / 4096) * 4096);
      this.#buffers.set(family, buffer);
    }
    return buffer.subarray(0, length);
  }
}

function namesFile(family: Family): string {
  return family === 4 ? "ip_tables_names" : "ip6_tables_names";
}
