import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { type Policy, parsePolicy, policyDigest } from "@antenna/sdk";
import { Random } from "../unit/random.js";
import type { ApplyAnswer, ApplyRequest } from "./apply-protocol.js";
import { type Arena, backends, createArena } from "./arena.js";
import { LineProgram } from "./line-program.js";
import { arenaAddresses, type DirectedProbe, type Expected, expectedUnder, matrix } from "./probes.js";
import { neighbour, type ProbedPolicy, randomPolicy } from "./random-policy.js";
import { Traffic } from "./traffic.js";

// Real packets while one random policy replaces the other: what both allow always passes, what both deny never does.

const soak = process.env.ANTENNA_SOAK === "1";
const seed = Number(process.env.ANTENNA_SEED ?? Math.floor(Math.random() * 2 ** 31));
const seconds = soak ? 600 : 11;
const perSecond = 2500;
const program = join(import.meta.dirname, "apply-program.js");
const patienceMs = 30_000;

/** What every policy of the first test agrees on. */
const allowedTags = ["in 10.78.0.1 7000", "in fd00:78::1 7000", "out 10.78.0.1 7100", "out fd00:78::1 7100"];
const deniedTags = [
  "in 10.78.0.13 7003",
  "in fd00:78::13 7003",
  "out 10.78.0.13 7101",
  "out fd00:78::13 7101",
];
const fixed = matrix.filter(({ tag }) => allowedTags.includes(tag) || deniedTags.includes(tag));
const fixedExpectation = ({ tag }: DirectedProbe): Expected =>
  allowedTags.includes(tag) ? "passes" : "never";

/** Few enough that each is sent often. */
const dense = matrix.filter(({ port }) => [7000, 7001, 7100].includes(port));

for (const backend of backends) {
  describe(`churn, ${backend}`, { timeout: (seconds + 60) * 2000 }, () => {
    test("what every policy allows or denies, at full speed", async (context) => {
      await using churn = await Churn.open(await createArena(backend, arenaAddresses));
      const random = new Random(seed);
      await churn.traffic.use(fixed, perSecond);
      let document = keeping(() => randomPolicy(random, ["full", "selective"]));
      await churn.apply(document);
      await churn.traffic.resume({ renew: false });
      const end = performance.now() + seconds * 1000;
      let applies = 0;
      for (; performance.now() < end; applies++) {
        document = keeping(() => neighbour(random, ["full", "selective"], document));
        await churn.apply(document);
      }
      const { sent, wrong } = await churn.traffic.report(fixedExpectation);
      context.diagnostic(`ANTENNA_SEED=${seed}: ${applies} applies, ${sent} packets`);
      assert.deepEqual(wrong, []);
      assert.ok(applies >= seconds, `only ${applies} applies`);
      assert.ok(sent > (seconds * perSecond) / 4, `only ${sent} packets were sent`);
    });

    test("what two policies one after the other allow or deny, all modes", async (context) => {
      await using churn = await Churn.open(await createArena(backend, arenaAddresses));
      const random = new Random(seed + 1);
      const modes = ["full", "full", "selective", "visibility"] as const;
      await churn.traffic.use(dense, perSecond);
      let document = randomPolicy(random, modes);
      let before = await churn.apply(document);
      const end = performance.now() + seconds * 1000;
      let [applies, packets] = [0, 0];
      for (; performance.now() < end; applies++) {
        const previous = document;
        document = neighbour(random, modes, previous);
        await churn.traffic.resume({ renew: false });
        const now = await churn.apply(document);
        await delay(10);
        const { sent, wrong } = await churn.traffic.report((probe) => expectedUnder([before, now], probe));
        packets += sent;
        assert.deepEqual(
          wrong,
          [],
          `ANTENNA_SEED=${seed}, apply ${applies}: ${told(previous)} to ${told(document)}`,
        );
        before = now;
      }
      context.diagnostic(`ANTENNA_SEED=${seed}: ${applies} applies, ${packets} packets`);
      assert.ok(applies >= seconds, `only ${applies} applies`);
    });
  });
}

/** For people: without the crowd. */
function told(document: ProbedPolicy): string {
  const sets = Object.entries(document.sets).map(([name, members]) => [
    name,
    members.length > 100 ? [...members.slice(0, 20), `and ${members.length - 20} more`] : members,
  ]);
  return JSON.stringify({ ...document, sets: Object.fromEntries(sets) });
}

/** The first of the documents that judges the fixed probes as they have to be. */
function keeping(make: () => ProbedPolicy): ProbedPolicy {
  for (let tries = 0; tries < 100_000; tries++) {
    const document = make();
    const policy = parsePolicy(JSON.stringify(document));
    if (fixed.every((probe) => expectedUnder([policy], probe) === fixedExpectation(probe))) return document;
  }
  throw new Error("no such policy was found");
}

/** An agent in the server that is told one policy after the other, with probes about. */
class Churn implements AsyncDisposable {
  readonly traffic: Traffic;
  readonly #arena: Arena;
  readonly #agent: LineProgram;

  private constructor(arena: Arena, traffic: Traffic, agent: LineProgram) {
    this.#arena = arena;
    this.traffic = traffic;
    this.#agent = agent;
  }

  static async open(arena: Arena): Promise<Churn> {
    const { server } = arena;
    await mkdir(server.stateDir, { recursive: true, mode: 0o700 });
    const argv = [process.execPath, "--conditions=in-repo", program, server.stateDir];
    return new Churn(arena, await Traffic.start(arena), new LineProgram(server.namespace, argv));
  }

  async apply(document: ProbedPolicy): Promise<Policy> {
    const file = join(this.#arena.folder, "policy.json");
    const text = JSON.stringify(document);
    const policy = parsePolicy(text);
    await writeFile(file, text);
    this.#agent.tell({ op: "apply", file, kill: null } satisfies ApplyRequest);
    const answer = (await this.#agent.hear(patienceMs)) as ApplyAnswer | null;
    assert.equal(answer?.refused, null, JSON.stringify(answer));
    assert.equal(answer?.policyDigest, policyDigest(policy), JSON.stringify(answer));
    return policy;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent[Symbol.asyncDispose]();
    await this.traffic[Symbol.asyncDispose]();
    await this.#arena[Symbol.asyncDispose]();
  }
}
