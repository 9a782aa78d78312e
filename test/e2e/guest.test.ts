import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync } from "node:fs";
import { access, mkdir, readFile, rename, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { conntrack } from "../host/connection-arena.js";
import type { Status } from "../lab/workload.js";
import { type Arena, type Backend, backends, clientAddress, createArena, serverAddress } from "./arena.js";
import { ownersSetup, savedRules, wholeState } from "./owner.js";
import { PrivateHost } from "./private-host.js";

// A guest in a host with rules of its owner: they are never moved, removed or reordered, and after purge everything is as
// it was, but for what the receipt names.

interface Receipt {
  readonly removed: readonly { readonly kind: string; readonly name: string }[];
  readonly residues: readonly { readonly kind: string; readonly name: string; readonly reason: string }[];
}

const antenna = join(import.meta.dirname, "..", "..", "..", "daemon", "bin", "antenna.js");
const cutMark = 0x1000_0000;

function policy(ports: readonly number[], members: readonly string[]): string {
  return JSON.stringify({
    mode: "full",
    sets: { client: members },
    rules: [
      {
        id: "in",
        direction: "in",
        action: "allow",
        peers: ["client"],
        services: [{ protocol: "tcp", ports }],
      },
      {
        id: "bad",
        direction: "out",
        action: "deny",
        peers: ["any"],
        services: [{ protocol: "tcp", ports: [25] }],
      },
    ],
  });
}

const first = policy([22, 80], [clientAddress, "fd00:78::1"]);
const second = policy([22], [clientAddress, "fd00:78::/64"]);

for (const backend of backends) {
  describe(`guest, ${backend}`, { timeout: 120_000 }, () => {
    for (const purger of ["purge alone", "the daemon"] as const) {
      test(`through everything, and purged by ${purger}`, async (context) => {
        await using guest = await Guest.open(await createArena(backend), backend);
        const { server, client } = guest.arena;
        const iptables = `/usr/sbin/iptables-${backend}`;
        await server.applications.listen([22, 80]);
        const before = await guest.state();
        const cgroups = cgroupNames();
        assert.deepEqual(await guest.state(), before, "nothing moves by itself");
        assert.ok(await client.applications.openStream("kept", serverAddress, 22));
        assert.ok(await client.applications.openStream("cut", serverAddress, 80));

        await guest.step("first policy", () => guest.run(first));
        await guest.step("a second policy", async () => {
          await guest.write(second);
          await guest.until(
            "the cut",
            async () => (await client.applications.streamState("cut")).silentMs > 300,
          );
        });
        assert.notEqual(await guest.cutFlows(), 0, "a flow carries the cut mark");
        const damage = (args: readonly string[]) => guest.repaired(() => guest.host.exec(iptables, args));
        await guest.step("our chain flushed", () => damage(["-F", "ANT-IN"]));
        await guest.step("our jump deleted", () => damage(["-D", "INPUT", "-j", "ANT-IN"]));
        const displacing = ["INPUT", "-s", "192.0.2.9/32", "-j", "DROP"];
        await guest.step("the owner's rule before our jump", () =>
          guest.repaired(() => guest.ownerWrites(() => guest.host.exec(iptables, ["-I", ...displacing]))),
        );
        await guest.ownerWrites(() => guest.host.exec(iptables, ["-D", ...displacing]));
        await guest.step("suspend", async () => void (await guest.antenna(["suspend"])));
        assert.deepEqual(await guest.state(), before, "suspended: nothing of ours stands");
        assert.equal(await guest.cutFlows(), 0, "suspended: no flow is cut");
        await guest.step("resume", async () => {
          await guest.antenna(["resume"]);
          await guest.until("in-sync", async () => (await guest.status()).state === "in-sync");
        });
        await guest.step("restart", async () => {
          await guest.stop();
          await guest.run(second);
        });
        if (purger === "purge alone") await guest.step("stop", () => guest.stop());
        let receipt: Receipt = { removed: [], residues: [] };
        await guest.step("purge", async () => {
          receipt = JSON.parse(await guest.antenna(["purge", "--receipt", "--json"])) as Receipt;
        });
        await guest.stop();

        for (const kind of ["chain", "jump", "set"]) {
          assert.ok(
            receipt.removed.some((entry) => entry.kind === kind),
            `the receipt names each ${kind} that was removed: ${JSON.stringify(receipt)}`,
          );
        }
        const modules = receipt.residues.filter(({ kind }) => kind === "module");
        assert.deepEqual(
          receipt.residues.filter(({ kind }) => kind !== "module"),
          [],
          "the owner used all tables before us",
        );
        const after = await guest.state();
        // A module that our rules pulled in brings sysctls of its own; nothing else may differ.
        if (modules.length > 0) after.sysctls = withoutNew(after.sysctls ?? "", before.sysctls ?? "");
        assert.deepEqual(after, before);
        assert.equal(await guest.cutFlows(), 0, "no flow is cut any more");
        assert.deepEqual(cgroupNames(), cgroups);
        await assert.rejects(access(server.stateDir), "the state directory is gone");
        assert.ok(
          (await client.applications.streamState("kept")).silentMs < 2000,
          "the allowed session lives",
        );
        assert.deepEqual(guest.wrong, []);
        context.diagnostic(
          `the owner's rules were looked at ${guest.looks} times; residues: ${modules.length} modules`,
        );
      });
    }
  });
}

/** The daemon in a host with an owner, who looks at his rules all the time. */
class Guest implements AsyncDisposable {
  readonly arena: Arena;
  readonly host: PrivateHost;
  readonly #backend: Backend;
  readonly #policyFile: string;
  #daemon: ChildProcess | null = null;
  #owners = "";
  #counters: readonly number[] = [];
  #watching = true;
  #watched: Promise<void> = Promise.resolve();
  /** The owner is writing: what is seen now may be before or after. */
  #paused = false;
  looks = 0;
  readonly wrong: string[] = [];

  private constructor(arena: Arena, backend: Backend, host: PrivateHost) {
    this.arena = arena;
    this.host = host;
    this.#backend = backend;
    this.#policyFile = join(arena.folder, "policy.json");
  }

  static async open(arena: Arena, backend: Backend): Promise<Guest> {
    const guest = new Guest(arena, backend, await PrivateHost.open(arena.server.namespace));
    await ownersSetup(guest.host, backend);
    // The state directory itself is the daemon's to make: one that was there before would stay.
    await mkdir(dirname(arena.server.stateDir), { recursive: true, mode: 0o700 });
    await guest.#expect();
    guest.#watched = guest.#watch();
    return guest;
  }

  async state(): Promise<Record<string, string>> {
    return await wholeState(this.host, this.#backend);
  }

  /** Does something; the owner's rules must be as they were all the time. */
  async step(what: string, act: () => Promise<unknown>): Promise<void> {
    await act();
    await this.#look(what);
    assert.deepEqual(this.wrong, [], `after ${what}`);
  }

  /** The owner changes his rules; from then on they have to stay so. */
  async ownerWrites(write: () => Promise<unknown>): Promise<void> {
    this.#paused = true;
    await write();
    await this.#expect();
    this.#paused = false;
  }

  async run(policyText: string): Promise<void> {
    await this.write(policyText);
    const args = [
      "run",
      "--policy",
      this.#policyFile,
      "--state-dir",
      this.arena.server.stateDir,
      "--settle",
      "0s",
    ];
    const [file, argv] = this.host.argv(process.execPath, [antenna, ...args]);
    const daemon = spawn(file, argv, { stdio: "ignore" });
    this.#daemon = daemon;
    await this.until("in-sync", async () => (await this.status()).state === "in-sync");
    const [own, its] = await Promise.all(
      ["self", String(daemon.pid)].map((pid) => readFile(`/proc/${pid}/cgroup`, "utf8")),
    );
    assert.equal(its, own, "the daemon stays in the cgroup it was started in");
  }

  async write(policyText: string): Promise<void> {
    await writeFile(`${this.#policyFile}.new`, policyText);
    await rename(`${this.#policyFile}.new`, this.#policyFile);
  }

  async status(): Promise<Status> {
    return JSON.parse(await this.antenna(["status", "--json"])) as Status;
  }

  async antenna(args: readonly string[]): Promise<string> {
    const all = [antenna, ...args, "--state-dir", this.arena.server.stateDir];
    return await this.host.exec(process.execPath, all);
  }

  /** Does damage, and waits until it is repaired and reported. */
  async repaired(damage: () => Promise<unknown>): Promise<void> {
    const repairs = async () => (await this.status()).drift.repairs;
    const before = await repairs();
    await damage();
    await this.until("the repair", async () => (await repairs()) > before && (await this.#isWhole()));
  }

  /** Our chain holds rules, and INPUT begins with the jump to it. */
  async #isWhole(): Promise<boolean> {
    const iptables = `/usr/sbin/iptables-${this.#backend}`;
    const builtin = (await this.host.exec(iptables, ["-S", "INPUT"])).split("\n");
    const own = await this.host.exec(iptables, ["-S", "ANT-IN"]);
    return builtin[1] === "-A INPUT -j ANT-IN" && own.includes("-A ANT-IN");
  }

  /** Entries of connection tracking that carry our mark. */
  async cutFlows(): Promise<number> {
    const text = await this.host.exec(conntrack, ["-L"]);
    return text.split("\n").filter((line) => (Number(/ mark=(\d+)/.exec(line)?.[1] ?? 0) & cutMark) !== 0)
      .length;
  }

  async until(what: string, holds: () => Promise<boolean>): Promise<void> {
    const end = performance.now() + 20_000;
    let last: unknown = null;
    while (performance.now() < end) {
      try {
        if (await holds()) return;
      } catch (reason) {
        last = reason;
      }
      await delay(50);
    }
    assert.fail(`waited 20 s for ${what}; last: ${String(last)}`);
  }

  async stop(): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = null;
    if (daemon === null || daemon.exitCode !== null || daemon.signalCode !== null) return;
    const ended = new Promise((resolve) => daemon.once("exit", resolve));
    daemon.kill("SIGTERM");
    await ended;
  }

  async #expect(): Promise<void> {
    const { owners, counters } = await savedRules(this.host, this.#backend);
    this.#owners = owners;
    this.#counters = counters;
  }

  async #watch(): Promise<void> {
    while (this.#watching) {
      if (!this.#paused) await this.#look("in between");
      await delay(30);
    }
  }

  async #look(when: string): Promise<void> {
    const expected = this.#owners;
    const before = this.#counters;
    const { owners, counters } = await savedRules(this.host, this.#backend);
    if (this.#paused || this.#owners !== expected) return;
    this.looks += 1;
    if (owners !== expected)
      this.wrong.push(`${when}: the owner's rules are\n${owners}\ninstead of\n${expected}`);
    else if (counters.some((count, index) => count < (before[index] ?? 0))) {
      this.wrong.push(
        `${when}: counters of the owner's rules went back: ${counters.join()} after ${before.join()}`,
      );
    } else if (before === this.#counters) this.#counters = counters;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#watching = false;
    await this.#watched;
    await this.stop();
    await this.host[Symbol.asyncDispose]();
    await this.arena[Symbol.asyncDispose]();
  }
}

/** Lines that were there before. */
function withoutNew(after: string, before: string): string {
  const keys = new Set(before.split("\n").map((line) => line.split(":")[0]));
  return after
    .split("\n")
    .filter((line) => keys.has(line.split(":")[0]))
    .join("\n");
}

/** Control groups with our name; others come and go by themselves. */
function cgroupNames(): readonly string[] {
  try {
    return readdirSync("/sys/fs/cgroup", { recursive: true, encoding: "utf8" }).filter((name) =>
      /antenna/i.test(name),
    );
  } catch {
    return [];
  }
}
