import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNetwork } from "../lab/network.js";
import { Workload } from "../lab/workload.js";

export type Backend = "nft" | "legacy";
export const backends: readonly Backend[] = ["nft", "legacy"];

/** Two hosts on a bridge: a server that is to have an agent, and a client without one. */
export interface Arena extends AsyncDisposable {
  readonly server: Workload;
  readonly client: Workload;
  readonly folder: string;
}

export const clientAddress = "10.78.0.1";
export const serverAddress = "10.78.0.2";

export interface ArenaOptions {
  /** Addresses beside the first ones: `10.78.0.11/24`, `fd00:78::2/64`. */
  readonly clientAddresses?: readonly string[];
  readonly serverAddresses?: readonly string[];
}

/** The server's owner has one rule of his own in the backend, which is how the agent knows which one is in use. */
export async function createArena(backend: Backend, options: ArenaOptions = {}): Promise<Arena> {
  const folder = await mkdtemp(join(tmpdir(), "antenna-e2e-"));
  const network = await createNetwork();
  const made: AsyncDisposable[] = [network];
  const dispose = async () => {
    for (const part of made.splice(0).reverse()) await part[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  };
  try {
    const hosts = await Promise.all([
      network.addHost("client", [`${clientAddress}/24`, ...(options.clientAddresses ?? [])]),
      network.addHost("server", [`${serverAddress}/24`, ...(options.serverAddresses ?? [])]),
    ]);
    const client = new Workload("client", clientAddress, [], hosts[0], folder);
    made.push(client);
    const server = new Workload("server", serverAddress, [], hosts[1], folder);
    made.push(server);
    await hosts[1].exec(`/usr/sbin/iptables-${backend}`, [
      "-A",
      "INPUT",
      "-m",
      "comment",
      "--comment",
      "owner",
      "-j",
      "ACCEPT",
    ]);
    return { server, client, folder, [Symbol.asyncDispose]: dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** UDP port 7000 from the client is allowed; with `more`, further ports too. Nothing else is. */
export function udpPolicy(more: readonly number[] = []): string {
  return [
    "mode: full",
    "sets:",
    `  client: ["${clientAddress}"]`,
    "rules:",
    `  - { id: udp-in, direction: in, action: allow, peers: [client], services: [{ protocol: udp, ports: [${[7000, ...more].join(", ")}] }] }`,
    "",
  ].join("\n");
}
