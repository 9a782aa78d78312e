import assert from "node:assert/strict";
import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Controller } from "@antenna/controller/internal/fleet/controller.js";
import {
  applyDelta,
  type Clock,
  type ControllerLink,
  grpcLink,
  type LinkStatus,
  type PolicyOffer,
  pair,
  policyDigest,
  systemClock,
  unpair,
} from "@antenna/sdk";
import { IdentityStore } from "@antenna/sdk/internal/protocol/identity/identity-store.js";
import { MemoryLogger } from "@antenna/sdk/testing";
import { MemoryStore, MemoryTrustFiles } from "./controller-memory-store.js";
import { FakeAgent, someContext } from "./link-agent.js";
import { hour } from "./link-authority.js";

// The link beside the real controller, both in this process: only kernel and disk of the controller are not real.

/** The machine's clock, moved by hand. */
class ShiftedClock implements Clock {
  shiftMs = 0;

  now(): number {
    return systemClock.now();
  }

  date(): Date {
    return new Date(Date.now() + this.shiftMs);
  }

  after(delayMs: number, call: () => void): Disposable {
    return systemClock.after(delayMs, call);
  }
}

interface Site extends AsyncDisposable {
  readonly controller: Controller;
  readonly clock: ShiftedClock;
  readonly address: string;
  key(uses?: number): Promise<string>;
  directory(): Promise<string>;
}

async function site(): Promise<Site> {
  const clock = new ShiftedClock();
  const failures: unknown[] = [];
  const controller = await Controller.start({
    store: new MemoryStore(),
    files: new MemoryTrustFiles(),
    listen: { host: "127.0.0.1", port: 0, names: [] },
    hostAddresses: [],
    clock,
    logger: new MemoryLogger(),
    onFailure: (reason) => failures.push(reason),
  });
  const directories: string[] = [];
  return {
    controller,
    clock,
    address: `127.0.0.1:${controller.port}`,
    key: async (uses = 10) => {
      const options = { labels: { role: "web" }, uses, ttlMs: hour, addresses: [], delegate: [] };
      return (await controller.createKey(options)).pairingKey;
    },
    directory: async () => {
      const path = await mkdtemp(join(tmpdir(), "antenna-interop-"));
      directories.push(path);
      return path;
    },
    [Symbol.asyncDispose]: async () => {
      await controller.close();
      for (const path of directories) await rm(path, { recursive: true });
      assert.deepEqual(failures, []);
    },
  };
}

/** An agent that takes every offer and says so. */
class TakingAgent extends FakeAgent {
  link: ControllerLink | null = null;

  override onOffer = async (offer: PolicyOffer): Promise<void> => {
    const { policy, version, digest } = offer;
    const base = this.current;
    this.current = "base" in policy ? applyDelta(base ?? assert.fail("a delta to nothing"), policy) : policy;
    assert.equal(policyDigest(this.current), digest);
    this.state = { ...this.state, mode: this.current.mode, applied: { version, digest }, floor: version };
    this.link?.changed("report");
  };
}

interface Host extends AsyncDisposable {
  readonly agent: TakingAgent;
  readonly link: ControllerLink;
  until(holds: (status: LinkStatus) => boolean): Promise<LinkStatus>;
}

function host(controller: string, stateDir: string, address = "10.1.0.1"): Host {
  const agent = new TakingAgent();
  agent.facts = {
    ...someContext,
    addresses: [{ address, prefix: 24, interface: "eth0", scope: "routable" }],
  };
  const link = grpcLink({ controller, stateDir });
  agent.link = link;
  link.open(agent, { clock: systemClock, logger: new MemoryLogger() });
  return {
    ...{ agent, link },
    until: (holds) =>
      new Promise((resolve, reject) => {
        const late = setTimeout(() => reject(new Error(`stays at ${JSON.stringify(link.status())}`)), 20_000);
        const look = (now: LinkStatus): void => {
          if (!holds(now)) return;
          clearTimeout(late);
          resolve(now);
        };
        link.onStatus(look);
        look(link.status());
      }),
    [Symbol.asyncDispose]: () => link[Symbol.asyncDispose](),
  };
}

const connected = ({ state }: LinkStatus): boolean => state === "connected";

async function eventually(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let tries = 0; tries < 500; tries++) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.fail("it never comes true");
}

describe("with the real controller", () => {
  test("pair, connect, tell the context, take a policy, and what changes in it", async () => {
    await using it = await site();
    const [first, second] = [await it.directory(), await it.directory()];
    const key = await it.key();
    const { workload } = await pair({ controller: it.address, key, stateDir: first, hostname: "web-1" });
    await using one = host(it.address, first);
    await one.until(connected);
    await it.controller.applyPolicy(`
rulesets:
  - name: shop
    scope: {}
    rules: [{ from: { role: web }, to: { role: web } }]
enforcement: [{ match: { role: web }, mode: full }]
`);
    await eventually(() => one.agent.current?.mode === "full");
    const known = (): readonly { readonly id: string; readonly online: boolean; readonly name: string }[] =>
      it.controller.workloads().workloads;
    assert.deepEqual(
      known().map(({ id, name, online }) => [id, name, online]),
      [[workload, "db-1", true]],
    );
    await pair({ controller: it.address, key, stateDir: second, hostname: "web-2" });
    await using two = host(it.address, second, "10.1.0.2");
    await two.until(connected);
    const members = (): string =>
      [...(one.agent.current?.sets.values() ?? [])].flatMap((set) => [...set.strings()]).join();
    await eventually(() => members().includes("10.1.0.2"));
    assert.ok(one.agent.offers.some(({ policy }) => "base" in policy));
    const applied = one.agent.state.applied ?? assert.fail("nothing applied");
    const { proof } = one.agent.offers.at(-1) ?? assert.fail("nothing offered");
    assert.equal(one.link.vouches(applied.version, applied.digest, proof), true);
    assert.equal(two.link.vouches(applied.version, applied.digest, proof), false);
    await one.link.probe();
  });

  test("a key that is used up, revoked or unknown is told from a controller that is away", async () => {
    await using it = await site();
    const [first, second] = [await it.directory(), await it.directory()];
    const key = await it.key(1);
    await pair({ controller: it.address, key, stateDir: first });
    const late = pair({ controller: it.address, key, stateDir: second });
    await assert.rejects(late, { code: "denied", message: /does not accept pairing key/ });
    const unknown = pair({ controller: it.address, key: key.replace(/^[^.]+/, "nobody"), stateDir: second });
    await assert.rejects(unknown, { code: "denied" });
    // The same key pair again takes no further use, and is the same workload.
    const workload = await unpair({ stateDir: first });
    const again = await pair({ controller: it.address, key, stateDir: first });
    assert.equal(again.workload, workload);
    await using one = host(it.address, first);
    await one.until(connected);
  });

  test("unpaired and paired again while the daemon runs", async () => {
    await using it = await site();
    const stateDir = await it.directory();
    const key = await it.key();
    await pair({ controller: it.address, key, stateDir });
    await using one = host(it.address, stateDir);
    await one.until(connected);
    await unpair({ stateDir });
    await one.until(({ state }) => state === "none");
    await pair({ controller: it.address, key, stateDir });
    await one.until(connected);
  });

  test("revoked: told, and another pairing makes another workload while the daemon runs", async () => {
    await using it = await site();
    const stateDir = await it.directory();
    const { workload } = await pair({ controller: it.address, key: await it.key(), stateDir });
    await using one = host(it.address, stateDir);
    await one.until(connected);
    await it.controller.revokeWorkload(workload);
    await one.until(({ state }) => state === "revoked");
    await eventually(() => IdentityStore.open(stateDir).identity?.revoked === true);
    const again = await pair({ controller: it.address, key: await it.key(), stateDir });
    assert.notEqual(again.workload, workload);
    await one.until(connected);
    assert.equal(one.link.workload, again.workload);
  });

  test("a copied state directory is refused while the first holder lives", async () => {
    await using it = await site();
    const [first, second] = [await it.directory(), await it.directory()];
    await pair({ controller: it.address, key: await it.key(), stateDir: first });
    await using one = host(it.address, first);
    await one.until(connected);
    await one.link[Symbol.asyncDispose]();
    await cp(first, second, { recursive: true });
    await using holder = host(it.address, first);
    await holder.until(connected);
    await using clone = host(it.address, second);
    await clone.until(({ state }) => state === "refused");
    assert.equal(holder.link.status().state, "connected");
  });

  test("rotation is followed by whoever is connected, and by whoever comes back with an expired certificate", async () => {
    await using it = await site();
    // OpenSSL's clock can't be moved: what is to have run out is made in the past.
    it.clock.shiftMs = -30 * hour;
    const [away, there] = [await it.directory(), await it.directory()];
    const key = await it.key();
    await pair({ controller: it.address, key, stateDir: away });
    const [before] = IdentityStore.open(away).identity?.certificateChain ?? [];
    it.clock.shiftMs = 0;
    await pair({ controller: it.address, key: await it.key(), stateDir: there });
    await using one = host(it.address, there);
    await one.until(connected);
    await it.controller.rotateAuthority();
    await eventually(() => IdentityStore.open(there).identity?.roots.length === 2);
    assert.equal(one.link.status().state, "connected");
    await using later = host(it.address, away, "10.1.0.2");
    await later.until(connected);
    const { identity } = IdentityStore.open(away);
    assert.notDeepEqual(identity?.certificateChain[0], before);
    assert.equal(identity?.roots.length, 2);
    assert.deepEqual(later.link.status().problems, []);
    // A key that is made after the rotation names the new root.
    const other = await it.directory();
    await pair({ controller: it.address, key: await it.key(), stateDir: other });
    await it.controller.rotateAuthority();
    await eventually(() => IdentityStore.open(there).identity?.roots.length === 3);
  });
});
