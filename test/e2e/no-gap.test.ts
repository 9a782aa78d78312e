import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { inside, type Namespace } from "../lab/namespace.js";
import { type Arena, backends, createArena, serverAddress, udpPolicy } from "./arena.js";

// Restart, kill -9 and upgrade under traffic: no allowed packet is lost, no denied one passes.

const times = 20;
const perSecond = 1200;

/** Datagrams that arrived and found the receiver's buffer full: lost by the test, not by a rule. */
async function overruns(namespace: Namespace): Promise<number> {
  const lines = (await namespace.exec("/usr/bin/cat", ["/proc/net/snmp"]))
    .split("\n")
    .filter((line) => line.startsWith("Udp:"));
  const column = (lines[0] ?? "").split(" ").indexOf("RcvbufErrors");
  return Number((lines[1] ?? "").split(" ")[column]);
}

/** Everything nft tells while it runs. Sets and legacy tables tell nothing. */
function watchRules(namespace: Namespace): { readonly stop: () => Promise<string> } {
  const [file, args] = inside(namespace.path, "/usr/sbin/nft", ["monitor"]);
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
  let heard = "";
  child.stdout.on("data", (chunk: Buffer) => {
    heard += chunk.toString();
  });
  return {
    stop: async () => {
      const ended = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGTERM");
      await ended;
      return heard;
    },
  };
}

async function rulesOf(arena: Arena): Promise<string> {
  const parts = await Promise.all([
    arena.server.namespace.exec("/usr/sbin/iptables-nft-save", []),
    arena.server.namespace.exec("/usr/sbin/ipset", ["save"]),
  ]);
  return parts
    .join("\n")
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .map((line) => line.replace(/\[\d+:\d+\]/, ""))
    .join("\n");
}

for (const backend of backends) {
  describe(`no gap, ${backend}`, () => {
    for (const manner of ["restart", "kill -9", "upgrade"] as const) {
      test(`${manner}, ${times} times under ${perSecond} packets/s`, { timeout: 240_000 }, async () => {
        await using arena = await createArena(backend);
        const { server, client } = arena;
        await Promise.all([server.applications.sink(7000), server.applications.sink(7001)]);
        await server.writePolicy(udpPolicy());
        await server.startDaemon(["--settle", "0s"]);
        const before = await overruns(server.namespace);
        await client.applications.startPump("allowed", {
          host: serverAddress,
          port: 7000,
          perSecond,
          flows: 100,
        });
        await client.applications.startPump("denied", {
          host: serverAddress,
          port: 7001,
          perSecond,
          flows: 100,
        });
        const watch = manner === "upgrade" || backend === "legacy" ? null : watchRules(server.namespace);
        await delay(300);
        const rules = await rulesOf(arena);
        for (let time = 0; time < times; time++) {
          await server.stopDaemon(manner === "restart" ? "SIGTERM" : "SIGKILL");
          // Another version does not trust what this one remembers of its writing.
          if (manner === "upgrade")
            await rm(join(server.stateDir, "filter"), { recursive: true, force: true });
          await server.startDaemon(["--settle", "0s"]);
        }
        const allowed = await client.applications.stopPump("allowed");
        const denied = await client.applications.stopPump("denied");
        await delay(300);
        const lost =
          allowed.sent -
          (await server.applications.received(7000)) -
          ((await overruns(server.namespace)) - before);
        assert.ok(allowed.sent > times * 100, `only ${allowed.sent} packets were sent`);
        assert.ok(denied.sent > times * 100, `only ${denied.sent} packets were sent`);
        assert.equal(lost, 0, `${lost} of ${allowed.sent} allowed packets were lost`);
        assert.equal(await server.applications.received(7001), 0, "denied packets passed");
        if (manner !== "upgrade")
          assert.equal(await rulesOf(arena), rules, "the rules are the same, names of sets included");
        if (watch !== null) assert.equal(await watch.stop(), "", "nothing was written to nf_tables");
      });
    }
  });
}
