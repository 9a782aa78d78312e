import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { describe, test } from "node:test";
import { hostContext } from "@antenna/host";
import { type ContextFacts, Inventory, systemClock, type WorkloadContext } from "@antenna/sdk";
import { createNamespace, inside, ip, link } from "../lab/namespace.js";

const logger = { debug() {}, info() {}, warn() {}, error() {} };

/** An inventory of one namespace, and a way to wait for what it shall say. */
function follow(namespace: string): {
  readonly inventory: Inventory;
  until(holds: (context: WorkloadContext) => boolean): Promise<WorkloadContext>;
} {
  const waiting = new Set<() => void>();
  const inventory = new Inventory([hostContext({ cloud: false })], () => {
    for (const look of [...waiting]) look();
  });
  inventory.start({ namespace, clock: systemClock, logger, random: Math.random });
  return {
    inventory,
    until: (holds) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(JSON.stringify(inventory.context()))), 10_000);
        const look = (): void => {
          const context = inventory.context();
          if (context === null || !holds(context)) return;
          clearTimeout(timer);
          waiting.delete(look);
          resolve(context);
        };
        waiting.add(look);
        look();
      }),
  };
}

describe("the context of a host", () => {
  test("follows addresses by the kernel's notice, and knows who listens", { timeout: 60_000 }, async () => {
    await using namespace = await createNamespace();
    await using other = await createNamespace();
    await link(
      { namespace, interface: "eth0", addresses: ["10.0.0.2/24", "fd00::2/64"] },
      { namespace: other, interface: "eth0", addresses: ["10.0.0.1/24"] },
    );
    const code = `require("net").createServer().listen(8080, "0.0.0.0", () => require("dgram").createSocket("udp4").bind(514, () => console.log("ready")))`;
    const [file, argv] = inside(namespace.path, process.execPath, ["--eval", code]);
    const server = spawn(file, argv, { stdio: ["ignore", "pipe", "inherit"] });
    await new Promise((done) => server.stdout.once("data", done));
    const { inventory, until } = follow(namespace.path);
    try {
      const first = await until(({ addresses, services }) => addresses.length === 2 && services.length > 0);
      assert.deepEqual(
        first.addresses.map(({ address, prefix, interface: name, scope }) => [address, prefix, name, scope]),
        [
          ["10.0.0.2", 24, "eth0", "routable"],
          ["fd00::2", 64, "eth0", "routable"],
        ],
      );
      const services = first.services.map(({ protocol, address, port, user }) => [
        protocol,
        address,
        port,
        user,
      ]);
      assert.deepEqual(services, [
        ["tcp", "0.0.0.0", 8080, "root"],
        ["udp", "0.0.0.0", 514, "root"],
      ]);
      assert.match(first.services[0]?.process ?? "", /node|MainThread/);
      assert.ok(first.hostname !== "" && first.os.kernel !== "");
      const began = performance.now();
      await namespace.exec(ip, ["address", "del", "10.0.0.2/24", "dev", "eth0"]);
      await namespace.exec(ip, ["address", "add", "10.0.0.9/24", "dev", "eth0"]);
      const moved = await until(
        ({ addresses }) =>
          addresses.some(({ address }) => address === "10.0.0.9") &&
          !addresses.some(({ address }) => address === "10.0.0.2"),
      );
      console.log(
        `the new address was known ${(performance.now() - began).toFixed(0)} ms after the first change`,
      );
      assert.equal(moved.services.length, 2);
    } finally {
      server.kill("SIGKILL");
      await inventory[Symbol.asyncDispose]();
    }
  });

  test("says nothing after its end, and what a source does not know stays unknown", async () => {
    await using namespace = await createNamespace();
    const source = hostContext({ cloud: false });
    const heard: ContextFacts[] = [];
    source.start((facts) => heard.push(facts), {
      namespace: namespace.path,
      clock: systemClock,
      logger,
      random: Math.random,
    });
    await source[Symbol.asyncDispose]();
    const count = heard.length;
    await namespace.exec(ip, ["link", "add", "veth0", "type", "veth", "peer", "name", "veth1"]);
    await namespace.exec(ip, ["address", "add", "10.1.1.1/24", "dev", "veth0"]);
    await new Promise((done) => setTimeout(done, 100));
    assert.equal(heard.length, count);
    assert.equal(new Inventory([], () => {}).context(), null);
  });
});
