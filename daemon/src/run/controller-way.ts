import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { formatAddress, parseAddress } from "@antenna/sdk";
import type { ForeignRule } from "../documents.js";

/** A packet on its way out. */
export interface OutgoingPacket {
  readonly protocol: number;
  readonly peer: Uint8Array;
  readonly port: number;
}

export interface ControllerWayOptions {
  /** HOST:PORT */
  readonly controller: string;
  /** Whom this host asks for names. */
  readonly resolvers: () => readonly string[];
  /** The owner's rules that stop such a packet, of the namespace that the daemon dials from. */
  readonly foreign: (packet: OutgoingPacket) => Promise<readonly ForeignRule[]>;
}

const [tcp, udp, dnsPort] = [6, 17, 53];
/** Looking starts a few programs, and whoever watches the status asks often. */
const keptMs = 2_000;
const mostAddresses = 16;
const mostResolvers = 3;

/** Which of the owner's rules close the way from this host to its controller. They are told, never overridden. */
export class ControllerWay {
  readonly #options: ControllerWayOptions;
  #found: { readonly at: number; readonly words: Promise<string | null> } | null = null;

  constructor(options: ControllerWayOptions) {
    this.#options = options;
  }

  /** In a sentence; null: none of them does, as far as can be read. Never rejects. */
  inTheWay(): Promise<string | null> {
    const now = performance.now();
    if (this.#found === null || now - this.#found.at > keptMs)
      this.#found = { at: now, words: this.#look().catch(() => null) };
    return this.#found.words;
  }

  async #look(): Promise<string | null> {
    const { controller, resolvers } = this.#options;
    const { host, port } = splitController(controller);
    const addresses = await controllerAddresses(host).catch(() => null);
    if (addresses !== null) return await this.#stopping(addresses, tcp, port, controller);
    const servers = resolvers().slice(0, mostResolvers);
    return await this.#stopping(servers, udp, dnsPort, `the resolver that knows ${host}`);
  }

  /** The first rule that stops what goes to any of them. */
  async #stopping(
    addresses: readonly string[],
    protocol: number,
    port: number,
    what: string,
  ): Promise<string | null> {
    let doubt: string | null = null;
    for (const address of addresses) {
      const peer = parseAddress(address);
      const rules = await this.#options.foreign({ protocol, peer, port });
      const way = `${protocol === tcp ? "TCP" : "UDP"} port ${port} of ${formatAddress(peer)}`;
      const closed = rules.find(({ verdict }) => verdict !== "unknown");
      if (closed !== undefined) {
        return `the owner's rule \`${closed.rule}\` (table ${closed.table}) closes the way to ${what}; Antenna never overrides it: let ${way} pass before it`;
      }
      const [unsure] = rules;
      if (unsure !== undefined)
        doubt ??= `the owner's rule \`${unsure.rule}\` (table ${unsure.table}) may close the way to ${what} (${unsure.reason ?? "it can't be judged"})`;
    }
    return doubt;
  }
}

/** `HOST:PORT`, `[2001:db8::1]:8443`, taken apart. */
export function splitController(controller: string): { readonly host: string; readonly port: number } {
  const at = controller.lastIndexOf(":");
  const host = controller.slice(0, at).replace(/^\[|\]$/g, "");
  return { host, port: Number(controller.slice(at + 1)) };
}

/** As the system resolves names; rejects when it can't. */
export async function controllerAddresses(host: string): Promise<readonly string[]> {
  if (isIP(host) !== 0) return [host];
  const found = await lookup(host, { all: true, order: "verbatim" });
  return found.map(({ address }) => address.replace(/%.*$/, "")).slice(0, mostAddresses);
}
