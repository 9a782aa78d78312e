import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { createNamespace, ip, link, type Namespace, uniqueName } from "./namespace.js";

const run = promisify(execFile);

/** Hosts on one bridge, each in a namespace of its own; the bridge stands in a namespace too, so the machine's own network is not touched. */
export interface Network extends AsyncDisposable {
  /** Adds a host with one interface, `eth0`. */
  addHost(name: string, addresses: readonly string[]): Promise<Namespace>;
  /** Every namespace it made. */
  readonly names: readonly string[];
}

export async function createNetwork(): Promise<Network> {
  const hosts: Namespace[] = [];
  const fabric = await createNamespace(uniqueName("antsw"));
  await run(ip, ["-n", fabric.name, "link", "add", "br0", "type", "bridge"]);
  await run(ip, ["-n", fabric.name, "link", "set", "br0", "up"]);
  return {
    get names() {
      return [...hosts, fabric].map((namespace) => namespace.name);
    },
    addHost: async (name, addresses) => {
      const host = await createNamespace(uniqueName(name));
      hosts.push(host);
      const port = `port${hosts.length}`;
      await link(
        { namespace: host, interface: "eth0", addresses },
        { namespace: fabric, interface: port, addresses: [] },
      );
      await run(ip, ["-n", fabric.name, "link", "set", port, "master", "br0"]);
      return host;
    },
    [Symbol.asyncDispose]: async () => {
      for (const namespace of [...hosts, fabric]) await namespace[Symbol.asyncDispose]();
    },
  };
}
