import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { netfilterProvider } from "@antenna/netfilter";
import { type Agent, type AgentEvents, createAgent, type Policy, policyFrom } from "@antenna/sdk";
import { MemoryLogger } from "@antenna/sdk/testing";
import { createNamespace, link, type Namespace, uniqueName } from "../lab/namespace.js";
import { Peer, until } from "./connection-arena.js";

const timeout = 60_000;
const here = "10.91.0.1";
const there = "10.91.0.2";

/** A host where an agent enforces, and another one; with sockets on both. */
interface Scene extends AsyncDisposable {
  readonly namespace: Namespace;
  readonly server: Peer;
  readonly client: Peer;
  readonly events: { readonly [Name in keyof AgentEvents]: AgentEvents[Name][] };
  start(settleMs: number): Promise<Agent>;
}

async function createScene(): Promise<Scene> {
  const undo: (() => Promise<void>)[] = [];
  const dispose = async (): Promise<void> => {
    for (const step of undo.splice(0).reverse()) await step();
  };
  const owned = <T extends AsyncDisposable>(resource: T): T => {
    undo.push(async () => await resource[Symbol.asyncDispose]());
    return resource;
  };
  try {
    const namespace = owned(await createNamespace(uniqueName("agh")));
    const other = owned(await createNamespace(uniqueName("agt")));
    await link(
      { namespace, interface: "eth0", addresses: [`${here}/24`] },
      { namespace: other, interface: "eth0", addresses: [`${there}/24`] },
    );
    const stateDir = await mkdtemp(join(tmpdir(), "antenna-agent-"));
    undo.push(() => rm(stateDir, { recursive: true, force: true }));
    const events: Scene["events"] = { policy: [], state: [], drift: [], cut: [], problem: [] };
    return {
      namespace,
      server: owned(new Peer(namespace)),
      client: owned(new Peer(other)),
      events,
      async start(settleMs) {
        const agent = owned(
          await createAgent({
            packetFilter: netfilterProvider(),
            namespace: namespace.path,
            stateDir,
            settleMs,
            logger: new MemoryLogger(),
          }),
        );
        agent.on("policy", (event) => void events.policy.push(event));
        agent.on("state", (event) => void events.state.push(event));
        agent.on("drift", (event) => void events.drift.push(event));
        agent.on("cut", (event) => void events.cut.push(event));
        agent.on("problem", (event) => void events.problem.push(event));
        return agent;
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** TCP in to these ports and out to 9090, for the other host alone. */
function policy(version: number, ports: readonly number[]): Policy {
  return policyFrom({
    version,
    mode: "full",
    sets: { peers: [there] },
    rules: [
      {
        id: "in",
        direction: "in",
        action: "allow",
        peers: ["peers"],
        services: [{ protocol: "tcp", ports }],
      },
      {
        id: "out",
        direction: "out",
        action: "allow",
        peers: ["peers"],
        services: [{ protocol: "tcp", ports: [9090] }],
      },
    ],
  });
}

const isOver = async (peer: Peer, key: string): Promise<boolean> => {
  const report = await peer.report(key);
  return report.closed || report.ended || report.error !== null;
};

async function delivers(
  from: Peer,
  to: Peer,
  keys: { readonly from: string; readonly to: string },
): Promise<void> {
  const { received } = await to.report(keys.to);
  await from.push(keys.from, 1_000);
  await until("data arrives", 3_000, async () => (await to.report(keys.to)).received === received + 1_000);
}

async function ruleset(namespace: Namespace): Promise<string> {
  const texts = await Promise.all([
    namespace.exec("/usr/sbin/iptables-nft-save", []),
    namespace.exec("/usr/sbin/ip6tables-nft-save", []),
    namespace.exec("/usr/sbin/ipset", ["save"]),
  ]);
  return texts
    .join("")
    .replaceAll(/^#.*$/gm, "")
    .replaceAll(/\[\d+:\d+\]/g, "");
}

describe("an agent on a live host", { concurrency: 2 }, () => {
  test("settles without a cut, then ends what is denied, and follows the policy from there", {
    timeout,
  }, async () => {
    await using scene = await createScene();
    const { server, client, events } = scene;
    await server.listen(here, 8080);
    await server.listen(here, 8081);
    await client.listen(there, 9090);
    const allowed = await client.connect(here, 8080);
    const denied = await client.connect(here, 8081);
    const outbound = await server.connect(there, 9090);
    const keys = {
      allowed: { from: `${allowed}-8080`, to: `8080-${allowed}` },
      denied: { from: `${denied}-8081`, to: `8081-${denied}` },
      outbound: { from: `9090-${outbound}`, to: `${outbound}-9090` },
    };
    const agent = await scene.start(2_000);
    const applied = agent.apply(policy(1, [8080]));
    await until("settling", 2_000, async () => agent.status().state === "settling");
    // Nothing is dropped meanwhile.
    await delivers(client, server, keys.denied);
    const result = await applied;
    assert.equal(result.state, "in-sync");
    await delivers(client, server, keys.allowed);
    await delivers(server, client, { from: keys.allowed.to, to: keys.allowed.from });
    await delivers(client, server, keys.outbound);
    await until("the denied one is over", 3_000, () => isOver(server, keys.denied.to));
    assert.equal(
      events.cut.reduce((sum, event) => sum + event.cut, 0),
      1,
    );
    assert.equal(agent.status().points[0]?.flowsCut, 1);

    await agent.apply(policy(2, [8081]));
    await until("the revoked one is over", 3_000, () => isOver(server, keys.allowed.to));
    await delivers(client, server, keys.outbound);
    const again = await client.connect(here, 8081);
    await delivers(client, server, { from: `${again}-8081`, to: `8081-${again}` });
    assert.deepEqual(agent.status().problems, []);
  });

  test("repairs what a foreign hand breaks, writes nothing when it starts again, and leaves as it came", {
    timeout,
  }, async () => {
    await using scene = await createScene();
    const { namespace, server, client, events } = scene;
    await namespace.exec("/usr/sbin/iptables-nft", ["-A", "INPUT", "-i", "owners0", "-j", "ACCEPT"]);
    await namespace.exec("/usr/sbin/ip6tables-nft", ["-A", "INPUT", "-i", "owners0", "-j", "ACCEPT"]);
    const untouched = await ruleset(namespace);
    await server.listen(here, 8080);
    const agent = await scene.start(0);
    await agent.apply(policy(1, [8080]));
    const enforced = await ruleset(namespace);
    const began = performance.now();
    await namespace.exec("/usr/sbin/iptables-nft", ["-D", "INPUT", "1"]);
    await until("the repair", 3_000, async () => events.drift.length > 0);
    assert.ok(performance.now() - began < 1_000);
    assert.equal(await ruleset(namespace), enforced);
    assert.equal((await agent.verify()).ok, true);

    await agent.close();
    const second = await scene.start(30_000);
    await until("in sync again", 3_000, async () => second.status().state === "in-sync");
    assert.equal((await second.apply(policy(1, [8080]))).changed, false);
    assert.equal(await ruleset(namespace), enforced);
    const port = await client.connect(here, 8080);
    await delivers(client, server, { from: `${port}-8080`, to: `8080-${port}` });

    await second.suspend();
    assert.equal(await ruleset(namespace), untouched);
    await second.resume();
    assert.equal(second.status().state, "settling");
    await sleep(100);
    const removal = await second.purge();
    assert.ok(removal.removed.length > 0);
    assert.equal(await ruleset(namespace), untouched);
  });
});
