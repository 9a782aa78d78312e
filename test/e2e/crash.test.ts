import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Policy, parsePolicy, policyDigest } from "@antenna/sdk";
import { Random } from "../unit/random.js";
import type { ApplyAnswer, ApplyRequest } from "./apply-protocol.js";
import { type Arena, type Backend, backends, createArena, serverAddress } from "./arena.js";
import { kernelState } from "./kernel-state.js";
import { buildKillAt, type Kill, TracedProgram, victims } from "./kill-at.js";
import { arenaAddresses, expectedUnder, matrix, peers } from "./probes.js";
import { Traffic } from "./traffic.js";

// The agent, a child of it, or all of them killed at every boundary of an apply: whatever is in the kernel then lets pass
// what both policies allow and nothing that both deny, and the next start reaches one of the two, exactly.

/** All boundaries with ANTENNA_SOAK=1, the victims in turn; CI takes a sample by a printed seed. */
const soak = process.env.ANTENNA_SOAK === "1";
const seed = Number(process.env.ANTENNA_SEED ?? Math.floor(Math.random() * 2 ** 31));
const sampled = 8;
const perSecond = 2500;
const program = join(import.meta.dirname, "apply-program.js");
const nobody: Kill = { at: 0, victim: "caller" };
const patienceMs = 30_000;

interface Pair {
  readonly name: string;
  readonly documents: readonly [object, object];
  /** With TCP sessions on the ports for them. */
  readonly sessions?: boolean;
}

const [c1, c2, c3, c4] = peers[4];
const [s1, s2, s3, s4] = peers[6];

function document(mode: string, sets: Record<string, readonly string[]>, rules: readonly object[]): object {
  return { mode, sets, rules, ...(mode === "selective" ? { enforce: [udp([7000, "7001-7003"])] } : {}) };
}

function udp(ports: readonly (number | string)[]): object {
  return { protocol: "udp", ports };
}

function session(ports: readonly number[]): object {
  const services = [{ protocol: "tcp", ports }];
  return { id: "session", direction: "in", action: "allow", peers: ["web"], services };
}

/** TCP ports: of a session that both policies allow, and of one that only the first does. */
const keptPort = 7200;
const lostPort = 7201;

const webIn = { id: "web", direction: "in", action: "allow", peers: ["web"], services: [udp([7000, 7001])] };
const webOut = { id: "out", direction: "out", action: "allow", peers: ["web"], services: [udp([7100])] };
const never = { id: "never", direction: "in", action: "override-deny", peers: ["bad"] };

const pairs: readonly Pair[] = [
  {
    name: "members in place",
    documents: [
      // Who stays allowed is covered by a block before, by an address of its own after.
      document("full", { web: ["10.78.0.0/29", c2, s1, s2], bad: [c3, s4] }, [webIn, webOut, never]),
      document("full", { web: [c1, c3, s1, s3], bad: [s4] }, [webIn, webOut, never]),
    ],
  },
  {
    name: "rules",
    sessions: true,
    documents: [
      document("full", { web: [c1, c2, s1, s2], bad: [c4, s4] }, [
        webIn,
        webOut,
        never,
        session([keptPort, lostPort]),
      ]),
      document("full", { web: [c1, c2, s1, s2], bad: [c4, s4] }, [
        session([keptPort]),
        { ...webIn, services: [udp([7000, "7002-7003"])] },
        { ...webOut, peers: ["any"], services: [udp([7100, 7101])] },
        { ...never, peers: ["bad"], services: [udp([7000])] },
      ]),
    ],
  },
  {
    // Who leaves `web` and `bad` at once is denied before and after, and must not be let through in between.
    name: "sets that change together",
    documents: [
      document("full", { web: [c1, c4, s1, s4], bad: [c2, c4, s2, s4] }, [webIn, webOut, never]),
      document("full", { web: [c1, c2, s1, s2], bad: [c3] }, [webIn, webOut, never]),
    ],
  },
  {
    name: "mode, rules and sets",
    documents: [
      document("full", { web: [c1, "10.78.0.12/31", s1], bad: [s2] }, [webIn, webOut, never]),
      document("selective", { web: [c1, c2, s1, s3], bad: ["fd00:78::12/127"] }, [
        { ...webIn, services: [udp([7000])] },
        { ...never, direction: "out" },
      ]),
    ],
  },
];

before(buildKillAt);

for (const backend of backends) {
  describe(`killed in an apply, ${backend}`, { timeout: soak ? 3_600_000 : 300_000 }, () => {
    for (const [index, pair] of pairs.entries()) {
      test(pair.name, async (context) => {
        context.diagnostic(`ANTENNA_SEED=${seed}`);
        await using arena = await createArena(backend, arenaAddresses);
        await using traffic = await Traffic.start(arena);
        const crash = new CrashTest(arena, backend, pair, traffic);
        await crash.open();
        const counts = [await crash.boundariesFrom(0), await crash.boundariesFrom(1)];
        const random = new Random(seed + index);
        const queues = counts.map((count) => killsOf(count, random));
        while (queues.some((queue) => queue.length > 0)) await crash.trial(queues);
        await crash.startDaemon();
        context.diagnostic(
          `${crash.kills} kills at ${counts.join(" + ")} boundaries; ${crash.packets} packets, none wrong`,
        );
        assert.ok(crash.kills >= sampled, `only ${crash.kills} trials killed anybody`);
      });
    }
  });
}

/** Which boundaries of an apply are tried, and who dies there; of a sample, some in each stretch. */
function killsOf(boundaries: number, random: Random): Kill[] {
  const offset = random.below(victims.length);
  const count = soak ? boundaries : sampled;
  return Array.from({ length: count }, (_, index) => ({
    at: 1 + Math.floor(((index + random.word() / 2 ** 32) * boundaries) / count),
    victim: victims[(index + offset) % victims.length] ?? "caller",
  }));
}

/** Applies one policy of the pair over the other, again and again, and looks at what is left when it is killed. */
class CrashTest {
  readonly #arena: Arena;
  readonly #backend: Backend;
  readonly #traffic: Traffic;
  readonly #documents: readonly string[];
  readonly #policies: readonly Policy[];
  readonly #digests: readonly string[];
  readonly #clean: string[] = [];
  readonly #sessions: boolean;
  #opened = 0;
  /** What happened last, for messages. */
  #story = "the first start";
  kills = 0;
  packets = 0;

  constructor(arena: Arena, backend: Backend, pair: Pair, traffic: Traffic) {
    this.#arena = arena;
    this.#backend = backend;
    this.#traffic = traffic;
    this.#sessions = pair.sessions === true;
    this.#documents = pair.documents.map((document) => JSON.stringify(document));
    this.#policies = this.#documents.map((text) => parsePolicy(text));
    this.#digests = this.#policies.map((policy) => policyDigest(policy));
  }

  /** Both policies once, with nobody killed: afterwards the first one is in force, and what each leaves is known. */
  async open(): Promise<void> {
    await mkdir(this.#arena.server.stateDir, { recursive: true, mode: 0o700 });
    await Promise.all(this.#documents.map((text, index) => writeFile(this.#file(index), text)));
    for (const index of [0, 1, 0]) {
      await using agent = this.#start();
      await this.#standing(agent);
      agent.program.tell({ op: "apply", file: this.#file(index), kill: nobody } satisfies ApplyRequest);
      this.#sound(await this.#heard(agent), index);
      await agent.end();
      this.#clean[index] = await kernelState(this.#arena, this.#backend);
    }
    await this.#traffic.use(matrix, perSecond);
    if (!this.#sessions) return;
    const { server, client } = this.#arena;
    await server.applications.listen([keptPort, lostPort]);
    assert.ok(await client.applications.openStream("kept", serverAddress, keptPort), "a session opens");
  }

  /** How many calls change something while the other policy is applied over this one, which is then in force. */
  async boundariesFrom(from: 0 | 1): Promise<number> {
    await using agent = this.#start();
    this.#sound(await this.#standing(agent), from);
    await this.#traffic.resume({ renew: true });
    agent.program.tell({ op: "apply", file: this.#file(1 - from), kill: nobody } satisfies ApplyRequest);
    this.#sound(await this.#heard(agent), 1 - from);
    const { calls } = await agent.end();
    await this.#report([0, 1]);
    assert.ok(calls.length > 10, `only ${calls.length} calls were counted: ${calls.join("; ")}`);
    return calls.length;
  }

  /** One start and one apply that is killed at the next boundary planned for what is in force. */
  async trial(queues: readonly Kill[][]): Promise<void> {
    await this.#traffic.resume({ renew: true });
    await using agent = this.#start();
    const from = this.#indexOf(await this.#standing(agent));
    await this.#verdictsAs(from);
    await this.#holdsOnly(from);
    if (this.#sessions) await this.#sessionsAs(from);
    const kill = queues[from]?.shift() ?? nobody;
    await this.#traffic.resume({ renew: true });
    agent.program.tell({ op: "apply", file: this.#file(1 - from), kill } satisfies ApplyRequest);
    const answer = (await agent.program.hear(patienceMs)) as ApplyAnswer | null;
    const { calls, killed } = await agent.end();
    if (killed !== 0) this.kills += 1;
    this.#story = `policy ${1 - from} over ${from}, ${kill.victim} killed before call ${kill.at} (${calls.at(-1)})`;
    // A child that is killed is a refusal like any other: the apply is tried again.
    if (answer !== null) this.#sound(answer, 1 - from);
    // A little longer, so that what is left is judged too.
    await delay(30);
    await this.#report([0, 1]);
  }

  /** The real daemon on what the last trial left. */
  async startDaemon(): Promise<void> {
    const { server } = this.#arena;
    await this.#traffic.resume({ renew: true });
    await server.writePolicy(this.#documents[0] ?? "");
    await server.startDaemon(["--settle", "0s"]);
    await this.#report([0, 1]);
    const verified = JSON.parse(await server.antenna(["verify", "--json"])) as { readonly ok: boolean };
    assert.ok(verified.ok, `after ${this.#story}: ${JSON.stringify(verified)}`);
    await this.#verdictsAs(0);
    await server.stopDaemon();
  }

  /** What is in force after a start, which must be one of the two and nothing beside. */
  async #standing(agent: TracedProgram): Promise<ApplyAnswer> {
    agent.program.tell({ op: "stand" } satisfies ApplyRequest);
    return await this.#heard(agent);
  }

  #indexOf(answer: ApplyAnswer): 0 | 1 {
    const index = this.#digests.indexOf(answer.policyDigest ?? "");
    assert.ok(index === 0 || index === 1, `after ${this.#story}: in force is ${JSON.stringify(answer)}`);
    this.#sound(answer, index);
    return index;
  }

  #sound(answer: ApplyAnswer, index: number): void {
    const { state, policyDigest, differences, refused } = answer;
    assert.deepEqual(
      { state, policyDigest, differences, refused },
      { state: "in-sync", policyDigest: this.#digests[index], differences: [], refused: null },
      `after ${this.#story}: ${JSON.stringify(answer)}`,
    );
  }

  /** Every probe is judged as this policy says. */
  async #verdictsAs(index: 0 | 1): Promise<void> {
    // What was on its way when the other policy was in force is not counted.
    await this.#report([0, 1]);
    await this.#traffic.resume({ renew: true });
    await delay(40);
    await this.#report([index]);
  }

  /** What both policies allow lives through everything; what only the first allows is gone once the second is in force. */
  async #sessionsAs(index: 0 | 1): Promise<void> {
    const { applications } = this.#arena.client;
    const silentMs = async (name: string) => (await applications.streamState(name)).silentMs;
    const until = async (what: string, holds: () => Promise<boolean>) => {
      const end = performance.now() + 5000;
      while (!(await holds())) {
        assert.ok(performance.now() < end, `after ${this.#story}: ${what}`);
        await delay(20);
      }
    };
    await until("a session that both policies allow is dead", async () => (await silentMs("kept")) < 200);
    const lost = () => `lost-${this.#opened}`;
    if (index === 1 && this.#opened > 0) {
      await until("a session that is denied now goes on", async () => (await silentMs(lost())) > 300);
    }
    if (index === 0) {
      this.#opened += 1;
      assert.ok(await applications.openStream(lost(), serverAddress, lostPort), "a session opens");
    }
  }

  /** The kernel holds what it holds after an undisturbed apply, and nothing beside. */
  async #holdsOnly(index: 0 | 1): Promise<void> {
    const end = performance.now() + 2000;
    let found = "";
    // Leftovers are swept last.
    while (performance.now() < end) {
      found = await kernelState(this.#arena, this.#backend);
      if (found === this.#clean[index]) return;
      await delay(50);
    }
    assert.equal(found, this.#clean[index], `after ${this.#story}: the kernel holds something else`);
  }

  async #report(indices: readonly number[]): Promise<void> {
    const policies = this.#policies.filter((_, index) => indices.includes(index));
    const { sent, wrong } = await this.#traffic.report((probe) => expectedUnder(policies, probe));
    this.packets += sent;
    assert.deepEqual(wrong, [], `after ${this.#story}, with policy ${indices.join(" or ")} in force`);
  }

  #start(): TracedProgram {
    const { server, folder } = this.#arena;
    return new TracedProgram({
      namespace: server.namespace,
      argv: [process.execPath, "--conditions=in-repo", program, server.stateDir],
      log: join(folder, "trace"),
    });
  }

  async #heard(agent: TracedProgram): Promise<ApplyAnswer> {
    const answer = await agent.program.hear(patienceMs);
    assert.notEqual(answer, null, `after ${this.#story}: the agent ended`);
    return answer as ApplyAnswer;
  }

  #file(index: number): string {
    return join(this.#arena.folder, `policy-${index}.json`);
  }
}
